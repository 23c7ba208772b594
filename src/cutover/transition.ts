import type { Config, Phase, RouteConfig } from '../config/config.ts'
import { rolesOf } from '../routing/route.ts'
import { type KeyRegion, keyRegions, type SameKeyspaces } from './key-regions.ts'

/** What a new configuration means for the keys of one route, or for those that go from one route to another. */
export interface Transition {
  /** The route that has the keys then. */
  readonly route: string
  /** The route that has them now: the same, unless patterns change. */
  readonly before: string
  /** Patterns of keys that go to another route; empty: they stay. */
  readonly keys: readonly string[]
  readonly from: Phase
  readonly to: Phase
  /** Commands are held while the table is swapped: something about where they go changes. */
  readonly holds: boolean
  /** And what waits at their primary is called back: it, or the shadow that hears what is taken, is another store or has other names of the keys. */
  readonly recalls: boolean
  /** The authority moves to the store that was the shadow: both have to be equal first. */
  readonly movesPrimary: boolean
  /** Reads are to be answered by the store that was the shadow, and are not yet. */
  readonly movesReads: boolean
  /** The shadow is given up: what is known of it (dirty keys) means nothing any more. */
  readonly forgetsShadow: boolean
  /** Set when the step cannot be made safely: the new primary has not been kept up. */
  readonly unsafe: string | null
}

const NONE: SameKeyspaces = new Map()

/**
 * Compares two configurations: one transition a route that is in both, and one for each pair of routes of which the second takes keys from the first. `same`: keyspaces that are known to be the same under another
 * address.
 */
export function transitions(old: Config, next: Config, same: SameKeyspaces = NONE): Transition[] {
  const regions = Map.groupBy(keyRegions(old, next, same), (region) => region.after)
  const before = new Map(old.routes.map((route) => [route.name, route]))
  return next.routes.flatMap((after) => {
    const own = before.get(after.name)
    // In the order of the routes before, as the regions are.
    const taken = Map.groupBy(regions.get(after) ?? [], (region) => region.before)
    return [
      ...(own === undefined ? [] : [staying(old, next, own, after, taken.get(own) ?? [])]),
      ...[...taken].flatMap(([other, those]) => (other === own ? [] : [changingRoute(old, next, other, after, those)])),
    ]
  })
}

function staying(
  old: Config,
  next: Config,
  before: RouteConfig,
  after: RouteConfig,
  regions: readonly KeyRegion[],
): Transition {
  const rerouted = before.phase !== after.phase || where(old, before) !== where(next, after)
  return {
    ...stepOf(before, after, regions),
    keys: [],
    holds: rerouted || regions.some(isMoved),
    recalls: regions.some(isMoved) || endsOf(old, before) !== endsOf(next, after),
    movesReads: readsShadow(after) && !readsShadow(before),
  }
}

function changingRoute(
  old: Config,
  next: Config,
  before: RouteConfig,
  after: RouteConfig,
  regions: readonly KeyRegion[],
): Transition {
  const step = stepOf(before, after, regions)
  const patterns = regions.map(({ pattern }) => pattern)
  const readsElsewhere = ({ from, to }: KeyRegion) => to.shadow !== from.shadow && to.shadow !== from.primary
  const untested =
    step.unsafe === null && readsShadow(after) && regions.some(readsElsewhere)
      ? `reads of keys "${patterns.join('", "')}" would be answered by store '${storeOf(after, 'shadow')}', to which nothing of route '${before.name}' has been mirrored: go through mirror and a backfill first`
      : null
  const recalls = regions.some(isMoved) || endsOf(old, before) !== endsOf(next, after)
  return {
    ...step,
    keys: [...new Set(patterns)],
    holds: recalls || readsShadow(before) !== readsShadow(after),
    recalls,
    movesReads: readsShadow(after) && regions.some(({ from, to }) => !readsShadow(before) && to.shadow === from.shadow),
    // What is dirty goes with its keys.
    forgetsShadow: false,
    unsafe: step.unsafe ?? untested,
  }
}

function stepOf(
  before: RouteConfig,
  after: RouteConfig,
  regions: readonly KeyRegion[],
): Omit<Transition, 'keys' | 'holds' | 'recalls' | 'movesReads'> {
  const moved = regions.filter(({ from, to }) => from.primary !== to.primary)
  const unsafe = moved.filter(({ from, to }) => from.shadow !== to.primary)
  return {
    route: after.name,
    before: before.name,
    from: before.phase,
    to: after.phase,
    movesPrimary: moved.length > 0,
    forgetsShadow: regions.length > 0 && regions.every(forgetsShadow),
    unsafe: unsafe.length === 0 ? null : whyUnsafe(before, after, unsafe),
  }
}

function forgetsShadow({ from, to }: KeyRegion): boolean {
  if (from.shadow === null || from.shadow === to.shadow) return false
  return from.primary === to.primary || from.shadow !== to.primary || from.primary !== to.shadow
}

function isMoved({ from, to }: KeyRegion): boolean {
  return from.primary !== to.primary || from.shadow !== to.shadow
}

function whyUnsafe(before: RouteConfig, after: RouteConfig, regions: readonly KeyRegion[]): string {
  const [from, to] = [storeOf(before, 'primary'), storeOf(after, 'primary')]
  const through = 'go through mirror and a backfill first'
  // Mirroring to the source begins in switched.
  const safely = before.phase === 'done' ? 'bring it to switched, then run a backfill (and a verify) first' : through
  if (before.name !== after.name) {
    const keys = `keys "${[...new Set(regions.map(({ pattern }) => pattern))].join('", "')}"`
    const where = from === to ? `to other names on store '${to}'` : `from store '${from}' to '${to}'`
    return `${keys} of route '${before.name}' would move ${where}, where they have not been mirrored, so it lacks data: ${safely}, or force it where it may lack them`
  }
  if (from === to && before.phase === after.phase)
    return `its primary, store '${to}', would be another server or have other names of keys, to which nothing has been mirrored: make it the target of a route and ${through}, or force it where it holds the same data (a server that has moved)`
  return `writes have not been mirrored to store '${to}' (the route is in ${before.phase}), so it lacks data: ${safely}`
}

function storeOf(route: RouteConfig, role: 'primary' | 'shadow'): string | undefined {
  const end = rolesOf(route.phase)[role]
  return end === null ? undefined : route[end]?.store
}

function readsShadow({ phase }: RouteConfig): boolean {
  return phase === 'read-target'
}

/** The stores of its primary and its shadow, and how they are reached: another name is another store to whoever is connected, also at the same place. */
function endsOf({ stores }: Config, route: RouteConfig): string {
  const names = [storeOf(route, 'primary'), storeOf(route, 'shadow')]
  return JSON.stringify(names.map((name) => (name === undefined ? null : stores[name])))
}

/** How the route's stores are reached, and which channels it has there. */
function where(config: Config, { source, target }: RouteConfig): string {
  const stores = [source.store, target?.store].map((name) => (name === undefined ? null : config.stores[name]))
  return JSON.stringify([source.store, source.channels, target?.store, target?.channels, stores])
}

/** What a step leaves behind at the former primary, of what the new one may lack: so many dirty keys. `unknown`: it is to be forced, and was not made yet. */
export type LeftInStep = 'nothing' | 'unknown' | { readonly keys: number }

/** What a phase means, in sentences, for a route that comes from `from` (by default: that it has). */
export function consequencesOf(
  route: RouteConfig,
  phase: Phase,
  from: Phase = route.phase,
  left: LeftInStep = 'nothing',
): string[] {
  return [
    ...meaningOf(route, phase),
    ...(typeof left === 'object' ? [leftIn(route, from, left.keys)] : []),
    ...wayBackOf(route, from, phase, left),
  ]
}

/** What a forced step from this phase has left behind. */
export function leftIn(route: RouteConfig, from: Phase, keys: number): string {
  const { primary } = rolesOf(from)
  const ends = namesOf(route)
  const [former, next] = primary === 'source' ? [ends.source, ends.target] : [ends.target, ends.source]
  const which = keys === 0 ? 'Keys whose writes were on their way' : keys === 1 ? '1 key' : `${keys} keys`
  return `Left behind: ${which}. Their last values are on ${former}, and ${next} may lack them: run 'understudy verify ${route.name}', and look at what it lists before a repair copies over it.`
}

function meaningOf(route: RouteConfig, phase: Phase): string[] {
  const { source, target } = namesOf(route)
  switch (phase) {
    case 'passthrough':
      return [`Reads and writes go to ${source} only.`, 'Nothing is mirrored; the target falls behind from now on.']
    case 'mirror':
      return [`Reads are answered by ${source}.`, `Writes go to ${source}, then to ${target}.`]
    case 'shadow':
      return [
        samplesNone(route)
          ? `Reads are answered by ${source}. No read is sampled, so none is compared: set compare.sample.`
          : `Reads are answered by ${source}; sampled ones are compared on ${target}.`,
        `Writes go to ${source}, then to ${target}.`,
      ]
    case 'read-target':
      return [
        `Reads are answered by ${target}, and by ${source} when the target misses, errs or is slow.`,
        `Writes go to ${source}, then to ${target}.`,
      ]
    case 'switched':
      return [`Reads and writes are answered by ${target}.`, `Writes are mirrored back to ${source}.`]
    case 'done':
      return [`Reads and writes go to ${target} only.`]
  }
}

/** The default: nothing is read twice unasked. */
export function samplesNone({ compare }: RouteConfig): boolean {
  return compare.sample === 0 && compare.always.length === 0
}

/** Where the route comes from decides what a store lacks, and what the way back asks for: nothing is mirrored in `passthrough` and `done`. */
function wayBackOf(route: RouteConfig, from: Phase, to: Phase, left: LeftInStep): string[] {
  const { source, target } = namesOf(route)
  const toTarget = to === 'switched' || to === 'done'
  const toSource = `a backfill from ${target} to ${source}`
  if (from === to) return []
  if (from === 'done' && to === 'switched')
    return [
      `${source} lacks what was written in done.`,
      `Way back to it: needs ${toSource}, and a verify where it still holds keys.`,
    ]
  if (from === 'done')
    return [`${source} lacks what was written in done: bring the route to switched and run ${toSource} first.`]
  if (from === 'passthrough' && toTarget)
    return [`${target} lacks what was not mirrored to it: bring the route to mirror and run a backfill first.`]
  if (to === 'passthrough') return []
  if (to === 'done') return [`Way back: needs ${toSource}.`]
  const isWhole = to === 'switched' && left === 'nothing'
  return [isWhole ? 'Way back: edit the line back; nothing is lost.' : 'Way back: edit the line back.']
}

function namesOf({ source, target }: RouteConfig): { source: string; target: string | null } {
  return { source: `'${source.store}' (source)`, target: target === null ? null : `'${target.store}' (target)` }
}
