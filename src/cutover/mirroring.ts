import type { RouteConfig } from '../config/config.ts'
import type { EndName } from '../jobs/stores/end-keys.ts'
import { rolesOf } from '../routing/route.ts'
import type { KeyRegion } from './key-regions.ts'

/** What is known about the two ends of a route that is mirrored. */
export interface Mirroring {
  /** When mirroring began, ms since the epoch. */
  readonly sinceMs: number
  /** The end that may lack what the other held before mirroring began, or what a cleanup has deleted there; null: both hold everything. */
  readonly incomplete: EndName | null
  /** The end that held keys of the route before mirroring towards it began: some may be of another time, and a backfill does not look at them. Null: none did. */
  readonly held: EndName | null
  /** When a job began, or went on, to change one end alone (a cleanup, a restore): what another job had found before says nothing any more. Null: none has. */
  readonly alteredMs: number | null
  readonly backfilledMs: number | null
  readonly verifiedMs: number | null
}

/** What is known of all keys of a route from the routes that had them; null: some were not mirrored, or between other places. `before`: what is known of those. */
export function inheritedMirroring(
  route: RouteConfig,
  regions: readonly KeyRegion[],
  before: { of(route: string): Mirroring | null },
): Mirroring | null {
  const parts = regions
    .filter(({ after }) => after.name === route.name)
    .map((region) => {
      const known = before.of(region.before.name)
      return known === null || !joinsSamePlaces(region) ? null : inWordsOf(region, known)
    })
  const known = parts.filter((part) => part !== null)
  if (known.length === 0 || known.length < parts.length) return null
  return known.reduce((one, other) => leastOf(one, other, rolesOf(route.phase).shadow))
}

/** The two places between which the keys are mirrored are what they were, maybe with their roles changed, and no others have come to them. */
function joinsSamePlaces({ from, to, widens }: KeyRegion): boolean {
  if (widens || from.shadow === null || to.shadow === null) return false
  return (
    (from.primary === to.primary && from.shadow === to.shadow) ||
    (from.primary === to.shadow && from.shadow === to.primary)
  )
}

/** An end of the route before is the one of the route after at the same place. */
function inWordsOf({ before, after, from, to }: KeyRegion, known: Mirroring): Mirroring {
  const translated = (end: EndName | null): EndName | null => {
    if (end === null) return null
    const place = end === rolesOf(before.phase).primary ? from.primary : from.shadow
    return place === to.primary ? rolesOf(after.phase).primary : rolesOf(after.phase).shadow
  }
  return { ...known, incomplete: translated(known.incomplete), held: translated(known.held) }
}

/** Where one part lacks at one end and one at the other, the end that does not answer is told. */
function leastOf(one: Mirroring, other: Mirroring, shadow: EndName | null): Mirroring {
  const join = (a: EndName | null, b: EndName | null) => (a === null || b === null || a === b ? (a ?? b) : shadow)
  const later = (a: number | null, b: number | null) => (a === null || b === null ? (a ?? b) : Math.max(a, b))
  const earlier = (a: number | null, b: number | null) => (a === null || b === null ? null : Math.min(a, b))
  return {
    sinceMs: Math.max(one.sinceMs, other.sinceMs),
    incomplete: join(one.incomplete, other.incomplete),
    held: join(one.held, other.held),
    alteredMs: later(one.alteredMs, other.alteredMs),
    backfilledMs: earlier(one.backfilledMs, other.backfilledMs),
    verifiedMs: earlier(one.verifiedMs, other.verifiedMs),
  }
}
