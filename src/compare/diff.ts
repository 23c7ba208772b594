import type { Args } from '../command/effects.ts'
import type { CommandSpec } from '../command/spec.ts'
import { ErrorReply, type Reply } from '../resp/reply.ts'
import { classify, type Difference } from './classify.ts'
import { compareExpiries } from './expiry-diff.ts'
import { differingPaths } from './json-paths.ts'
import { isList, normalise, type Value } from './normalise.ts'
import { type ValueOptions, type ValueReader, valueReaderOf } from './structured-values.ts'

export type { Difference } from './classify.ts'

export interface CompareOptions extends ValueOptions {
  readonly ttlToleranceMs: number
  /** Wall clock, ms since the epoch. Default: now. */
  readonly nowMs?: number
}

/** What two answers to one read say. */
export interface Outcome {
  /** null: they mean the same. */
  readonly difference: Difference | null
  /** The same only because of what the route decodes or ignores. */
  readonly ignored: boolean
  /** The shadow does not have the script or function: nothing can be said. */
  readonly notThere: boolean
}

/**
 * Compares two answers to the same read (`args` as the application sent it). What "the same" is depends on the command: see `CompareClass`. A command
 * that is never compared has no difference.
 */
export function compareAnswers(
  spec: CommandSpec,
  args: Args,
  primary: Reply,
  shadow: Reply,
  options: CompareOptions,
): Outcome {
  const { compare } = spec
  if (compare === null || compare.kind === 'skipped') return SAME
  const reader = valueReaderOf(options)
  const there = normalise(spec, args, primary, reader)
  const here = normalise(spec, args, shadow, reader)
  const isError = there instanceof ErrorReply || here instanceof ErrorReply
  if (compare.kind === 'ttl' && !isError) {
    const { unitMs, absolute } = compare
    const nowMs = options.nowMs ?? Date.now()
    const tolerance = { unitMs, absolute, toleranceMs: options.ttlToleranceMs, nowMs }
    return { ...SAME, difference: compareExpiries(there, here, tolerance) }
  }
  if (compare.kind === 'script' && isNotThere(here) && !isNotThere(there)) {
    return { difference: classify(spec, there, here), ignored: false, notThere: true }
  }
  const difference = classify(spec, there, here)
  if (reader === null) return { ...SAME, difference }
  if (difference !== null) return { ...SAME, difference: withPaths(difference, reader, primary, shadow) }
  const asTheyAre = classify(spec, normalise(spec, args, primary, null), normalise(spec, args, shadow, null))
  return { ...SAME, ignored: asTheyAre !== null }
}

/** The same, for those who only ask whether there is a difference. */
export function compareReplies(
  spec: CommandSpec,
  args: Args,
  primary: Reply,
  shadow: Reply,
  options: CompareOptions,
): Difference | null {
  return compareAnswers(spec, args, primary, shadow, options).difference
}

const SAME: Outcome = { difference: null, ignored: false, notThere: false }

/** What a server says to a script or function that it does not have. */
function isNotThere(answer: Value): boolean {
  return answer instanceof ErrorReply && /^NOSCRIPT|^ERR Function not found/.test(answer.text)
}

const MAX_PATHS = 5

/** Says where structured values differ: the answers themselves, or those at the same place in them. */
function withPaths(difference: Difference, reader: ValueReader, primary: Reply, shadow: Reply): Difference {
  if (difference.class !== 'value') return difference
  const paths = new Set<string>()
  for (const [there, here] of pairs(primary, shadow)) {
    if (paths.size >= MAX_PATHS) break
    const a = reader.parse(there)
    const b = a === undefined ? undefined : reader.parse(here)
    if (a === undefined || b === undefined) continue
    for (const path of differingPaths(a, b, MAX_PATHS - paths.size)) paths.add(path)
  }
  if (paths.size === 0) return difference
  const list = [...paths]
  return { class: 'value', detail: `The structured values differ at ${list.join(', ')}.`, paths: list }
}

/** The texts of two answers that stand at the same place. */
function* pairs(primary: Reply, shadow: Reply): Generator<[Buffer, Buffer]> {
  if (Buffer.isBuffer(primary) && Buffer.isBuffer(shadow)) yield [primary, shadow]
  else if (isArray(primary) && isArray(shadow) && primary.length === shadow.length)
    for (const [i, item] of primary.entries()) yield* pairs(item, shadow[i]!)
}

function isArray(reply: Reply): reply is readonly Reply[] {
  return isList(reply as Value)
}
