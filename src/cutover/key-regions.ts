import { unservedDatabases } from '../config/checks/unserved-databases.ts'
import type { Config, EndConfig, RouteConfig } from '../config/config.ts'
import { keyspaceOf } from '../config/keyspace.ts'
import { KeyIndex } from '../config/patterns/key-index.ts'
import { haveCommonKeyOfSets } from '../config/patterns/key-language.ts'
import { KeySet, Work } from '../config/patterns/key-set.ts'
import { comparePatterns, KeyPattern } from '../config/patterns/pattern.ts'
import { segmentsOf } from '../config/patterns/pattern-overlap.ts'
import { KeyRename } from '../config/patterns/rename.ts'
import { changeOf } from '../config/patterns/rename-change.ts'
import { rolesOf } from '../routing/route.ts'

/** Where keys lie: the same text for the same names in the same keyspace. Null: nowhere. */
export type KeyPlace = string | null

export interface KeyPlaces {
  readonly primary: KeyPlace
  readonly shadow: KeyPlace
}

/** Keys that one pattern has in a configuration and one has in the next: what they may be is all that the two patterns win. */
export interface KeyRegion {
  readonly before: RouteConfig
  readonly after: RouteConfig
  /** The more specific of the two patterns. */
  readonly pattern: string
  readonly from: KeyPlaces
  readonly to: KeyPlaces
  /** Keys of a database that no client could have before are among them now. */
  readonly widens: boolean
}

/** Keyspaces of the next configuration that are known to be one of the configuration before under another address: text by text of `keyspaceOf`. */
export type SameKeyspaces = ReadonlyMap<string, string>

/**
 * Divides all keys by who has them before and after a change of the routes.
 *
 *   before   job:{id} ─ jobs    * ─ rest            region         before   after
 *   after    job:urgent ─ now   * ─ rest     ──▶    job:urgent     jobs     now
 *                                                   job:{id}       jobs     rest
 *                                                   *              rest     rest
 *
 * Decided and not guessed: a region that more specific patterns leave no key is none.
 */
export function keyRegions(old: Config, next: Config, same: SameKeyspaces): KeyRegion[] {
  const [before, after] = [rulesOf(old), rulesOf(next)]
  const [known, stays] = [textsOf(before), textsOf(after)]
  const regions: KeyRegion[] = []
  const unserved = unservedDatabases(next)
  const widens = [...unservedDatabases(old).keys()].some((database) => !unserved.has(database))
  const [indexBefore, indexAfter] = [indexOf(before), indexOf(after)]
  const work = new Work()
  const wonBefore = setsOf(indexBefore, work)
  const wonAfter = setsOf(indexAfter, work)
  for (const one of before) {
    for (const other of indexAfter.near(segmentsOf(one.pattern))) {
      const alike = one.pattern.text === other.pattern.text
      // A key of both would have been the other's before, and would be this one's now.
      if (!alike && stays.has(one.pattern.text) && known.has(other.pattern.text)) continue
      const isOwn = alike && one.route.name === other.route.name
      if (!isOwn && !haveCommonKeyOfSets(wonBefore(one), wonAfter(other), work)) continue
      regions.push({
        before: one.route,
        after: other.route,
        pattern: (comparePatterns(one.pattern, other.pattern) <= 0 ? one : other).pattern.text,
        from: placesOf(old, one, NONE),
        to: placesOf(next, other, same),
        widens,
      })
    }
  }
  return regions
}

/** Keyspaces are texts of `keyspaceOf`; `same`: what they were called before. */
function keyspaceIn(config: Config, store: string, same: SameKeyspaces): string {
  const text = keyspaceOf(config.stores[store]!)
  return same.get(text) ?? text
}

interface Rule {
  readonly route: RouteConfig
  readonly pattern: KeyPattern
}

const NONE: SameKeyspaces = new Map()

function rulesOf({ routes }: Config): Rule[] {
  return routes.flatMap((route) => route.keys.map((text) => ({ route, pattern: KeyPattern.parse(text) })))
}

function textsOf(rules: readonly Rule[]): Set<string> {
  return new Set(rules.map(({ pattern }) => pattern.text))
}

function indexOf(rules: readonly Rule[]): KeyIndex<Rule> {
  return new KeyIndex(rules, ({ pattern }) => segmentsOf(pattern))
}

/** What each rule wins: the keys of its pattern that no more specific one has. */
function setsOf(rules: KeyIndex<Rule>, work: Work): (rule: Rule) => KeySet {
  const sets = new Map<Rule, KeySet>()
  return (rule) => {
    let set = sets.get(rule)
    if (set === undefined) {
      const own = segmentsOf(rule.pattern)
      const winners = rules.near(own).filter(({ pattern }) => comparePatterns(pattern, rule.pattern) < 0)
      set = new KeySet(
        own,
        winners.map(({ pattern }) => segmentsOf(pattern)),
        work,
      )
      sets.set(rule, set)
    }
    return set
  }
}

function placesOf(config: Config, { route, pattern }: Rule, same: SameKeyspaces): KeyPlaces {
  const place = (which: 'source' | 'target' | null): KeyPlace => {
    const end = which === null ? null : route[which]
    if (end === null) return null
    return `${keyspaceIn(config, end.store, same)} ${changeOf(renameIn(end, pattern))}`
  }
  const { primary, shadow } = rolesOf(route.phase)
  return { primary: place(primary), shadow: place(shadow) }
}

function renameIn(end: EndConfig, pattern: KeyPattern): KeyRename | null {
  const to = end.keys[pattern.text]
  return to === undefined || to === pattern.text ? null : KeyRename.between(pattern, KeyPattern.parse(to))
}
