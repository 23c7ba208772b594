import type { DatabaseSync } from 'node:sqlite'
import type { Config } from '../config/config.ts'
import { Completeness } from '../cutover/completeness.ts'
import { Gates } from '../cutover/gates.ts'
import { Journal } from '../cutover/journal.ts'
import type { OwedWrites } from '../cutover/owed-writes.ts'
import { areOneServer } from '../cutover/same-keyspaces.ts'
import type { JobRunner } from '../jobs/runner/runner.ts'
import { type DoneJobs, type UnsettledVerify, unsettledKeys, unsettledVerify } from '../jobs/runner/unsettled-keys.ts'
import { EmptyProbes } from '../jobs/scan/empty-probe.ts'
import { rolesOf } from '../routing/route.ts'
import { isReplica } from '../upstream/health.ts'
import type { ProvisionedStores } from '../upstream/provision.ts'
import type { DataPathThread } from './thread.ts'

/** What decides whether a change of configuration may be made, and remembers that it was: there once the state is open. */
export interface ChangeGuards {
  readonly completeness: Completeness
  readonly gates: Gates
  readonly journal: Journal
  /** What the last verify of a route, between the ends that it has now, has listed and nobody has settled. */
  readonly unsettled: (route: string) => UnsettledVerify | null
}

export interface GuardsOptions {
  /** `state.db`, open. */
  readonly state: DatabaseSync
  readonly owed: OwedWrites
  readonly thread: DataPathThread
  readonly stores: ProvisionedStores
  /** The one in force. */
  readonly config: () => Config
  /** Null: none are run yet. */
  readonly jobs: () => JobRunner | null
  /** Of a route, not resolved. */
  readonly openMismatches: (route: string) => number
}

/** The guards of what runs: they look at its stores, its jobs and its data path. */
export function changeGuards({
  state,
  owed,
  thread,
  stores,
  config: inForce,
  jobs,
  openMismatches,
}: GuardsOptions): ChangeGuards {
  const probes = new WeakMap<Config, EmptyProbes>()
  const done =
    (route: string): DoneJobs =>
    (...kinds) =>
      jobs()?.done(route, kinds) ?? []
  const completeness = new Completeness(
    state,
    owed,
    (config, route, end) => {
      // Also of a configuration that is not in force yet, whose stores may be elsewhere.
      const known = probes.get(config) ?? new EmptyProbes((store) => stores.endpointIn(config, store))
      probes.set(config, known)
      return known.contentsOf(config, route, end)
    },
    (route, sinceMs) => unsettledKeys(done(route), sinceMs),
  )
  const unsettled = (route: string): UnsettledVerify | null => {
    const mirroring = completeness.of(route)
    const found = inForce().routes.find(({ name }) => name === route)
    if (mirroring === null || found === undefined) return null
    const sinceMs = Math.max(mirroring.sinceMs, mirroring.alteredMs ?? 0)
    return unsettledVerify(done(route), sinceMs, rolesOf(found.phase).primary)
  }
  const gates = new Gates({
    stats: () => thread.stats(),
    isUp: (store) => stores.health.get(store)?.up ?? false,
    isReplica: (store) => !stores.clusters.has(store) && isReplica(stores.health.get(store)?.role ?? null),
    areOne: areOneServer,
    completeness,
    isCleaning: (route) => jobs()?.isRunning('cleanup', route) ?? false,
    openMismatches,
    unsettled,
  })
  return { completeness, gates, unsettled, journal: new Journal(state, owed) }
}
