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

async function closedBy(verifyCauses: readonly string[], refusedLibraries: readonly string[]): Promise<string[]> {
  const mirror = { dirtyKeys: 0, hotKeys: 0, oldestDirtyMs: 0, dirtyReasons: {}, backlogCommands: 0 }
  const compare = { windows: { '10m': { compared: 0, mismatched: 0 } } }
  const doubts = { needsVerify: verifyCauses.length > 0, verifyCauses, refusedLibraries, strandedDatabases: [] }
  const gates = new Gates({
    stats: async () => ({ routes: { all: { ...mirror, ...doubts, compare } }, stores: {} }) as unknown as Stats,
    isUp: () => true,
    isReplica: () => false,
    areOne: () => Promise.resolve(false),
    completeness: { lacking: async () => null } as unknown as Completeness,
    isCleaning: () => false,
    openMismatches: () => 0,
  })
  const seen = await gates.all(configOf('shadow'), configOf('switched'))
  return seen.filter(({ open }) => !open).map(({ reason }) => reason)
}

test('a gate that is closed for functions names the library, the target and the cure, and no verify, which looks at keys', async () => {
  expect(await closedBy([], [])).toEqual([])
  expect(await closedBy(['functions', 'functions-removed'], ['carts'])).toEqual([
    "'new' refuses the primary's library of functions 'carts' (FUNCTION LOAD): load one there that it takes, under the same name and with the same functions, or delete it on the primary",
  ])
  expect(await closedBy(['functions'], ['a', 'b'])).toEqual([
    expect.stringContaining("libraries of functions 'a', 'b'"),
  ])
  expect(await closedBy(['functions'], [])).toEqual([expect.stringContaining('are being compared')])
})

test('for functions and keys it says both', async () => {
  expect(await closedBy(['overflow', 'functions'], ['carts'])).toEqual([
    "keys that nobody can name may differ (overflow): run 'understudy verify all'",
    expect.stringContaining("'carts'"),
  ])
})
