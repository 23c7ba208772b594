import { isDeepStrictEqual } from 'node:util'
import type { Config, RouteConfig, StoreConfig } from '../config/config.ts'
import type { UnsettledVerify } from '../jobs/runner/unsettled-keys.ts'
import type { EndName } from '../jobs/stores/end-keys.ts'
import { isOfFunctions } from '../mirror/dirty/verify-marks.ts'
import type { Stats } from '../proxy/messages.ts'
import { rolesOf } from '../routing/route.ts'
import type { Completeness } from './completeness.ts'
import { crossSlotVerdict } from './cross-slot-gate.ts'
import { functionsInDoubt, functionsMissing, functionsRouteOf } from './functions-gate.ts'
import type { SameKeyspaces } from './key-regions.ts'
import { mismatchVerdict } from './mismatch-gate.ts'
import { renamedUnderScripts, splitUnderScripts } from './scripts-gate.ts'
import { doubted, type StepWarning, stepWarnings, verifyIn } from './step-warnings.ts'
import { type Transition, transitions } from './transition.ts'
import { repairAdvice } from './verify-advice.ts'

export interface GateSources {
  readonly stats: () => Promise<Stats>
  /** The store answers its health probe. */
  readonly isUp: (store: string) => boolean
  /** The store follows a primary of its own: it takes no writes, and its data is that one's. */
  readonly isReplica: (store: string) => boolean
  /** Both are known to be one server under two addresses. */
  readonly areOne: (one: StoreConfig, other: StoreConfig) => Promise<boolean>
  readonly completeness: Completeness
  /** A cleanup of the route is under way. */
  readonly isCleaning: (route: string) => boolean
  /** Confirmed differences of the route that are listed, neither mended nor acknowledged. */
  readonly openMismatches: (route: string) => number
  /** As `ChangeGuards.unsettled`. */
  readonly unsettled: (route: string) => UnsettledVerify | null
}

/** One condition of a step, as it is now. */
export interface GateView {
  readonly route: string
  readonly open: boolean
  /** Why it is closed and what to do, or what is so. */
  readonly reason: string
}

interface Gate extends GateView {
  /** It may open by itself in a moment. */
  readonly passing: boolean
}

/** How long a switch waits, without holding anybody, for the stores to become equal before it asks for the hold. */
const APPROACH_MS = 10_000
const LOOK_EVERY_MS = 50
/** A backlog that a hold can drain in a blink. */
const SMALL_BACKLOG = 1_000
/** Keys that are copied all the time because they are written all the time: while writes are held, so many take a blink. */
const MANY_HOT = 1_000

/** Keys whose writes are settled by copies (what scripts write, queues on which consumers wait, writes on several connections at once) are dirty for so long at most. */
const FRESH_MS = 1_000

/** What has to be so before a route's authority moves, or its reads do. Each closed gate is a sentence. */
export class Gates {
  readonly #sources: GateSources

  constructor(sources: GateSources) {
    this.#sources = sources
  }

  /** Every gate on the way from one configuration to the next, open or closed. */
  async all(old: Config, next: Config, same?: SameKeyspaces): Promise<GateView[]> {
    return (await this.#look(old, next, same)).map(({ route, open, reason }) => ({ route, open, reason }))
  }

  /** Waits for those that may open by themselves; gives what stayed closed. */
  async approach(old: Config, next: Config, same?: SameKeyspaces): Promise<string[]> {
    const deadline = performance.now() + APPROACH_MS
    for (;;) {
      const closed = (await this.#look(old, next, same)).filter((gate) => !gate.open)
      if (closed.every((gate) => !gate.passing) || performance.now() > deadline) return closed.map(sentenceOf)
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  /** What is known on the way from one configuration to the next that closes no gate. */
  async warnings(old: Config, next: Config, same?: SameKeyspaces): Promise<StepWarning[]> {
    const steps = transitions(old, next, same).filter((step) => isGated(step) && step.unsafe === null)
    if (steps.length === 0) return []
    const stats = await this.#sources.stats()
    return steps.flatMap((step) => stepWarnings(step, next, stats, this.#unsettledIn(old, step.before, stats)))
  }

  /** What to do about keys of a route that a verify has listed; null: there are none. */
  #unsettledIn({ routes }: Config, name: string, stats: Stats): string | null {
    const unsettled = this.#sources.unsettled(name)
    if (unsettled === null) return null
    const route = routes.find((other) => other.name === name)!
    return repairAdvice(doubted(route, stats.routes[name]?.verifyCauses ?? [], this.#incompleteEnd(route)), unsettled)
  }

  #incompleteEnd({ name }: RouteConfig): EndName | null {
    return this.#sources.completeness.of(name)?.incomplete ?? null
  }

  async #look(old: Config, next: Config, same?: SameKeyspaces): Promise<Gate[]> {
    const begins = await this.#ofBeginnings(old, next)
    const steps = transitions(old, next, same).filter(isGated)
    if (steps.length === 0) return begins
    const stats = await this.#sources.stats()
    const gates = await Promise.all(steps.map((step) => this.#of(step, old, next, stats)))
    return [...begins, ...gates.flat()]
  }

  /** Mirroring must not begin from a server to itself: each write would be executed twice. Only closed ones are told. */
  async #ofBeginnings(old: Config, next: Config): Promise<Gate[]> {
    const gates = await Promise.all(
      next.routes.map(async (route): Promise<Gate[]> => {
        const ends = mirroredEnds(next, route)
        const before = old.routes.find(({ name }) => name === route.name)
        const known = before === undefined ? null : mirroredEnds(old, before)
        if (ends === null || isDeepStrictEqual(ends, known) || !(await this.#sources.areOne(...ends))) return []
        return [{ route: route.name, open: false, reason: oneServer(ends[0].name, ends[1].name), passing: false }]
      }),
    )
    return gates.flat()
  }

  async #of(step: Transition, old: Config, next: Config, stats: Stats): Promise<Gate[]> {
    const whose = ofKeys(step)
    const gate: MakeGate = (closed, open, passing = false) => {
      return { route: step.route, open: closed === null, reason: `${whose}${closed ?? open}`, passing }
    }
    if (step.unsafe !== null) return [{ ...gate(step.unsafe, ''), reason: step.unsafe }]
    const route = old.routes.find((other) => other.name === step.before)!
    const gates: Gate[] = []
    for (const end of reliedOn(step)) {
      const lacking = await this.#sources.completeness.lacking(old, route, end, stats.routes[route.name]?.verifyCauses)
      gates.push(gate(lacking, `store '${route[end]?.store}' holds everything from before mirroring began`))
    }
    if (movesToTarget(step)) {
      const open = (): number => this.#sources.openMismatches(route.name)
      const compared = mismatchVerdict(route, next, stats, open, this.#incompleteEnd(route))
      gates.push(gate(compared.closed, compared.open))
    }
    const slots = movesToTarget(step) && step.movesPrimary ? crossSlotVerdict(next, route, stats) : null
    if (slots !== null) gates.push(gate(slots.closed, slots.open))
    if (!step.movesPrimary) return [...gates, ...this.#ofTarget(old, route, stats, gate)]
    const cleaning = this.#sources.isCleaning(step.before) || this.#sources.isCleaning(step.route)
    gates.push(
      gate(cleaning ? 'a cleanup is deleting keys: let it end, or cancel it' : null, 'no cleanup is under way'),
    )
    const renamed = renamedUnderScripts(route, rolesOf(step.from).shadow!, stats)
    if (renamed !== undefined) gates.push(gate(renamed, 'no script has been seen that makes names of keys itself'))
    const split = movesToTarget(step) ? splitUnderScripts(next, stats) : undefined
    if (split !== undefined) gates.push(gate(split, 'no script has been seen that may use keys of another route'))
    return [
      ...gates,
      ...this.#ofPrimary(route, gate),
      ...this.#ofTarget(old, route, stats, gate),
      ...this.#ofMirror(route, stats, gate),
    ]
  }

  /** Of the store that the authority leaves: only it can tell that the other one has its last writes. */
  #ofPrimary(route: RouteConfig, gate: MakeGate): Gate[] {
    const primary = route[rolesOf(route.phase).primary]!.store
    if (primary === shadowOf(route)) return []
    const name = `store '${primary}', the primary until now,`
    return [
      gate(
        unless(
          this.#sources.isUp(primary),
          `${name} does not answer: what it has not mirrored is lost; --force --reason TEXT goes all the same`,
        ),
        `${name} answers`,
        true,
      ),
    ]
  }

  /** Of the store that is to be relied on: without it the step would be one in name only. */
  #ofTarget(config: Config, route: RouteConfig, stats: Stats, gate: MakeGate): Gate[] {
    const of = stats.routes[route.name]
    const shadow = shadowOf(route)
    if (of === undefined || shadow === undefined) return []
    const same = stats.stores[shadow]?.sameAs ?? null
    const causes = of.verifyCauses.filter((cause) => !isOfFunctions(cause))
    const functionsRoute = functionsRouteOf(config, route)
    const inDoubt = functionsInDoubt(stats.routes[functionsRoute] ?? of, shadow, functionsRoute)
    const missing = inDoubt === null ? functionsMissing(of, shadow) : null
    return [
      ...(same === null ? [] : [gate(oneServer(same, shadow), '')]),
      gate(unless(this.#sources.isUp(shadow), `store '${shadow}' does not answer`), `store '${shadow}' answers`, true),
      ...(this.#sources.isReplica(shadow)
        ? [
            gate(
              `store '${shadow}' is a replica: it takes no writes, and what it holds is its primary's. Promote it first (REPLICAOF NO ONE)`,
              '',
              true,
            ),
          ]
        : []),
      gate(
        unless(
          !of.needsVerify || (causes.length === 0 && of.verifyCauses.length > 0),
          `keys that nobody can name may differ (${causes.join(', ')}): ${verifyIn(config, route, { causes, incomplete: this.#incompleteEnd(route) }, this.#sources.unsettled(route.name))}`,
        ),
        'every key in doubt is known by name',
      ),
      ...(inDoubt === null ? [] : [gate(inDoubt.reason, '', inDoubt.passing)]),
      ...(missing === null ? [] : [gate(missing, '', true)]),
    ]
  }

  #ofMirror(route: RouteConfig, stats: Stats, gate: MakeGate): Gate[] {
    const of = stats.routes[route.name]
    const shadow = shadowOf(route)
    if (of === undefined || shadow === undefined) return []
    const missing = of.dirtyKeys - of.hotKeys
    const underWay = of.oldestDirtyMs <= FRESH_MS && of.dirtyKeys === passingKeys(of)
    const { strandedDatabases: stranded, strandedBecause } = of
    return [
      ...(stranded.length === 0
        ? []
        : [
            gate(
              `keys of database ${stranded.join(', ')} cannot be copied to '${shadow}': ${strandedBecause}. Move them to a database that it has under names of their own, or delete them`,
              '',
            ),
          ]),
      gate(
        unless(
          (missing === 0 || underWay) && of.dirtyKeys <= MANY_HOT,
          `${of.dirtyKeys === 1 ? '1 key is' : `${of.dirtyKeys} keys are`} not copied to '${shadow}' yet`,
        ),
        `every key in doubt has been copied to '${shadow}'${of.dirtyKeys === 0 ? '' : `, and ${of.dirtyKeys === 1 ? '1 that is' : `${of.dirtyKeys} that are`} written all the time will be as soon as writes are held`}`,
        true,
      ),
      gate(
        unless(of.backlogCommands <= SMALL_BACKLOG, `${of.backlogCommands} writes still wait for '${shadow}'`),
        `no more writes wait for '${shadow}' than a blink takes`,
        true,
      ),
    ]
  }
}

/** `closed`: why it is, or null; `open`: what is so when it is open. */
type MakeGate = (closed: string | null, open: string, passing?: boolean) => Gate

/** Dirty for no other reason than that each write is settled by a copy. */
function passingKeys({ dirtyReasons }: Pick<Stats['routes'][string], 'dirtyReasons'>): number {
  return (dirtyReasons['state-copy'] ?? 0) + (dirtyReasons['overlap'] ?? 0)
}

function unless(open: boolean, closed: string): string | null {
  return open ? null : closed
}

function oneServer(one: string, other: string): string {
  return `stores '${one}' and '${other}' are one server under two addresses: every write would be executed twice there, and compared with itself. Let the target be another server; or, for new names on the same one, name one store for both ends`
}

/** Of a route that is mirrored between two stores, these two; null: it is not. */
function mirroredEnds({ stores }: Config, { phase, source, target }: RouteConfig): [StoreConfig, StoreConfig] | null {
  if (rolesOf(phase).shadow === null || target === null || target.store === source.store) return null
  return [stores[source.store]!, stores[target.store]!]
}

function shadowOf(route: RouteConfig): string | undefined {
  const { shadow: end } = rolesOf(route.phase)
  return end === null ? undefined : route[end]?.store
}

/** A closed gate in the words of an error. */
export function sentenceOf({ route, reason }: GateView): string {
  return `route '${route}': ${reason}`
}

/** Which keys a condition is about, where it is not the whole route. */
export function ofKeys({ keys, before }: Transition): string {
  return keys.length === 0 ? '' : `keys "${keys.join('", "')}" of route '${before}': `
}

/** Steps that rely on a store more than before. */
export function isGated({ movesPrimary, movesReads, unsafe }: Transition): boolean {
  return movesPrimary || movesReads || unsafe !== null
}

/** Reads or writes are to be answered by the target, and are not yet. */
export function movesToTarget({ movesPrimary, movesReads, from }: Transition): boolean {
  return movesReads ? rolesOf(from).primary === 'source' : movesPrimary && rolesOf(from).shadow === 'target'
}

/** Ends, of the route before, that are relied on after the step, and were not before. */
export function reliedOn({ movesPrimary, movesReads, from }: Transition): EndName[] {
  const { primary, shadow } = rolesOf(from)
  const ends: EndName[] = movesPrimary && shadow !== null ? [shadow] : []
  return movesReads && primary === 'source' ? [...ends, 'target'] : ends
}
