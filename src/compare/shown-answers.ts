import { createHmac, randomBytes } from 'node:crypto'
import { printableKey } from '../base/printable-key.ts'
import type { Args } from '../command/effects.ts'
import type { CommandSpec } from '../command/spec.ts'
import { ErrorReply, type Reply } from '../resp/reply.ts'
import { shownCode } from './classify.ts'
import { identity, isList, normalise, type Value } from './normalise.ts'
import { structureIn, type ValueOptions, valueReaderOf } from './structured-values.ts'

export interface ShownAnswers {
  readonly primary: string
  readonly shadow: string
}

/**
 * Two answers to one read as people see them: in the form in which they were compared, so that what only RESP2 and RESP3, the order in memory or a
 * compression tell apart does not look like a difference.
 *
 * Masked: type, length and a short hash, `string, 12 bytes, #1f03a9c2`, never what is in them. With `reveal: 'values'`: the values, up to 1,000 characters around
 * the first place where they differ.
 */
export function shownAnswers(
  spec: CommandSpec,
  args: Args,
  primary: Reply,
  shadow: Reply,
  options: ValueOptions & { readonly reveal: 'masked' | 'values' },
): ShownAnswers {
  const reader = valueReaderOf(options)
  const there = normalise(spec, args, primary, reader)
  const here = normalise(spec, args, shadow, reader)
  if (options.reveal === 'masked') return { primary: masked(spec, there), shadow: masked(spec, here) }
  return aroundDifference(readable(spec, there), readable(spec, here))
}

/** Of this process only: so a hash tells that two values are equal, but no list of likely values can be tried against it elsewhere. */
const SALT = randomBytes(16)

function masked(spec: CommandSpec, value: Value): string {
  if (value === null) return 'nil'
  if (value instanceof ErrorReply) return `error ${shownCode(value)}`
  const hash = createHmac('sha256', SALT).update(identity(value), 'latin1').digest('hex').slice(0, 8)
  return `${shapeOf(spec, value)}, #${hash}`
}

function shapeOf(spec: CommandSpec, value: Exclude<Value, null | ErrorReply>): string {
  if (Buffer.isBuffer(value)) {
    const structure = structureIn(value)
    if (structure === null) return `string, ${counted(value.length, 'byte')}`
    return `document, ${counted(structure.length, 'character')}`
  }
  if (!isList(value)) return typeof value === 'number' && !Number.isInteger(value) ? 'double' : 'integer'
  if (spec.compare?.kind === 'map') return `map, ${counted(value.length, 'field')}`
  if (spec.compare?.kind === 'unordered') return `set, ${counted(value.length, 'member')}`
  return `array, ${counted(value.length, 'element')}`
}

function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

function readable(spec: CommandSpec, value: Value): string {
  if (isList(value) && spec.compare?.kind === 'map')
    return `{${value.map((pair) => (isList(pair) ? pair.map(readableValue).join(': ') : readableValue(pair))).join(', ')}}`
  return readableValue(value)
}

function readableValue(value: Value): string {
  if (value === null) return 'nil'
  if (isList(value)) return `[${value.map(readableValue).join(', ')}]`
  if (Buffer.isBuffer(value)) return structureIn(value) ?? readableText(value)
  return value instanceof ErrorReply ? `(error) ${value.text}` : String(value)
}

/** Bytes that are no text are told byte by byte: as replacement characters, two that differ would look the same. */
function readableText(bytes: Buffer): string {
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? JSON.stringify(text) : `"${printableKey(bytes)}"`
}

const MAX_SHOWN = 1_000
/** How much of what is the same stands before the difference. */
const LEAD = 200

function aroundDifference(primary: string, shadow: string): ShownAnswers {
  const shorter = Math.min(primary.length, shadow.length)
  let same = 0
  while (same < shorter && primary[same] === shadow[same]) same++
  // From the beginning where that shows the difference, too.
  const from = same < MAX_SHOWN - LEAD ? 0 : same - LEAD
  return { primary: cut(primary, from), shadow: cut(shadow, from) }
}

function cut(text: string, from: number): string {
  if (from === 0 && text.length <= MAX_SHOWN) return text
  const part = `${from === 0 ? '' : '...'}${text.slice(from, from + MAX_SHOWN)}${from + MAX_SHOWN < text.length ? '...' : ''}`
  return `${part} (${from === 0 ? '' : `from character ${from + 1} `}of ${counted(text.length, 'character')})`
}
