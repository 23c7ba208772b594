import { createHash } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { scriptsAstray } from '../cutover/scripts-gate.ts'
import type { Job } from '../jobs/runner/job.ts'
import type { UnsettledVerify } from '../jobs/runner/unsettled-keys.ts'
import type { Histogram } from '../observability/histogram.ts'
import type { MetricsSnapshot, RouteMetrics } from '../observability/metrics-snapshot.ts'
import type { RouteStats, Stats } from '../proxy/messages.ts'
import { rolesOf } from '../routing/route.ts'
import type { ClusterView } from '../upstream/cluster-watch.ts'
import type { Health } from '../upstream/health.ts'
import type { SentinelView } from '../upstream/sentinel/sentinel-watch.ts'
import { applicationOf } from './application.ts'
import { compareStatus } from './compare-views.ts'
import type { Readiness, RouteView } from './control.ts'
import type { RecentAnswers } from './recent-answers.ts'
import { problemsOf } from './route-problems.ts'
import { servingOf } from './serving.ts'
import type { RouteStatus, Status, StoreStatus } from './status.ts'

/** What the views are made of, at one moment. */
export interface Facts {
  readonly config: Config
  readonly configHash: string
  readonly stats: Stats
  readonly health: ReadonlyMap<string, Health>
  /** Of stores behind Sentinels. */
  readonly sentinels: ReadonlyMap<string, SentinelView>
  /** Of stores that are clusters. */
  readonly clusters: ReadonlyMap<string, ClusterView>
  readonly version: string
  readonly uptimeSeconds: number
  readonly lastReload: Status['lastReload']
  readonly needsRestart: string[]
  readonly answers: RecentAnswers
  readonly mismatchTotals: (route: string) => { class: string; command: string; count: number }[]
  readonly pauses: (route: string) => Histogram
  /** The newest of each kind. */
  readonly jobs: (route: string) => readonly Job[]
  readonly unsettled: (route: string) => UnsettledVerify | null
  readonly incompleteEnd: (route: string) => 'source' | 'target' | null
  readonly jobKeys: (route: string) => { job: string; outcome: string; count: number }[]
}

/** `GET /api/v1/status`. */
export function statusOf(facts: Facts): Status {
  const { config, stats } = facts
  const stores = Object.fromEntries(
    Object.keys(config.stores).map((name) => [
      name,
      storeStatus(
        facts.health.get(name),
        facts.sentinels.get(name),
        facts.clusters.get(name),
        stats.stores[name]?.sameAs ?? null,
      ),
    ]),
  )
  const routes = Object.fromEntries(
    config.routes.map((route) => {
      const roles = rolesOf(route.phase)
      const end = (which: 'source' | 'target') => (which === 'source' ? route.source.store : route.target!.store)
      return [
        route.name,
        routeStatus(
          route.phase,
          {
            scriptsAstray: scriptsAstray(config, route),
            unsettledVerify: facts.unsettled(route.name),
            incompleteEnd: facts.incompleteEnd(route.name),
          },
          end(roles.primary),
          roles.shadow === null ? null : end(roles.shadow),
          stats.routes[route.name],
          route.target !== null &&
            config.stores[end(roles.primary === 'source' ? 'target' : 'source')]?.kind === 'cluster',
        ),
      ]
    }),
  )
  return {
    version: facts.version,
    configHash: facts.configHash,
    epoch: stats.generation,
    uptimeSeconds: facts.uptimeSeconds,
    lastReload: facts.lastReload,
    needsRestart: facts.needsRestart,
    application: applicationOf(config.routes, stores, routes, facts.answers, (store) => servingOf(store, facts)),
    stores,
    routes,
    clients: { connected: stats.clients },
    durability: { intact: stats.durable, intentLogBytes: stats.intentBytes },
  }
}

/** Ready: the primary of every route serves. A cluster of which a part is away serves the rest, and is no reason to send nobody here. */
export function readinessOf(facts: Facts): Readiness {
  const primaries = Object.entries(statusOf(facts).routes).map(([name, { primary }]) => ({
    name,
    primary,
    ...servingOf(primary, facts),
  }))
  const reasons = primaries.flatMap(({ name, primary, down }) =>
    down === null ? [] : [`the primary of route '${name}', store '${primary}', ${down}`],
  )
  const degraded = primaries.flatMap(({ primary, partly }) =>
    partly === null ? [] : [`store '${primary}': ${partly}`],
  )
  return { ready: reasons.length === 0, reasons, degraded: [...new Set(degraded)] }
}

export function routeViews(config: Config): RouteView[] {
  return config.routes.map((route) => ({
    name: route.name,
    phase: route.phase,
    keys: [...route.keys],
    source: { store: route.source.store, keys: { ...route.source.keys } },
    target: route.target === null ? null : { store: route.target.store, keys: { ...route.target.keys } },
  }))
}

/** The numbers behind `/metrics`. */
export function metricsOf(facts: Facts): MetricsSnapshot {
  const { config, stats } = facts
  return {
    routes: Object.fromEntries(
      config.routes.flatMap((route) => {
        const of = stats.routes[route.name]
        return of === undefined ? [] : [[route.name, routeMetrics(route.phase, of, facts, route.name)]]
      }),
    ),
    stores: Object.fromEntries(
      Object.keys(config.stores).map((name) => {
        const sentinel = facts.sentinels.get(name)
        const of = sentinel === undefined ? null : { answering: sentinel.answering, failovers: sentinel.failovers }
        const nodes = facts.clusters.get(name)?.nodes ?? []
        return [name, { up: facts.health.get(name)?.up ?? false, sentinel: of, nodes }]
      }),
    ),
    clients: { connected: stats.clients },
    durability: { intact: stats.durable, intentLogBytes: stats.intentBytes },
    config: { lastReloadSuccessful: facts.lastReload.successful, epoch: stats.generation },
    unknownWrites: stats.unknownWrites,
  }
}

/** Names what a configuration says without saying it: secrets go in only as part of the hash. */
export function hashOfConfig(config: Config): string {
  return createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 12)
}

function storeStatus(
  health: Health | undefined,
  sentinel: SentinelView | undefined,
  cluster: ClusterView | undefined,
  sameAs: string | null,
): StoreStatus {
  return {
    // A shadow that is its primary is not connected to.
    up: sameAs === null && (health?.up ?? false),
    latencyMs: health?.latencyMs ?? null,
    version: health?.version ?? null,
    valkeyVersion: health?.valkeyVersion ?? null,
    role: cluster === undefined ? (health?.role ?? null) : 'cluster',
    // Where the primary is not known, that is why it does not answer.
    error:
      sameAs === null
        ? (sentinel?.error ?? health?.error ?? null)
        : `it is the very server that store '${sameAs}' is, under another address: nothing is mirrored to it`,
    clockOffsetMs: health?.clockOffsetMs ?? null,
    sentinel: sentinel ?? null,
    cluster: cluster ?? null,
  }
}

function routeStatus(
  phase: RouteStatus['phase'],
  known: Pick<RouteStatus['mirror'], 'scriptsAstray' | 'unsettledVerify' | 'incompleteEnd'>,
  primary: string,
  shadow: string | null,
  stats: RouteStats | undefined,
  awaitsCluster: boolean,
): RouteStatus {
  const count = (name: keyof RouteStats['counters']): number => stats?.counters[name] ?? 0
  const route = {
    phase,
    primary,
    shadow,
    // What was counted before a switch to the cluster is over.
    crossSlots: awaitsCluster ? [...(stats?.crossSlots ?? [])] : [],
    mirror: {
      lagMs: Math.round(stats?.lagMs ?? 0),
      backlog: stats?.backlogCommands ?? 0,
      backlogBytes: stats?.backlogBytes ?? 0,
      mirrored: count('applied'),
      dropped: count('dropped'),
      dirtyKeys: stats?.dirtyKeys ?? 0,
      hotKeys: stats?.hotKeys ?? 0,
      dirtyReasons: { ...stats?.dirtyReasons },
      oldestDirtyMs: Math.round(stats?.oldestDirtyMs ?? 0),
      needsVerify: stats?.needsVerify ?? false,
      verifyCauses: [...(stats?.verifyCauses ?? [])],
      refusedLibraries: [...(stats?.refusedLibraries ?? [])],
      refusedBecause: stats?.refusedBecause ?? null,
      scriptsInDoubt: [...(stats?.scriptsInDoubt ?? [])],
      ...known,
      strandedDatabases: [...(stats?.strandedDatabases ?? [])],
      strandedBecause: stats?.strandedBecause ?? null,
      repair: stats?.repair ?? ('idle' as const),
      refusedCopy: stats?.refusedCopy ?? null,
    },
    compare: compareStatus(stats),
  }
  return { ...route, problems: problemsOf(route) }
}

function routeMetrics(phase: string, stats: RouteStats, facts: Facts, name: string): RouteMetrics {
  const { counters } = stats
  return {
    phase,
    commands: {
      primary: {
        ok: counters.primaryOk,
        error: counters.primaryError,
        timeout: counters.primaryTimeout,
        lost: counters.primaryLost,
      },
      shadow: {
        ok: counters.shadowOk,
        error: counters.shadowError,
        timeout: counters.shadowTimeout,
        lost: counters.shadowLost,
      },
    },
    durations: { primary: stats.primaryTimes, shadow: stats.shadowTimes },
    mirror: {
      lagSeconds: stats.lagMs / 1000,
      backlogBytes: stats.backlogBytes,
      backlogCommands: stats.backlogCommands,
      writes: { applied: counters.applied, error: counters.failed, copied: counters.copied, dirty: counters.dirtied },
    },
    dirtyKeys: stats.dirtyKeys,
    hotKeys: stats.hotKeys,
    keyHolds: {
      outcomes: { read: counters.keyHolds - counters.keyHoldsInVain, 'called-off': counters.keyHoldsInVain },
      seconds: counters.keyHeldMs / 1000,
    },
    dirtyReasons: stats.dirtyReasons,
    oldestDirtySeconds: stats.oldestDirtyMs / 1000,
    needsVerify: stats.needsVerify,
    scriptsInDoubt: stats.scriptsInDoubt.length,
    crossSlots: stats.crossSlots,
    repair: stats.repair,
    compare: {
      match: counters.matched,
      mismatch: counters.mismatched,
      transient: counters.transient,
      acknowledged: stats.compare.acknowledged,
      skipped: counters.skipped,
    },
    comparison: {
      skipped: stats.compare.skipped,
      ignored: stats.compare.ignored,
      repaired: stats.compare.repaired,
      baseline: stats.compare.baseline,
      durations: { primary: stats.compare.primaryTimes, shadow: stats.compare.shadowTimes },
    },
    mismatches: facts.mismatchTotals(name),
    fallbackReads: {
      miss: counters.fallbackMiss,
      error: counters.fallbackError,
      timeout: counters.fallbackTimeout,
      open: counters.fallbackOpen,
    },
    jobs: facts.jobs(name).map(jobMetrics),
    jobKeys: facts.jobKeys(name),
    cutoverPauses: facts.pauses(name).snapshot(),
  }
}

function jobMetrics({ kind, state, progress }: Job): RouteMetrics['jobs'][number] {
  return { job: kind, running: state === 'running', failed: state === 'failed', done: progress.done }
}
