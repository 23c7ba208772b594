import type { RouteConfig } from '../config/config.ts'
import { isReplica } from '../upstream/health.ts'
import type { RouteStatus, Status, StoreStatus } from './control.ts'
import type { Answers, RecentAnswers } from './recent-answers.ts'

/** As the alert on errors has it, which looks at five minutes. */
const MAX_ERROR_SHARE = 0.05
/** Half a minute can be a handful of commands, some of them mistyped: from so many errors on they are a share of something. */
const MIN_ERRORS = 20
/** Routes that are named in one sentence. */
const MAX_NAMED = 3

/**
 * Whether the application gets its answers, as far as can be seen from here: what has to be known first when somebody is woken. Trouble of a shadow does not reach it, unless its writes are to fail with the shadow's. A
 * route that suffers is named once, for the worst.
 *
 * @param whyNotServing of a store that is a primary, to be read behind its name
 */
export function applicationOf(
  configured: readonly RouteConfig[],
  stores: Readonly<Record<string, StoreStatus>>,
  routes: Readonly<Record<string, RouteStatus>>,
  recent: RecentAnswers,
  whyNotServing: (store: string) => string | null,
): Status['application'] {
  const silent = new Map<string, string[]>()
  const partly = new Map<string, string[]>()
  const replicas: string[] = []
  const failing: string[] = []
  const [unanswered, erring] = [new Counted(), new Counted()]
  for (const { name, mirror } of configured) {
    const { primary, shadow } = routes[name]!
    const why = whyNotServing(primary)
    const lacks = stores[primary]?.cluster?.error ?? null
    const answers = recent.of(name)
    const failsWithShadow = mirror.mode === 'sync' && mirror.onShadowError === 'fail'
    if (why !== null) addTo(silent, why, name)
    else if (lacks !== null) addTo(partly, lacks, name)
    else if (isReplica(stores[primary]?.role ?? null)) replicas.push(name)
    else if (answers.unanswered > 0) unanswered.add(name, answers, answers.unanswered)
    else if (failsWithShadow && shadow !== null && stores[shadow]?.up === false) failing.push(name)
    else if (answers.errors >= MIN_ERRORS && answers.errors > MAX_ERROR_SHARE * answers.requests)
      erring.add(name, answers, answers.errors)
  }
  const which = (names: readonly string[]): string =>
    names.length === configured.length ? 'every route' : listed(names)
  const reasons = [
    ...[...silent].map(([why, names]) => `the primary of ${which(names)} ${why}`),
    ...[...partly].map(([lacks, names]) => `a part of the primary of ${which(names)} is away: ${lacks}`),
    ...(replicas.length === 0 ? [] : [`the primary of ${which(replicas)} is a replica, which refuses writes`]),
    ...unanswered.told(
      (names, of) => `${of} commands to the primary of ${which(names)} got no answer in the last half minute`,
    ),
    ...(failing.length === 0
      ? []
      : [
          `writes of ${which(failing)} are answered with an error while the shadow is down (mirror.onShadowError: fail)`,
        ]),
    ...erring.told(
      (names, of) => `the primary of ${which(names)} answered ${of} commands with an error in the last half minute`,
    ),
  ]
  return { served: reasons.length === 0, reasons }
}

/** Routes, and so many of their commands. */
class Counted {
  readonly #names: string[] = []
  #some = 0
  #all = 0

  add(name: string, { requests }: Answers, some: number): void {
    this.#names.push(name)
    this.#some += some
    this.#all += requests
  }

  /** Nothing, if there are none; `of`: "3 of 10". */
  told(sentence: (names: readonly string[], of: string) => string): string[] {
    return this.#names.length === 0 ? [] : [sentence(this.#names, `${this.#some} of ${this.#all}`)]
  }
}

function addTo(lists: Map<string, string[]>, under: string, name: string): void {
  const list = lists.get(under)
  if (list === undefined) lists.set(under, [name])
  else list.push(name)
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED
  return `${names.slice(0, MAX_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
