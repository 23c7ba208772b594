import { argumentIs } from '../command/argument.ts'
import type { Args } from '../command/effects.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  PushReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from '../resp/reply.ts'
import type { ValueReader } from './structured-values.ts'

/**
 * A reply in the form in which two of them are compared: the same for RESP2 and RESP3, and for two answers that mean the same.
 *
 *   texts of every kind -> Buffer      booleans -> 0, 1        doubles -> number
 *   sets -> sorted array               maps of fields -> array of [field, value], sorted by field
 */
export type Value = null | Buffer | number | bigint | ErrorReply | readonly Value[]

/** The reply in the form described above, by the command's comparison class. `reader`: each text is read by it before anything is sorted. */
export function normalise(spec: CommandSpec, args: Args, reply: Reply, reader: ValueReader | null): Value {
  const value = spec.replyKeys === 'streams' ? streamEntries(reply, reader) : plain(reply, reader)
  if (!isList(value)) return spec.compare?.kind === 'scores' ? asNumber(value) : value
  switch (spec.compare?.kind) {
    case 'unordered':
      return sorted(value)
    case 'map':
      return sorted(pairsOf(value))
    case 'scores':
      return withScores(spec, args, value)
    case 'script':
      return sortedDeeply(value)
    case 'approximate':
      return withoutIdleTimes(value)
    default:
      // Without an order of its own (`BY nosort`) a set comes as it lies in memory.
      return spec.name === 'SORT_RO' && hasWord(args, 'BY') ? sorted(value) : value
  }
}

/**
 * Whether the answer to this very call is arbitrary, depends on the moment, or on keys that the call does not name, so that two of them say nothing
 * about each other: GEOSEARCH COUNT n ANY takes the first ones met; XPENDING IDLE, XREAD BLOCK and XREAD `$` depend on when they are asked.
 */
export function isArbitrary(spec: CommandSpec, view: CommandView): boolean {
  switch (spec.name) {
    case 'GEOSEARCH':
    case 'GEORADIUS_RO':
    case 'GEORADIUSBYMEMBER_RO':
      return saysWord(view, 'ANY')
    case 'XPENDING':
      return saysWord(view, 'IDLE')
    case 'XREAD':
      return saysWord(view, 'BLOCK') || saysWord(view, '$')
    default:
      return false
  }
}

function saysWord(view: CommandView, word: string): boolean {
  for (let i = 2; i < view.argc; i++) if (argumentIs(view, i, word)) return true
  return false
}

function hasWord(args: Args, word: string): boolean {
  return args.slice(2).some((arg) => arg.length === word.length && arg.toString('latin1').toUpperCase() === word)
}

function plain(reply: Reply, reader: ValueReader | null): Value {
  if (reply === null || typeof reply === 'number' || reply instanceof ErrorReply) return reply
  if (typeof reply === 'bigint') return reply
  if (typeof reply === 'boolean') return reply ? 1 : 0
  if (Buffer.isBuffer(reply)) return reader === null ? reply : reader.canonical(reply)
  if (reply instanceof SimpleReply) return Buffer.from(reply.text, 'latin1')
  if (reply instanceof VerbatimReply) return reader === null ? reply.bytes : reader.canonical(reply.bytes)
  if (reply instanceof DoubleReply) return reply.value
  if (reply instanceof MapReply) return reply.entries.flat().map((item) => plain(item, reader))
  const items = reply instanceof SetReply ? reply.members : reply instanceof PushReply ? reply.items : reply
  return items.map((item) => plain(item, reader))
}

/** XREAD: `[key, entries]`; RESP3 has a map. */
function streamEntries(reply: Reply, reader: ValueReader | null): Value {
  if (!(reply instanceof MapReply)) return plain(reply, reader)
  return reply.entries.map(([key, entries]) => [plain(key, null), plain(entries, reader)])
}

function withScores(spec: CommandSpec, args: Args, value: readonly Value[]): Value {
  switch (spec.name) {
    case 'ZMSCORE':
      return value.map(asNumber)
    case 'GEOPOS':
      return value.map((position) => (isList(position) ? position.map(asNumber) : position))
    case 'GEOSEARCH':
    case 'GEORADIUS_RO':
    case 'GEORADIUSBYMEMBER_RO':
      // The order is the scan's, or by a distance that two may share.
      return sorted(
        value.map((found) => (isList(found) ? [found[0] ?? null, ...found.slice(1).map(numbersIn)] : found)),
      )
    case 'ZRANK':
    case 'ZREVRANK':
      return value.map(asNumber)
    default:
      if (!hasWord(args, 'WITHSCORES')) return value
      // RESP3 has pairs where RESP2 is flat.
      return value.flat().map((item, i) => (i % 2 === 1 ? asNumber(item as Value) : (item as Value)))
  }
}

function numbersIn(value: Value): Value {
  return isList(value) ? value.map(numbersIn) : asNumber(value)
}

/** The number that a text spells; anything else stays what it is. */
function asNumber(value: Value): Value {
  if (!Buffer.isBuffer(value) || value.length === 0 || value.length > 400) return value
  const text = value.toString('latin1')
  if (text === 'inf' || text === '+inf') return Number.POSITIVE_INFINITY
  if (text === '-inf') return Number.NEGATIVE_INFINITY
  return /^[+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : value
}

/** XPENDING's `[id, consumer, idle, deliveries]`. */
function withoutIdleTimes(value: readonly Value[]): Value {
  return value.map((entry) => (isList(entry) && entry.length === 4 ? [entry[0]!, entry[1]!, 0, entry[3]!] : entry))
}

function pairsOf(flat: readonly Value[]): Value[] {
  const pairs: Value[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i]!, flat[i + 1]!])
  return pairs
}

function sorted(values: readonly Value[]): Value[] {
  const keyed = values.map((value) => ({ value, key: identity(value) }))
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  return keyed.map(({ value }) => value)
}

/** Lists in lists, too: a script gives sets and hashes in the order in which they lie in memory. */
function sortedDeeply(values: readonly Value[]): Value[] {
  return sorted(values.map((value) => (isList(value) ? sortedDeeply(value) : value)))
}

/** A string that two values have in common exactly when they are the same. */
export function identity(value: Value): string {
  if (value === null) return 'n'
  if (Buffer.isBuffer(value)) return `s${value.length}:${value.toString('latin1')}`
  if (isList(value)) return `[${value.map(identity).join('')}]`
  if (value instanceof ErrorReply) return `e${value.code};`
  // -0 and 0 are one score.
  return `d${typeof value === 'number' ? value + 0 : value};`
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}
