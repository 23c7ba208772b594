import type { Config } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import type { Completeness } from '../../src/cutover/completeness.ts'
import { Gates, type GateView } from '../../src/cutover/gates.ts'
import type { UnsettledVerify } from '../../src/jobs/runner/unsettled-keys.ts'
import type { EndName } from '../../src/jobs/stores/end-keys.ts'
import type { Stats } from '../../src/proxy/messages.ts'

/** The route `all` from `old` to `new`. `cutover`: its lines; `target`: the URL of `new`. */
export function configIn(phase: string, { cutover = '', target = 'redis://127.0.0.1:2' } = {}): Config {
  const text = `
stores: { old: { url: redis://127.0.0.1:1 }, new: { url: ${target} } }
cutover: { ${cutover} }
routes: [{ name: all, keys: ["*"], source: { store: old }, target: { store: new }, phase: ${phase} }]
`
  return parseConfig(text, { path: 'understudy.yaml', env: {} }).config
}

/** The gates of a step, where all is well with every store and route but for `routes`: by name, what their statistics say instead. `incomplete`: as in `Mirroring`. */
export function gatesOf(
  before: Config,
  after: Config,
  routes: Readonly<Record<string, object>>,
  openMismatches = 0,
  unsettled: UnsettledVerify | null = null,
  incomplete: EndName | null = null,
): Promise<readonly GateView[]> {
  const stats = {
    routes: Object.fromEntries(Object.entries(routes).map(([name, but]) => [name, { ...ALL_WELL, ...but }])),
    stores: {},
  }
  const gates = new Gates({
    stats: async () => stats as unknown as Stats,
    isUp: () => true,
    isReplica: () => false,
    areOne: () => Promise.resolve(false),
    completeness: { lacking: async () => null, of: () => ({ incomplete }) } as unknown as Completeness,
    isCleaning: () => false,
    openMismatches: () => openMismatches,
    unsettled: () => unsettled,
  })
  return gates.all(before, after)
}

const ALL_WELL = {
  compare: { windows: { '10m': { compared: 0, mismatched: 0 } } },
  needsVerify: false,
  verifyCauses: [],
  refusedLibraries: [],
  refusedBecause: null,
  missingFunctions: [],
  strandedDatabases: [],
  crossSlots: [],
  scriptsInDoubt: [],
  dirtyKeys: 0,
  hotKeys: 0,
  oldestDirtyMs: 0,
  dirtyReasons: {},
  backlogCommands: 0,
}
