import { expect, test } from 'vitest'
import { frameForNoTime, frameForTheRest, replyLimitMs } from '../../src/command/block-time.ts'
import { CommandTable } from '../../src/command/table.ts'
import { encodeCommand } from '../../src/resp/encode.ts'

const table = CommandTable.builtin()
const words = (frame: Buffer | null): string | null =>
  frame === null
    ? null
    : frame
        .toString('latin1')
        .split('\r\n')
        .filter((_, i) => i % 2 === 0 && i > 0)
        .join(' ')
const rest = (args: readonly string[], elapsedMs: number, takesFractions = true): string | null =>
  words(frameForTheRest(table.byName(args[0]!)!, encodeCommand(args), elapsedMs, takesFractions))
const briefest = (...args: string[]): string | null =>
  words(frameForNoTime(table.byName(args[0]!)!, encodeCommand(args)))

test('a command that is sent on waits for what is left of its time, in its own unit', () => {
  expect(rest(['BLPOP', 'l', 'm', '2.5'], 1_000)).toBe('BLPOP l m 1.500')
  expect(rest(['BLMOVE', 'a', 'b', 'LEFT', 'LEFT', '1'], 250)).toBe('BLMOVE a b LEFT LEFT 0.750')
  expect(rest(['BLMPOP', '1', '1', 'l', 'LEFT'], 400)).toBe('BLMPOP 0.600 1 l LEFT')
  expect(rest(['XREAD', 'BLOCK', '500', 'STREAMS', 's', '$'], 100)).toBe('XREAD BLOCK 400 STREAMS s $')
  expect(rest(['WAIT', '1', '500'], 100)).toBe('WAIT 1 400')
  // Redis 6 takes 0.001 for ever.
  expect(rest(['BLPOP', 'l', '0.02'], 18.8)).toBe('BLPOP l 0.002')
})

test('where a server takes whole seconds only, the last one is waited for as a whole', () => {
  expect(rest(['BLPOP', 'l', 'm', '3'], 1_000, false)).toBe('BLPOP l m 2')
  expect(rest(['BLPOP', 'l', '3'], 1_001, false)).toBe('BLPOP l 2')
  expect(rest(['BLPOP', 'l', '1'], 998.5, false)).toBe('BLPOP l 1')
  expect(rest(['BLPOP', 'l', '1'], 1_000, false)).toBeNull()
  expect(rest(['XREAD', 'BLOCK', '500', 'STREAMS', 's', '$'], 100, false)).toBe('XREAD BLOCK 400 STREAMS s $')
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

test('the shortest time is a millisecond, or two where Redis 6 would take one for none, also of what waits for ever', () => {
  expect(briefest('BLPOP', 'l', '0')).toBe('BLPOP l 0.002')
  expect(briefest('BLMPOP', '2.5', '1', 'l', 'LEFT')).toBe('BLMPOP 0.002 1 l LEFT')
  expect(briefest('BLPOP', 'l', '1000000')).toBe('BLPOP l 0.002')
  expect(briefest('BLPOP', 'l', '1e3')).toBe('BLPOP l 0.002')
  expect(briefest('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '0', 'STREAMS', 's', '>')).toBe(
    'XREADGROUP GROUP g c BLOCK 1 STREAMS s >',
  )
})

test('a time that the server refuses is left to it', () => {
  expect(briefest('BLPOP', 'l', '-1')).toBe('BLPOP l -1')
  expect(briefest('BLPOP', 'l', '1e300')).toBe('BLPOP l 1e300')
  expect(briefest('BLPOP', 'l', ' ')).toBe('BLPOP l  ')
  expect(briefest('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '1e3', 'STREAMS', 's', '0')).toContain('BLOCK 1e3')
  expect(briefest('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '1.5', 'STREAMS', 's', '>')).toContain('BLOCK 1.5')
})

test('a reply may take as long as the command says and the store’s timeout', () => {
  const limit = (args: readonly string[], storeTimeoutMs: number) =>
    replyLimitMs(table.byName(args[0]!)!, encodeCommand(args), storeTimeoutMs)
  expect(limit(['BLPOP', 'l', '2'], 500)).toBe(2_500)
  expect(limit(['BLPOP', 'l', '0'], 500)).toBe(0)
  expect(limit(['BLPOP', 'l', '2'], 0)).toBe(0)
  expect(limit(['BLPOP', 'l', 'soon'], 500)).toBe(500)
})
