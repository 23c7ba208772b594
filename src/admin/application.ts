import type { RouteConfig } from '../config/config.ts'
import { isReplica } from '../upstream/health.ts'
import type { RouteStatus, Status, StoreStatus } from './control.ts'
import type { HistorySample } from './history.ts'

/** Samples of two seconds that count as now: one alone would make what is said of them flicker. */
const RECENT = 15
/** As the alert has it: `WRONGTYPE` and friends of a normal application are below. */
const MAX_ERROR_SHARE = 0.05
/** Routes that are named in one sentence. */
const MAX_NAMED = 3

/** Commands of the last half minute. */
interface Answers {
  readonly requests: number
  /** Answered with an error by the primary. */
  readonly errors: number
  readonly unanswered: number
}

/** What the primaries have answered in the last half minute. */
export class RecentAnswers {
  #samples: readonly HistorySample[] = []

  add(sample: HistorySample): void {
    this.#samples = [...this.#samples, sample].slice(-RECENT)
  }

  of(route: string): Answers {
    const sum = (series: string): number =>
      this.#samples.reduce((sum, { routes, stepSeconds }) => sum + (routes[route]?.[series] ?? 0) * stepSeconds, 0)
    return {
      requests: Math.round(sum('primaryRequests')),
      errors: Math.round(sum('errors')),
      unanswered: Math.round(sum('timeouts')),
    }
  }
}

/**
 * Whether the application gets its answers, as far as can be seen from here: what has to be known first when somebody is woken. Trouble of a shadow does not reach it, unless its writes are to fail with the shadow's. A
 * route that suffers is named once, for the worst.
 */
export function applicationOf(
  configured: readonly RouteConfig[],
  stores: Readonly<Record<string, StoreStatus>>,
  routes: Readonly<Record<string, RouteStatus>>,
  recent: RecentAnswers,
): Status['application'] {
  const silent: string[] = []
  const replicas: string[] = []
  const failing: string[] = []
  const erring: string[] = []
  let [requests, errors] = [0, 0]
  for (const { name, mirror } of configured) {
    const { primary, shadow } = routes[name]!
    const answers = recent.of(name)
    const failsWithShadow = mirror.mode === 'sync' && mirror.onShadowError === 'fail'
    if (stores[primary]?.up === false || answers.unanswered > 0) silent.push(name)
    else if (isReplica(stores[primary]?.role ?? null)) replicas.push(name)
    else if (failsWithShadow && shadow !== null && stores[shadow]?.up === false) failing.push(name)
    else if (answers.errors > MAX_ERROR_SHARE * answers.requests) {
      erring.push(name)
      requests += answers.requests
      errors += answers.errors
    }
  }
  const which = (names: readonly string[]): string =>
    names.length === configured.length ? 'every route' : listed(names)
  const reasons = [
    ...(silent.length === 0 ? [] : [`the primary of ${which(silent)} does not answer`]),
    ...(replicas.length === 0 ? [] : [`the primary of ${which(replicas)} is a replica, which refuses writes`]),
    ...(failing.length === 0
      ? []
      : [
          `writes of ${which(failing)} are answered with an error while the shadow is down (mirror.onShadowError: fail)`,
        ]),
    ...(erring.length === 0
      ? []
      : [
          `the primary of ${which(erring)} answered ${errors} of ${requests} commands with an error in the last half minute`,
        ]),
  ]
  return { served: reasons.length === 0, reasons }
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED
  return `${names.slice(0, MAX_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
