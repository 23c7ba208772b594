import type { KeyPattern } from '../config/patterns/pattern.ts'

/** What has a pattern, the most specific first. */
type Patterned = { readonly pattern: KeyPattern }

/**
 * The rules that keys with certain first bytes may match, the most specific first. Many of them are told apart by the next byte in which they differ, so that a key is not held against each of a thousand:
 *
 *   t2:x:{id}  t1:{id}  t2:{id}  {any}:y   ─ byte 1 ─┬─ `1` ─▶ t1:{id}  {any}:y
 *                                                    ├─ `2` ─▶ t2:x:{id}  t2:{id}  {any}:y
 *                                                    └─ else ▶ {any}:y
 */
export interface RuleTree<Rule extends Patterned> {
  readonly rules: readonly Rule[]
  /** The byte of the key that tells them apart; -1: those that it would tell apart are few. */
  readonly at: number
  readonly byByte: ReadonlyMap<number, RuleTree<Rule>>
  /** Of keys that have another byte there, or none. */
  readonly others: RuleTree<Rule> | null
}

/** `from`: before this byte they do not differ. */
export function ruleTree<Rule extends Patterned>(rules: readonly Rule[], from: number, depth = 0): RuleTree<Rule> {
  const told = rules.filter(({ pattern: { literalPrefix } }) => literalPrefix.length > from)
  const at = told.length > FEW && depth < DEEPEST ? differAt(rules, from) : -1
  if (at === -1) return { rules, at, byByte: new Map(), others: null }
  const bytes = new Set(rules.flatMap(({ pattern: { literalPrefix } }) => [...literalPrefix.subarray(at, at + 1)]))
  const of = (byte: number | null) =>
    ruleTree(
      rules.filter(({ pattern: { literalPrefix } }) => literalPrefix.length <= at || literalPrefix[at] === byte),
      at + 1,
      depth + 1,
    )
  return { rules, at, byByte: new Map([...bytes].map((byte) => [byte, of(byte)])), others: of(null) }
}

/** The first rule that the key `buf[start .. end)` matches. Allocates nothing. */
export function findRule<Rule extends Patterned>(
  tree: RuleTree<Rule>,
  buf: Buffer,
  start: number,
  end: number,
): Rule | null {
  const rules = candidates(tree, buf, start, end)
  for (let i = 0; i < rules.length; i++) if (rules[i]!.pattern.matches(buf, start, end)) return rules[i]!
  return null
}

/** Rules that the key may match, in their order: no other one does. */
export function candidates<Rule extends Patterned>(
  tree: RuleTree<Rule>,
  buf: Buffer,
  start: number,
  end: number,
): readonly Rule[] {
  let node = tree
  while (node.at !== -1) {
    const place = start + node.at
    node = (place < end ? node.byByte.get(buf[place]!) : undefined) ?? node.others!
  }
  return node.rules
}

/** The first byte from `from` on that not all of them begin with; -1: none is known to differ. */
function differAt(rules: readonly Patterned[], from: number): number {
  const first = rules[0]!.pattern.literalPrefix
  const most = rules.reduce((length, { pattern }) => Math.max(length, pattern.literalPrefix.length), 0)
  for (let at = from; at < most; at++) {
    if (rules.some(({ pattern: { literalPrefix } }) => literalPrefix.length <= at || literalPrefix[at] !== first[at]))
      return at
  }
  return -1
}

/** So many are tried one after the other, beside those that any key may match: these are in every branch, so that many branches of many of them would take much memory. */
const FEW = 8
/** Patterns of which each begins as the next one does and goes on would make a level each, with all that are longer: beyond so many levels they are tried one after the other. */
const DEEPEST = 64
