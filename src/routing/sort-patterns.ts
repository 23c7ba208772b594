import { patternKeyEnd } from '../command/keys.ts'
import { commonKey, type Segment } from '../config/patterns/key-language.ts'
import { segmentsOf } from '../config/patterns/pattern-overlap.ts'
import { changeOf } from '../config/patterns/rename-change.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { Plan } from './plan.ts'
import type { KeyRule } from './route.ts'
import type { RouteTable } from './route-table.ts'

/**
 * SORT's BY and GET stand for a key for each element: the pattern with the element in the place of its `*`. The store puts the elements in, so the
 * pattern is renamed, which is right only if every key it can stand for is renamed in the same way and lies on the same store.
 *
 *   BY job:*:weight      job:{id} -> step:{id}                    step:*:weight
 *                        job:{id}:weight -> weight-of:{id}        refused: an element `7:weight` would be another route's key
 *
 * An element that is empty does not count: the key that it makes (`job:` of `job:*`) may be another route's, and is hardly ever meant.
 */

/** Refuses what cannot be renamed. Call for a command with patterns, whose keys are planned. */
export function planPatterns(table: RouteTable, view: CommandView, plan: Plan): void {
  const { positions } = plan
  for (let i = 0; i < positions.patternCount; i++) {
    const arg = positions.patternIndex[i]!
    const meaning = meaningOf(table, view.buf.subarray(view.start[arg]!, patternKeyEnd(view, arg)))
    if (meaning === null || meaning.stores.some((store) => store !== plan.route.primary.store)) {
      plan.refusal = meaning === null ? INEXACT : ELSEWHERE
      return
    }
    if (meaning.rule?.primary != null) plan.renames = true
  }
}

/** The pattern's name at the primary; null: it keeps its own. */
export function renamePattern(table: RouteTable, buf: Buffer, start: number, end: number): Buffer | null {
  return meaningOf(table, buf.subarray(start, end))?.rule?.primary?.apply(buf, start, end) ?? null
}

interface Meaning {
  /** Whose rename is right for every key that the pattern stands for. */
  readonly rule: KeyRule | null
  readonly stores: readonly number[]
}

/** Null: its keys are renamed in different ways. */
function meaningOf(table: RouteTable, pattern: Buffer): Meaning | null {
  const star = pattern.indexOf(STAR)
  const [front, back] = [pattern.subarray(0, star), pattern.subarray(star + 1)]
  const language: Segment[] = [
    { kind: 'literal', bytes: front },
    { kind: 'capture', until: null },
    { kind: 'literal', bytes: back },
  ]
  const met: KeyRule[] = []
  let covering: KeyRule | null = null
  for (const rule of table.rules) {
    if (commonKey(segmentsOf(rule.pattern), language) === null) continue
    met.push(rule)
    if (!covers(rule, front, back)) continue
    covering = rule
    break
  }
  const stores = [...new Set(met.map((rule) => rule.route.primary.store))]
  const changes = new Set(met.map((rule) => changeOf(rule.primary)))
  if (changes.size > 1) return null
  if (met.every((rule) => rule.primary === null)) return { rule: null, stores }
  // The store takes the first star for the place of the element.
  if (covering?.primary == null || covering.primary.to.literalPrefix.includes(STAR)) return null
  return { rule: covering, stores }
}

/** Whether every key that begins and ends so is the rule's, unless a more specific rule has it. */
function covers({ pattern }: KeyRule, front: Buffer, back: Buffer): boolean {
  const { literalPrefix, literalSuffix, wildcards } = pattern
  if (wildcards.length !== 1 || front.length < literalPrefix.length || back.length < literalSuffix.length) return false
  if (!front.subarray(0, literalPrefix.length).equals(literalPrefix)) return false
  return back.subarray(back.length - literalSuffix.length).equals(literalSuffix)
}

const STAR = 0x2a
const INEXACT =
  'ERR Understudy cannot rename a pattern of SORT whose keys are renamed in different ways, by the element that takes the place of the star. Name the keys in routes that rename them alike'
const ELSEWHERE =
  'CROSSROUTE The keys that a pattern of SORT stands for are on another store than the key that is sorted'
