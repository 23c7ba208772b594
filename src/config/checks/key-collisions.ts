import type { StoreConfig } from '../config.ts'
import type { ConfigDocument } from '../file/document.ts'
import { type ConfigPath, shown } from '../file/problems.ts'
import type { EndDraft } from '../file/resolve-ends.ts'
import type { RouteDraft } from '../file/resolve-routes.ts'
import { keyspaceOf } from '../keyspace.ts'
import { KeyIndex } from '../patterns/key-index.ts'
import { commonKey, commonKeyOfSets, haveCommonKey, type Segment } from '../patterns/key-language.ts'
import { KeySet, Work } from '../patterns/key-set.ts'
import { comparePatterns, type KeyPattern } from '../patterns/pattern.ts'
import { segmentsOf } from '../patterns/pattern-overlap.ts'
import type { KeyRename } from '../patterns/rename.ts'
import { changedSegments, changeOf } from '../patterns/rename-change.ts'

/**
 * Two of the application's keys must never become one key of a store, and a key's name at the source must not be its name at the target in
 * the same store (Understudy would compare a store with itself and report green).
 *
 * Every pattern of every route occupies names at its source and at its target. Those that fall into one keyspace (server and database)
 * are compared in pairs, as far as their names begin and end alike:
 *
 *  - The same pattern at both ends: no name may be in both.
 *  - Different patterns: a shared name is harmless when both ends got it from the same key (a key takes one route only). That is so when
 *    neither is renamed, or when both renames change keys in the same way (see `changeOf`).
 *  - The pattern `*` under its own names is not compared: it stands for all other keys, and whoever renames into an
 *    unused part of the keyspace knows that it is unused.
 */
export function refuseCollisions(
  document: ConfigDocument,
  drafts: readonly RouteDraft[],
  stores: ReadonlyMap<string, StoreConfig>,
): void {
  const occupants = drafts.flatMap((route) => [
    ...occupantsOf(route, route.source, 'source', stores),
    ...occupantsOf(route, route.target, 'target', stores),
  ])
  const work = new Work()
  const given = new GivenNames(
    drafts.flatMap((route) => route.patterns.map(({ pattern }) => pattern)),
    work,
  )
  const reported = new Set<string>()
  const refuse = (earlier: Occupant, later: Occupant, message: string): void => {
    // Point to a rename, since that is what has to change.
    const culprit = later.rename === null && earlier.rename !== null ? earlier : later
    const path = [...culprit.end.path, ...(culprit.rename === null ? [] : ['keys', culprit.pattern.text])]
    const pair = `${JSON.stringify(path)} ${earlier.route.name} ${earlier.pattern.text} ${later.route.name} ${later.pattern.text}`
    if (reported.has(pair)) return
    reported.add(pair)
    document.refuse(path as ConfigPath, message)
  }
  const withItself = new Set<KeyPattern>()
  for (const [earlier, later] of pairsOf(occupants)) {
    if (earlier.pattern !== later.pattern) continue
    const message = selfCollision(earlier, later)
    if (message === null) continue
    withItself.add(later.pattern)
    refuse(earlier, later, message)
  }
  for (const [earlier, later] of pairsOf(occupants)) {
    // Names that have to change anyway are compared when they have.
    if (earlier.pattern === later.pattern || withItself.has(earlier.pattern) || withItself.has(later.pattern)) continue
    const message = collision(earlier, later, given)
    if (message !== null) refuse(earlier, later, message)
    // What is found from here on is said with care instead of exactly.
    if (work.isDone && reported.size > 0) return
  }
}

/** Those of one keyspace whose names begin and end alike, each pair once. */
function* pairsOf(occupants: readonly Occupant[]): Generator<readonly [earlier: Occupant, later: Occupant]> {
  const inKeyspace = new Map(
    [...Map.groupBy(occupants, ({ keyspace }) => keyspace)].map(([keyspace, those]) => [keyspace, indexOf(those)]),
  )
  for (const later of occupants) {
    for (const earlier of inKeyspace.get(later.keyspace)!.near(later.names)) {
      // The rest come after it, and are compared in their turn.
      if (earlier === later) break
      yield [earlier, later]
    }
  }
}

interface Occupant {
  readonly route: RouteDraft
  readonly end: EndDraft
  readonly side: 'source' | 'target'
  readonly store: string
  readonly keyspace: string
  readonly pattern: KeyPattern
  readonly rename: KeyRename | null
  readonly names: readonly Segment[]
}

function occupantsOf(
  route: RouteDraft,
  end: EndDraft | null,
  side: 'source' | 'target',
  stores: ReadonlyMap<string, StoreConfig>,
): Occupant[] {
  const store = end?.store === null || end === null ? undefined : stores.get(end.store)
  if (end === null || store === undefined) return []
  return route.patterns.flatMap(({ pattern }) => {
    if (end.unreadable.has(pattern.text)) return []
    const rename = end.renames.get(pattern.text) ?? null
    const names = rename === null ? segmentsOf(pattern) : rename.image()
    return { route, end, side, store: store.name, keyspace: keyspaceOf(store), pattern, rename, names }
  })
}

function indexOf(occupants: readonly Occupant[]): KeyIndex<Occupant> {
  return new KeyIndex(occupants, ({ names }) => names)
}

function selfCollision(source: Occupant, target: Occupant): string | null {
  const key = commonKey(source.names, target.names)
  if (key === null) return null
  const same = source.store === target.store ? 'the same store' : 'the same database of the same server'
  if (source.rename === null && target.rename === null) {
    return `source and target are ${same}, and "${target.pattern.text}" has the same names in both: they would be compared with themselves. Name another store, or give new names under "keys"`
  }
  const names = target.rename ?? source.rename
  return `source and target are ${same}, and the names "${names!.to.text}" fall among the others: ${shown(key)}, for example, would be two keys of the application. Choose names that "${target.pattern.text}" does not match`
}

function collision(a: Occupant, b: Occupant, given: GivenNames): string | null {
  if (isBareCatchAll(a) || isBareCatchAll(b) || changeOf(a.rename) === changeOf(b.rename)) return null
  // Before what is never given is found out: most have no name in common.
  if (!haveCommonKey(a.names, b.names, given.work)) return null
  const key = commonKeyOfSets(given.namesOf(a), given.namesOf(b), given.work)
  if (key === null) return null
  if (sameOrigin(a, b, key) || sameOrigin(b, a, key)) return null
  const [renamed, other] = b.rename !== null ? [b, a] : [a, b]
  const names =
    other.rename === null ? `"${other.pattern.text}"` : `"${other.pattern.text}" (renamed to "${other.rename.to.text}")`
  const where = other.route === renamed.route ? 'this route' : `route "${other.route.name}"`
  const [one, two] = [renamed, other].map(({ rename }) => shown(rename?.undo(key, 0, key.length) ?? key))
  return (
    `the new names of "${renamed.pattern.text}" meet those of ${names} of ${where} in store "${renamed.store}": ${shown(key)}, for example, would be two keys of the application, ${one} and ${two}. ` +
    `Choose other names; or, if it has no keys like ${two}, name them by a more specific pattern in a route without target`
  )
}

/**
 * What a rename would make of keys that more specific patterns take: no key of its own pattern has such a name. Only where a rename changes nothing but the beginning and the end, which can be said of another pattern's keys, too.
 *
 *     cart:{user} -> basket:{user}    cart:{user}:lines is another route's    basket:{user}:lines
 */
class GivenNames {
  readonly work: Work
  readonly #patterns: KeyIndex<KeyPattern>
  readonly #names = new Map<Occupant, KeySet>()

  constructor(patterns: readonly KeyPattern[], work: Work) {
    this.#patterns = new KeyIndex(patterns, segmentsOf)
    this.work = work
  }

  namesOf(occupant: Occupant): KeySet {
    let names = this.#names.get(occupant)
    if (names === undefined) {
      names = new KeySet(occupant.names, this.#neverBy(occupant), this.work)
      this.#names.set(occupant, names)
    }
    return names
  }

  #neverBy({ pattern, rename }: Occupant): (readonly Segment[])[] {
    // Keys that the pattern does not match would get no name by its rename.
    return this.#patterns.near(segmentsOf(pattern)).flatMap((other) => {
      if (comparePatterns(other, pattern) >= 0) return []
      const changed = rename === null ? segmentsOf(other) : changedSegments(rename, other)
      return changed === null ? [] : [changed]
    })
  }
}

function isBareCatchAll({ pattern, rename }: Occupant): boolean {
  return pattern.isCatchAll && rename === null
}

/** Whether `exact` is a single key and the one name that both can have comes from that key on both sides. */
function sameOrigin(exact: Occupant, other: Occupant, name: Buffer): boolean {
  if (exact.pattern.wildcards.length > 0) return false
  const origin = other.rename === null ? name : other.rename.undo(name, 0, name.length)
  return origin?.equals(exact.pattern.literalPrefix) === true
}
