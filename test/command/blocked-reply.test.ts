import { expect, test } from 'vitest'
import { replyToNothing, waitedForNothing } from '../../src/command/blocked-reply.ts'
import { CommandTable } from '../../src/command/table.ts'
import { encodeCommand } from '../../src/resp/encode.ts'

const table = CommandTable.builtin()

test.each([
  ['BLPOP q 0', '*-1\r\n', true],
  ['BLPOP q 0', '_\r\n', true],
  ['BLPOP q 0', '*2\r\n$1\r\nq\r\n$1\r\na\r\n', false],
  ['BRPOPLPUSH q r 0', '$-1\r\n', true],
  ['BRPOPLPUSH q r 0', '$0\r\n\r\n', false],
  ['WAIT 0 0', ':0\r\n', false],
  ['WAIT 2 100', ':1\r\n', true],
  ['WAIT 2 100', ':12\r\n', false],
  ['WAIT many 0', '-ERR 1\r\n', false],
  ['WAITAOF 0 0 0', '*2\r\n:0\r\n:0\r\n', false],
  ['WAITAOF 1 1 0', '*2\r\n:1\r\n:0\r\n', true],
  ['WAITAOF 1 1 0', '*2\r\n:1\r\n:1\r\n', false],
])('%s answered %j has waited for nothing: %s', (line, reply, expected) => {
  const args = line.split(' ')
  const spec = table.byName(args[0]!)!
  expect(waitedForNothing(spec, encodeCommand(args), Buffer.from(reply))).toBe(expected)
})

test('nothing is nil, but a number of replicas', () => {
  const said = (name: string, protocol: 2 | 3) => replyToNothing(table.byName(name)!, protocol).toString()
  expect(said('BLPOP', 2)).toBe('*-1\r\n')
  expect(said('BLMOVE', 3)).toBe('_\r\n')
  expect(said('WAIT', 3)).toBe(':0\r\n')
  expect(said('WAITAOF', 2)).toBe('*2\r\n:0\r\n:0\r\n')
})
