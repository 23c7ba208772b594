import { expect, test } from 'vitest'
import { frameForTheRest, replyLimitMs } from '../../src/command/block-time.ts'
import { CommandTable } from '../../src/command/table.ts'
import { encodeCommand } from '../../src/resp/encode.ts'

const table = CommandTable.builtin()
const rest = (args: readonly string[], elapsedMs: number): string | null => {
  const frame = frameForTheRest(table.byName(args[0]!)!, encodeCommand(args), elapsedMs)
  return frame === null
    ? null
    : frame
        .toString('latin1')
        .split('\r\n')
        .filter((_, i) => i % 2 === 0 && i > 0)
        .join(' ')
}

test('a command that is sent on waits for what is left of its time, in its own unit', () => {
  expect(rest(['BLPOP', 'l', 'm', '2.5'], 1_000)).toBe('BLPOP l m 1.500')
  expect(rest(['BLMOVE', 'a', 'b', 'LEFT', 'LEFT', '1'], 250)).toBe('BLMOVE a b LEFT LEFT 0.750')
  expect(rest(['BLMPOP', '1', '1', 'l', 'LEFT'], 400)).toBe('BLMPOP 0.600 1 l LEFT')
  expect(rest(['XREAD', 'BLOCK', '500', 'STREAMS', 's', '$'], 100)).toBe('XREAD BLOCK 400 STREAMS s $')
  expect(rest(['WAIT', '1', '500'], 100)).toBe('WAIT 1 400')
})

test('nothing is left, not "for ever", when the time is over', () => {
  expect(rest(['BLPOP', 'l', '1'], 1_000)).toBeNull()
  expect(rest(['XREAD', 'BLOCK', '5', 'STREAMS', 's', '$'], 60_000)).toBeNull()
})

test('what waits for ever, or says nothing that can be understood, stays as it is', () => {
  expect(rest(['BLPOP', 'l', '0'], 60_000)).toBe('BLPOP l 0')
  expect(rest(['BLPOP', 'l', 'soon'], 60_000)).toBe('BLPOP l soon')
  expect(rest(['BLPOP', 'l', '-1'], 60_000)).toBe('BLPOP l -1')
})

test('a reply may take as long as the command says and the store’s timeout', () => {
  const limit = (args: readonly string[], storeTimeoutMs: number) =>
    replyLimitMs(table.byName(args[0]!)!, encodeCommand(args), storeTimeoutMs)
  expect(limit(['BLPOP', 'l', '2'], 500)).toBe(2_500)
  expect(limit(['BLPOP', 'l', '0'], 500)).toBe(0)
  expect(limit(['BLPOP', 'l', '2'], 0)).toBe(0)
  expect(limit(['BLPOP', 'l', 'soon'], 500)).toBe(500)
})
