import { expect, test } from 'vitest'
import { configIn, gatesOf } from '../support/gates.ts'

test.each([
  ['none', 0, 0, 0, {}, true],
  ['one that the shadow refused', 1, 0, 10, { 'shadow-error': 1 }, false],
  ['hot ones', 30, 30, 5_000, { 'state-copy': 30 }, true],
  ['what queues and scripts have just written', 30, 10, 400, { 'state-copy': 30 }, true],
  ['one that two connections have just written', 1, 0, 25, { overlap: 1 }, true],
  ['both', 27, 1, 230, { overlap: 1, 'state-copy': 26 }, true],
  ['both for too long', 27, 1, 1_230, { overlap: 1, 'state-copy': 26 }, false],
  ['the same for too long', 30, 10, 1_400, { 'state-copy': 30 }, false],
  ['the same, and one that the shadow refused', 31, 30, 400, { 'state-copy': 30, 'shadow-error': 1 }, false],
  ['too many', 2_000, 0, 400, { 'state-copy': 2_000 }, false],
])('the gate on dirty keys, with %s', async (_, dirtyKeys, hotKeys, oldestDirtyMs, dirtyReasons, open) => {
  const all = { dirtyKeys, hotKeys, oldestDirtyMs, dirtyReasons }
  const seen = await gatesOf(configIn('shadow'), configIn('switched'), { all })
  const gate = seen.find(({ reason }) => /not copied to|has been copied to/.test(reason))
  expect(gate?.open).toBe(open)
  expect(gate?.reason).toMatch(
    dirtyKeys === 1 ? /^1 key is not |, and 1 that is / : /^\d+ keys are not |, and \d+ that are |every key.*'$/,
  )
})
