import type { Args } from '../command/effects.ts'
import type { CommandSpec } from '../command/spec.ts'
import { ErrorReply, type Reply } from '../resp/reply.ts'
import { classify, type Difference } from './classify.ts'
import { compareExpiries } from './expiry-diff.ts'
import { differingPaths, JsonFilter } from './json-paths.ts'
import { isComparable, normalise, type TextFilter } from './normalise.ts'

export type { Difference } from './classify.ts'

export interface CompareOptions {
  readonly ttlToleranceMs: number
  /** Paths (`$.updatedAt`) that do not count in values that are JSON. Empty: values are compared byte by byte. */
  readonly ignoreJson: readonly string[]
  /** Wall clock, ms since the epoch. Default: now. */
  readonly nowMs?: number
}

/**
 * Compares two answers to the same read (`args` as the application sent it). null: they mean the same, or it is a call whose answers cannot be
 * compared. What "the same" is depends on the command: see `CompareClass`.
 */
export function compareReplies(
  spec: CommandSpec,
  args: Args,
  primary: Reply,
  shadow: Reply,
  options: CompareOptions,
): Difference | null {
  const { compare } = spec
  if (compare === null || !isComparable(compare, args)) return null
  const json = jsonFilterOf(options.ignoreJson)
  const filter: TextFilter = json === null ? asItIs : (text) => json.apply(text)
  const there = normalise(spec, args, primary, filter)
  const here = normalise(spec, args, shadow, filter)
  const isError = there instanceof ErrorReply || here instanceof ErrorReply
  if (compare.kind === 'ttl' && !isError) {
    const { unitMs, absolute } = compare
    const nowMs = options.nowMs ?? Date.now()
    return compareExpiries(there, here, { unitMs, absolute, toleranceMs: options.ttlToleranceMs, nowMs })
  }
  const difference = classify(spec, there, here)
  if (difference?.class !== 'value' || json === null) return difference
  return Buffer.isBuffer(there) && Buffer.isBuffer(here) ? withPaths(difference, json, there, here) : difference
}

const MAX_PATHS = 5

/** Says where two JSON values differ, when both are. */
function withPaths(difference: Difference, json: JsonFilter, primary: Buffer, shadow: Buffer): Difference {
  const there = json.parse(primary)
  const here = json.parse(shadow)
  if (there === undefined || here === undefined) return difference
  return { class: 'value', detail: `The JSON values differ at ${differingPaths(there, here, MAX_PATHS).join(', ')}.` }
}

/** One filter a list of paths, kept as long as the configuration that holds the list. */
const filters = new WeakMap<readonly string[], JsonFilter>()

function jsonFilterOf(paths: readonly string[]): JsonFilter | null {
  if (paths.length === 0) return null
  let filter = filters.get(paths)
  if (filter === undefined) {
    filter = new JsonFilter(paths)
    filters.set(paths, filter)
  }
  return filter
}

function asItIs(text: Buffer): Buffer {
  return text
}
