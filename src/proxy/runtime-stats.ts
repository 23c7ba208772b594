import { steadyNowMs } from '../base/clock.ts'
import type { Comparer } from '../compare/comparer.ts'
import type { Repairer } from '../mirror/copy/repairer.ts'
import type { Durability } from '../mirror/crash/durability.ts'
import type { DirtySet } from '../mirror/dirty/dirty-set.ts'
import type { FunctionSync } from '../mirror/functions/function-sync.ts'
import type { Mirror } from '../mirror/mirror.ts'
import { ShadowQueue } from '../mirror/shadow/shadow-queue.ts'
import { ShadowRuns } from '../mirror/shadow/shadow-runs.ts'
import { strandedBecause } from '../mirror/shadow/stranded.ts'
import type { SameServers } from '../mirror/stores/same-servers.ts'
import type { Store } from '../upstream/store.ts'
import type { DataPath } from './data-path.ts'
import { ROUTE_COUNTERS, type RouteCounter, type RouteStats, type Stats } from './messages.ts'

interface StatsParts {
  readonly path: DataPath
  readonly dirty: DirtySet
  readonly mirror: Mirror
  readonly comparer: Comparer
  readonly repairer: Repairer
  /** Null: nothing is kept. */
  readonly durability: Durability | null
  readonly sameServers: SameServers
  readonly functions: FunctionSync
}

/** How the data path is doing, for the main thread. */
export function statsOf(parts: StatsParts): Stats {
  const { path, dirty, mirror, comparer, repairer, durability, sameServers, functions } = parts
  const { nowMs } = path.clock
  const epochMs = steadyNowMs() - performance.now()
  return {
    generation: path.routes.generation,
    routes: Object.fromEntries(
      path.routes.routes.map(({ name, state, primary, shadow }) => [
        name,
        {
          primary: primary.storeName,
          ...stranded(dirty, name, shadow === null ? null : path.stores[shadow.store]!),
          lagMs: lagMs(path, name),
          backlogCommands: state.backlogCommands,
          backlogBytes: state.backlogBytes,
          dirtyKeys: dirty.count(name),
          hotKeys: dirty.figures.hot(name),
          dirtyReasons: dirty.figures.reasons(name),
          oldestDirtyMs: nowMs - (dirty.figures.oldestMs(name) ?? nowMs),
          needsVerify: dirty.needsVerify(name),
          verifyCauses: dirty.toVerify.causes(name),
          ...(name === path.routes.fallback.name
            ? { refusedLibraries: functions.refusals.libraries, refusedBecause: functions.refusals.because }
            : { refusedLibraries: [], refusedBecause: null }),
          missingFunctions: shadow === null ? [] : path.functions.missingAt(shadow.storeName, primary.storeName, name),
          scriptsInDoubt: path.doubts.mayReach(name),
          crossSlots: [...state.crossSlots].map(([command, { count, lastMs }]) => ({
            command,
            count,
            lastAgoMs: nowMs - lastMs,
          })),
          repair: repairer.stateOf(name),
          refusedCopy: repairer.refusedCopyOf(name),
          inFlight: state.inFlight,
          counters: Object.fromEntries(ROUTE_COUNTERS.map((counter) => [counter, state[counter]])) as Record<
            RouteCounter,
            number
          >,
          errorCodes: Object.fromEntries(state.primaryErrorCodes),
          primaryTimes: state.primaryTimes.snapshot(),
          shadowTimes: state.shadowTimes.snapshot(),
          compare: comparer.tallyOf(state).snapshot(nowMs),
        },
      ]),
    ),
    stores: Object.fromEntries(
      path.stores
        .filter((store) => !store.isClosed)
        .map((store) => [
          store.name,
          { ...store.state(), lastReadMs: epochMs + store.lastReadMs, sameAs: sameServers.sameAs(store) },
        ]),
    ),
    clients: path.sessions.size,
    durable: durability?.intact ?? false,
    intentBytes: durability?.log?.bytes ?? 0,
    unknownWrites: Object.fromEntries(mirror.unknownWrites),
  }
}

/** Databases whose dirty keys the shadow does not take. */
function stranded(
  dirty: DirtySet,
  route: string,
  shadow: Store | null,
): Pick<RouteStats, 'strandedDatabases' | 'strandedBecause'> {
  const because = (database: number) => (shadow === null ? null : strandedBecause(shadow, database))
  const databases = dirty.dirtyDatabases(route).filter((database) => because(database) !== null)
  return { strandedDatabases: databases, strandedBecause: because(databases[0] ?? 0) }
}

/** Age of the oldest write of the route that its shadow has not acknowledged. */
function lagMs(path: DataPath, name: string): number {
  const route = path.routes.byName(name)
  if (route === undefined || route.shadow === null || route.state.backlogCommands === 0) return 0
  let oldest = path.clock.nowMs
  for (const pipeline of path.stores[route.shadow.store]!.shadows.open()) {
    const { ring } = pipeline
    for (let i = 0; i < ring.length; i++) {
      const slot = ring.at(i)
      const slotRoute = slot.route as { name: string } | null
      const isWrite = slot.owner instanceof ShadowQueue || slot.owner instanceof ShadowRuns
      if (!isWrite || slotRoute?.name !== name) continue
      oldest = Math.min(oldest, slot.queuedAtMs)
      break
    }
  }
  return Math.max(0, path.clock.nowMs - oldest)
}
