import { escapeGlob, type Glob } from './glob.ts'
import type { KeyRule } from './route.ts'

/**
 * Patterns for a store that together match the name of every key there whose application's name `glob` matches: as narrow as the routes allow, so that the store
 * need not send its whole keyspace. They may match more; what comes back is filtered under its application's name.
 *
 *   glob job:7*   job:{id} -> step:{id}        step:7*
 *                 *                            (nothing: job:{id} takes every such key)
 *   glob *                                     *
 *
 * @param rules most specific first, all routes'
 * @param isHere whether the rule's primary is the store that is asked
 */
export function storePatterns(glob: Glob, rules: readonly KeyRule[], isHere: (rule: KeyRule) => boolean): Buffer[] {
  if (rules.every((rule) => rule.primary === null)) return [glob.text]
  const { prefix } = glob
  const patterns: Buffer[] = []
  /** The one key that rules before have left over, when they took all others that begin with the prefix. */
  let leftOver: Buffer | null = null
  for (const rule of rules) {
    const { literalPrefix, wildcards, literalSuffix } = rule.pattern
    if (leftOver !== null && !rule.pattern.matches(leftOver, 0, leftOver.length)) continue
    if (!beginsWith(literalPrefix, prefix) && !beginsWith(prefix, literalPrefix)) continue
    if (isHere(rule)) patterns.push(leftOver === null ? patternOf(rule, glob) : namesOf(rule, leftOver))
    // The only key that is asked for is this rule's.
    if (leftOver !== null || (glob.literal && rule.pattern.matches(prefix, 0, prefix.length))) break
    // `job:{id}` and `job:*` take every key that begins so; the first not `job:` itself.
    const open = wildcards.length === 1 && literalSuffix.length === 0 && beginsWith(prefix, literalPrefix)
    if (!open) continue
    if (rule.pattern.endsInStar || prefix.length > literalPrefix.length) break
    leftOver = prefix
  }
  return patterns.some((pattern) => pattern.equals(EVERYTHING)) ? [EVERYTHING] : unique(patterns)
}

/** One pattern that matches whatever one of these does. */
export function commonPattern(patterns: readonly Buffer[]): Buffer {
  if (patterns.length === 1) return patterns[0]!
  return EVERYTHING
}

function patternOf({ pattern, primary }: KeyRule, glob: Glob): Buffer {
  if (primary === null) return glob.text
  const { from, to } = primary
  const sameFirst = from.wildcards[0]?.name === to.wildcards[0]?.name
  const single = from.wildcards.length === 1 && from.literalSuffix.length === 0 && sameFirst
  const rest =
    single && glob.prefix.length > pattern.literalPrefix.length
      ? glob.prefix.subarray(pattern.literalPrefix.length)
      : EMPTY
  const known = escapeGlob(Buffer.concat([to.literalPrefix, rest]))
  return to.wildcards.length === 0 ? known : Buffer.concat([known, EVERYTHING])
}

function namesOf({ primary }: KeyRule, key: Buffer): Buffer {
  return escapeGlob(primary?.apply(key, 0, key.length) ?? key)
}

function beginsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.length >= prefix.length && bytes.subarray(0, prefix.length).equals(prefix)
}

function unique(patterns: readonly Buffer[]): Buffer[] {
  return [...new Map(patterns.map((pattern) => [pattern.toString('latin1'), pattern])).values()]
}

const EVERYTHING = Buffer.from('*')
const EMPTY = Buffer.alloc(0)
