import type { Config, Phase, RouteConfig } from '../config/config.ts'
import { rolesOf } from '../routing/route.ts'

/** What a new configuration means for one route. */
export interface Transition {
  readonly route: string
  readonly from: Phase
  readonly to: Phase
  /** Commands are held while the table is swapped: something about where they go changes. */
  readonly holds: boolean
  /** The authority moves to the store that was the shadow: both have to be equal first. */
  readonly movesPrimary: boolean
  /** The shadow is given up: what is known of it (dirty keys) means nothing any more. */
  readonly forgetsShadow: boolean
  /** Set when the step cannot be made safely: the new primary has not been kept up. */
  readonly unsafe: string | null
}

/** Compares two configurations route by route; a route that is new or gone has no transition. */
export function transitions(old: Config, next: Config): Transition[] {
  const list: Transition[] = []
  for (const route of next.routes) {
    const before = old.routes.find((other) => other.name === route.name)
    if (before !== undefined) list.push(transition(old, next, before, route))
  }
  return list
}

function transition(old: Config, next: Config, before: RouteConfig, after: RouteConfig): Transition {
  const fromPrimary = endOf(before, rolesOf(before.phase).primary)
  const toPrimary = endOf(after, rolesOf(after.phase).primary)
  const fromShadow = endOf(before, rolesOf(before.phase).shadow)
  const toShadow = endOf(after, rolesOf(after.phase).shadow)
  const movesPrimary = fromPrimary !== toPrimary
  return {
    route: after.name,
    from: before.phase,
    to: after.phase,
    holds: before.phase !== after.phase || where(old, before) !== where(next, after),
    movesPrimary,
    forgetsShadow:
      fromShadow !== null &&
      fromShadow !== toShadow &&
      !(movesPrimary && fromShadow === toPrimary && toShadow === fromPrimary),
    unsafe:
      movesPrimary && fromShadow !== toPrimary
        ? `writes have not been mirrored to store '${JSON.parse(toPrimary!).store}' (the route is in ${before.phase}), so it lacks data: go through mirror and a backfill first`
        : null,
  }
}

/** One end as a comparable text: the store and the names on it. */
function endOf(route: RouteConfig, which: 'source' | 'target' | null): string | null {
  const end = which === null ? null : which === 'source' ? route.source : route.target
  return end === null ? null : JSON.stringify({ store: end.store, keys: end.keys })
}

/** Everything that decides where the route's commands go. */
function where(config: Config, route: RouteConfig): string {
  const stores = [route.source.store, route.target?.store].map((name) =>
    name === undefined ? null : config.stores[name],
  )
  return JSON.stringify([route.keys, route.source, route.target, stores])
}

/** What a phase means, in sentences. */
export function consequencesOf(route: RouteConfig, phase: Phase): string[] {
  const source = `'${route.source.store}' (source)`
  const target = route.target === null ? null : `'${route.target.store}' (target)`
  switch (phase) {
    case 'passthrough':
      return [`Reads and writes go to ${source} only.`, 'Nothing is mirrored; the target falls behind from now on.']
    case 'mirror':
      return [
        `Reads are answered by ${source}.`,
        `Writes go to ${source}, then to ${target}.`,
        'Way back: edit the line back.',
      ]
    case 'shadow':
      return [
        `Reads are answered by ${source}; sampled ones are compared on ${target}.`,
        `Writes go to ${source}, then to ${target}.`,
        'Way back: edit the line back.',
      ]
    case 'read-target':
      return [
        `Reads are answered by ${target}, and by ${source} when the target misses, errs or is slow.`,
        `Writes go to ${source}, then to ${target}.`,
        'Way back: edit the line back.',
      ]
    case 'switched':
      return [
        `Reads and writes are answered by ${target}.`,
        `Writes are mirrored back to ${source}.`,
        'Way back: edit the line back; nothing is lost.',
      ]
    case 'done':
      return [`Reads and writes go to ${target} only.`, `Way back: needs a backfill from ${target} to ${source}.`]
  }
}
