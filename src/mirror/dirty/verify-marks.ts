/** Why keys of a route may differ that nobody can name. */
export const VERIFY_CAUSES = [
  /** More dirty keys than are remembered. */
  'overflow',
  /** What was being written is not known: the state directory was full, damaged, removed, or the machine ended. */
  'state-lost',
  /** The shadow is not the server that it was: what it had acknowledged it may have lost. */
  'shadow-restarted',
  /** The shadow answered READONLY: as a replica it gets another server's data. */
  'shadow-replica',
  /** The shadow throws keys out for want of memory. */
  'shadow-evicts',
  /** The primary is not the server that it was: what it has lost is still on the shadow. */
  'primary-restarted',
  /** The primary's clock was set: times to live given in that moment may be other ones on the shadow. */
  'primary-clock',
  /** The Sentinels of the primary's store have made another server the primary: a replica, which may not have had the last writes. */
  'failed-over',
  /** The same of the shadow's. */
  'shadow-failed-over',
  /** Of a FLUSHALL, FLUSHDB or SWAPDB it is not known whether it happened. */
  'server-wide',
  /** A script has written to keys that it does not declare, or may have, and the shadow may lack that. */
  'script',
  /** An effect on functions was lost, or mirroring begins: they are compared and brought over by themselves (`function-sync.ts`). */
  'functions',
  /** The shadow may also have functions that the primary has not: those are deleted. */
  'functions-removed',
  /** The primary was changed while keys were dirty: by force, or in the configuration while nothing ran. */
  'turned',
  /** The primary was changed so, and changed back: what was in doubt about the one between is so about the shadow now. */
  'turned-back',
  /** Keys of a route that is gone, and needed one, are this route's now. */
  'rerouted',
] as const
export type VerifyCause = (typeof VERIFY_CAUSES)[number]

/** No verify of keys settles it. */
export function isOfFunctions(cause: string): boolean {
  return cause === 'functions' || cause === 'functions-removed'
}

/** Causes of which the primary may be the side that lacks something; of all others it is the shadow. With the one that says the same when the roles of the two are exchanged. */
const OF_PRIMARY: ReadonlyMap<string, VerifyCause> = new Map([
  ['primary-restarted', 'shadow-restarted'],
  ['failed-over', 'shadow-failed-over'],
  ['turned', 'turned-back'],
])
const OF_SHADOW: ReadonlyMap<string, VerifyCause> = new Map(
  [...OF_PRIMARY].map(([cause, other]) => [other, cause as VerifyCause]),
)

/** A copy from the primary may overwrite or delete what only the shadow has: for people to say. */
export function mayPrimaryLack(causes: readonly string[]): boolean {
  return causes.some((cause) => OF_PRIMARY.has(cause))
}

/** So may the shadow, for a reason of the same kind. */
export function mayShadowLack(causes: readonly string[]): boolean {
  return causes.some((cause) => OF_SHADOW.has(cause))
}

/**
 * What a cause of one route is called at another one that has got keys of it. `isExchanged`: their roles are the other way round there. `turned` may have been said of the one before or after that, so it is said of both sides.
 */
export function inheritedCauses(cause: VerifyCause, isExchanged: boolean): readonly VerifyCause[] {
  const counterpart = OF_PRIMARY.get(cause) ?? OF_SHADOW.get(cause)
  if (!isExchanged) return [counterpart === undefined ? 'rerouted' : cause]
  return cause === 'turned' ? ['turned', 'turned-back'] : [counterpart ?? 'turned']
}

/** Routes that only a verify can tell about, and why. */
export class VerifyMarks {
  readonly #causes = new Map<string, Set<VerifyCause>>()
  readonly #times = new Map<string, number>()
  readonly #primaryTimes = new Map<string, number>()
  readonly #functionTimes = new Map<string, number>()
  /** Of 'functions': libraries that the primary may have deleted, by route. */
  readonly #removed = new Map<string, Set<string>>()
  readonly #onNew: (route: string, cause: VerifyCause) => void
  readonly #onChange: () => void

  /** `onNew`: the route needs a verify from now on, or for another cause as well. `onChange`: something is to be written down. */
  constructor(onNew: (route: string, cause: VerifyCause) => void, onChange: () => void) {
    this.#onNew = onNew
    this.#onChange = onChange
  }

  /** Something of the route may differ, and nobody can name the keys. */
  mark(route: string, cause: VerifyCause): void {
    const times = isOfFunctions(cause) ? this.#functionTimes : this.#times
    times.set(route, (times.get(route) ?? 0) + 1)
    if (OF_PRIMARY.has(cause)) this.#primaryTimes.set(route, this.primaryTimes(route) + 1)
    let causes = this.#causes.get(route)
    if (causes === undefined) this.#causes.set(route, (causes = new Set()))
    if (causes.has(cause)) return
    causes.add(cause)
    this.#onChange()
    this.#onNew(route, cause)
  }

  /** The shadow may still have this library of functions, and the primary has it no more. To be told ahead of the cause 'functions'. */
  removed(route: string, library: string): void {
    let libraries = this.#removed.get(route)
    if (libraries === undefined) this.#removed.set(route, (libraries = new Set()))
    libraries.add(library)
    this.#onChange()
  }

  /** Those. */
  removedLibraries(route: string): ReadonlySet<string> {
    return this.#removed.get(route) ?? NONE
  }

  /** Of no route a function is to be deleted on the shadow because the primary lacks it. */
  forgetRemoved(): void {
    for (const route of [...this.#removed.keys()]) this.#dropRemoved(route)
    for (const route of [...this.#causes.keys()]) this.lift(route, 'functions-removed')
  }

  /** The shadow's functions are the primary's. */
  functionsSettled(route: string): void {
    this.#dropRemoved(route)
    this.lift(route, 'functions-removed')
    this.lift(route, 'functions')
  }

  /** What is in doubt about functions is so of another route from now on, and which side is right as little known there as here. */
  handOnFunctions(from: string, to: string): void {
    for (const library of this.removedLibraries(from)) this.removed(to, library)
    for (const cause of this.causes(from)) if (isOfFunctions(cause) || cause === 'turned') this.mark(to, cause)
    this.functionsSettled(from)
  }

  #dropRemoved(route: string): void {
    if (this.#removed.delete(route)) this.#onChange()
  }

  has(route: string): boolean {
    return this.#causes.has(route)
  }

  causes(route: string): VerifyCause[] {
    return [...(this.#causes.get(route) ?? [])]
  }

  /** A verify is needed: keys may differ, not only functions. */
  ofKeys(route: string): boolean {
    const causes = this.#causes.get(route)
    if (causes === undefined) return false
    for (const cause of causes) if (!isOfFunctions(cause)) return true
    return false
  }

  /** How often the route was marked for its keys: a verify that began before the last time has not looked for what happened then. */
  times(route: string): number {
    return this.#times.get(route) ?? 0
  }

  /** How often of that the primary may be the side that lacks something. */
  primaryTimes(route: string): number {
    return this.#primaryTimes.get(route) ?? 0
  }

  /** The same for functions, and who compares these. */
  functionTimes(route: string): number {
    return this.#functionTimes.get(route) ?? 0
  }

  /** One of the causes is such that the primary may be the side that lacks something. */
  mayPrimaryLack(route: string): boolean {
    const causes = this.#causes.get(route)
    if (causes === undefined) return false
    for (const cause of causes) if (OF_PRIMARY.has(cause)) return true
    return false
  }

  hasCause(route: string, cause: VerifyCause): boolean {
    return this.#causes.get(route)?.has(cause) === true
  }

  /** The route's primary becomes its shadow, and the reverse: what the one may lack is from now on said of the other. */
  exchange(route: string): void {
    const causes = this.causes(route).filter((cause) => !isOfFunctions(cause))
    for (const cause of causes) this.lift(route, cause)
    for (const cause of causes) this.mark(route, OF_PRIMARY.get(cause) ?? OF_SHADOW.get(cause) ?? 'turned')
  }

  /** One cause is settled. */
  lift(route: string, cause: VerifyCause): void {
    const causes = this.#causes.get(route)
    if (causes?.delete(cause) !== true) return
    if (causes.size === 0) this.#causes.delete(route)
    this.#onChange()
  }

  /** A complete verify has looked at every key; but not at functions. */
  verified(route: string): void {
    for (const cause of this.causes(route)) if (!isOfFunctions(cause)) this.lift(route, cause)
  }

  /** The route mirrors no more. */
  clear(route: string): void {
    this.#removed.delete(route)
    if (this.#causes.delete(route)) this.#onChange()
  }

  *all(): Generator<readonly [route: string, cause: VerifyCause]> {
    for (const [route, causes] of this.#causes) for (const cause of causes) yield [route, cause]
  }

  *allRemoved(): Generator<readonly [route: string, library: string]> {
    for (const [route, libraries] of this.#removed) for (const library of libraries) yield [route, library]
  }
}

const NONE: ReadonlySet<string> = new Set()
