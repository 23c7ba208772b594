import { expect, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import type { Completeness } from '../../src/cutover/completeness.ts'
import { Gates } from '../../src/cutover/gates.ts'
import type { Stats } from '../../src/proxy/messages.ts'

const configOf = (phase: string) =>
  parseConfig(
    `
stores: { old: { url: redis://127.0.0.1:1 }, new: { url: redis://127.0.0.1:2 } }
routes: [{ name: all, keys: ["*"], source: { store: old }, target: { store: new }, phase: ${phase} }]
`,
    { path: 'understudy.yaml', env: {} },
  ).config

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
  const mirror = { dirtyKeys, hotKeys, oldestDirtyMs, dirtyReasons, backlogCommands: 0, strandedDatabases: [] }
  const compare = { windows: { '10m': { compared: 0, mismatched: 0 } } }
  const stats = {
    routes: { all: { ...mirror, compare, needsVerify: false, verifyCauses: [] } },
    stores: {},
  } as unknown as Stats
  const gates = new Gates({
    stats: async () => stats,
    isUp: () => true,
    isReplica: () => false,
    areOne: () => Promise.resolve(false),
    completeness: { lacking: async () => null } as unknown as Completeness,
    isCleaning: () => false,
    openMismatches: () => 0,
  })
  const seen = await gates.all(configOf('shadow'), configOf('switched'))
  const gate = seen.find(({ reason }) => /not copied to|has been copied to/.test(reason))
  expect(gate?.open).toBe(open)
})
