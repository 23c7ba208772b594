import { expect, test } from 'vitest'
import { choosePrimary, type SentinelAnswer } from '../../../src/upstream/sentinel/sentinel-choice.ts'

/** `a1`: host a in epoch 1. */
function answer(text: string): SentinelAnswer {
  return { endpoint: { kind: 'tcp', host: text[0]!, port: 6379 }, epoch: Number(text.slice(1)) }
}
const shown = (chosen: SentinelAnswer | null): string | null =>
  chosen === null ? null : `${chosen.endpoint.host}${chosen.epoch}`

test.each<[string, string, number, string | null, string | null]>([
  ['nobody has answered', '', 3, null, null],
  ['nobody answers any more', '', 3, 'a1', 'a1'],
  ['the first answer', 'a1', 3, null, 'a1'],
  ['answers of the latest failover before all others', 'a1 a1 b2', 3, null, 'b2'],
  ['what most of them name', 'a1 b1 b1', 3, null, 'b1'],
  ['a failover of which one has heard', 'a1 a1 b2', 3, 'a1', 'b2'],
  ['a failover back to the same address', 'a3', 3, 'a1', 'a3'],
  ['one that has missed a failover', 'a1', 3, 'b2', 'b2'],
  ['one that has missed a failover, beside one that has not', 'a1 b2', 3, 'b2', 'b2'],
  ['another name for the same server', 'a1 n1 a1', 3, 'a1', 'a1'],
  ['another name for it, of half of them', 'a1 n1', 2, 'a1', 'a1'],
  ['an address that they were told', 'b0 b0 a0', 3, 'a0', 'b0'],
  ['Sentinels that were set up anew', 'b0 b0', 3, 'a7', 'b0'],
  ['the only Sentinel, set up anew', 'a0', 1, 'a7', 'a0'],
])('%s: %s of %d, with %s before: %s', (_name, answers, sentinels, current, expected) => {
  const list = answers.split(' ').filter(Boolean).map(answer)
  const before = current === null ? null : answer(current)
  expect(shown(choosePrimary(list, sentinels, before))).toBe(expected)
})
