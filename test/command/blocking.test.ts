import { expect, test } from 'vitest'
import { blocks, blockTimeout } from '../../src/command/blocking.ts'
import { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'

const table = CommandTable.builtin()

const cases: [command: string, timeout: string | null, unit?: 'seconds' | 'milliseconds'][] = [
  ['BLPOP a b 0', '0', 'seconds'],
  ['brpop a 1.5', '1.5', 'seconds'],
  ['BZPOPMIN a 2', '2', 'seconds'],
  ['BRPOPLPUSH a b 3', '3', 'seconds'],
  ['BLMOVE a b LEFT RIGHT 4', '4', 'seconds'],
  ['BLMPOP 5 1 a LEFT', '5', 'seconds'],
  ['BZMPOP 6 1 a MIN', '6', 'seconds'],
  ['WAIT 1 700', '700', 'milliseconds'],
  ['WAITAOF 1 0 800', '800', 'milliseconds'],
  ['XREAD BLOCK 900 STREAMS a $', '900', 'milliseconds'],
  ['XREAD COUNT 1 block 901 STREAMS a $', '901', 'milliseconds'],
  ['XREADGROUP GROUP BLOCK BLOCK COUNT 1 BLOCK 902 STREAMS a >', '902', 'milliseconds'],
  ['XREADGROUP GROUP g c STREAMS BLOCK >', null],
  ['XREADGROUP GROUP BLOCK c STREAMS a >', null],
  ['XREAD STREAMS a 0', null],
  ['XREAD BLOCK', null],
  ['GET BLOCK', null],
  ['LPOP a 1', null],
]

test.each(cases)('%s: the timeout is %s %s', (line, timeout, unit) => {
  const args = line.split(' ')
  const view = viewOf(args.map((arg) => Buffer.from(arg)))
  const spec = table.lookup(view)!
  expect(blocks(spec, view)).toBe(timeout !== null)
  const found = blockTimeout(spec, view)
  if (timeout === null) expect(found).toBeNull()
  else expect([args[found!.index], found!.unit]).toEqual([timeout, unit])
})

test('a blocking command too short to have a timeout has none', () => {
  for (const line of ['BLMOVE a b LEFT', 'WAIT 1', 'BLPOP', 'BLMPOP']) {
    const view = viewOf(line.split(' ').map((arg) => Buffer.from(arg)))
    expect(blockTimeout(table.lookup(view)!, view)).toBeNull()
  }
})
