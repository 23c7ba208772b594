import type { CommandSpec } from '../command/spec.ts'
import type { MismatchClass } from '../config/config.ts'
import { ErrorReply } from '../resp/reply.ts'
import { identity, isList, type Value } from './normalise.ts'

export interface Difference {
  readonly class: MismatchClass
  /** One sentence, without values. */
  readonly detail: string
  /** Where structured values differ. */
  readonly paths?: readonly string[]
}

/** Answered with 0 where there is no key: what they count cannot be empty and exist. */
const ZERO_IS_MISSING: readonly string[] = ['EXISTS', 'LLEN', 'SCARD', 'HLEN', 'ZCARD', 'VCARD']
const LENGTHS: readonly string[] = [
  ...ZERO_IS_MISSING,
  'STRLEN',
  'HSTRLEN',
  'XLEN',
  'ARLEN',
  'JSON.STRLEN',
  'JSON.ARRLEN',
  'JSON.OBJLEN',
]

/** What kind of difference there is between two normalised answers; null: none. */
export function classify(spec: CommandSpec, primary: Value, shadow: Value): Difference | null {
  if (isSame(primary, shadow)) return null
  if (primary instanceof ErrorReply || shadow instanceof ErrorReply) return errors(primary, shadow)
  if (isNothing(spec, primary)) return isNothing(spec, shadow) ? null : extra('a value')
  if (isNothing(spec, shadow)) return missing('a value')
  if (isList(primary) !== isList(shadow))
    return { class: 'type', detail: 'One answer is a list and the other a single value.' }
  if (isList(primary) && isList(shadow)) return lists(spec, primary, shadow)
  if (spec.name === 'TYPE') return { class: 'type', detail: 'The key holds another type on the shadow.' }
  if (typeof primary === 'number' && typeof shadow === 'number') return numbers(spec, primary, shadow)
  return { class: 'value', detail: 'The values differ.' }
}

/** Equal, with a number and the text that spells it taken as one (RESP3 has doubles where RESP2 has texts). */
function isSame(a: Value, b: Value): boolean {
  if (isList(a) && isList(b)) return a.length === b.length && a.every((item, i) => isSame(item, b[i]!))
  if (typeof a === 'number' && Buffer.isBuffer(b)) return spells(b, a)
  if (typeof b === 'number' && Buffer.isBuffer(a)) return spells(a, b)
  return identity(a) === identity(b)
}

function spells(text: Buffer, value: number): boolean {
  return text.length > 0 && Number(text.toString('latin1').replace('inf', 'Infinity')) === value
}

/** A nil, an empty list, TYPE's `none`. An empty text is a value. */
function isNothing(spec: CommandSpec, value: Value): boolean {
  if (value === null || (isList(value) && value.length === 0)) return true
  if (value === 0 && ZERO_IS_MISSING.includes(spec.name)) return true
  return spec.name === 'TYPE' && Buffer.isBuffer(value) && value.toString('latin1') === 'none'
}

function errors(primary: Value, shadow: Value): Difference {
  const there = primary instanceof ErrorReply ? shownCode(primary) : null
  const here = shadow instanceof ErrorReply ? shownCode(shadow) : null
  if ((there === 'WRONGTYPE') !== (here === 'WRONGTYPE')) {
    return { class: 'type', detail: `Only the ${there === null ? 'shadow' : 'primary'} finds a key of the wrong type.` }
  }
  if (there === null) return { class: 'error', detail: `Only the shadow answers with an error (${here}).` }
  if (here === null) return { class: 'error', detail: `Only the primary answers with an error (${there}).` }
  return { class: 'error', detail: `The errors differ: ${there} on the primary, ${here} on the shadow.` }
}

/** An error's code as it may be shown: what a script answers as an error can begin with anything. */
export function shownCode(error: ErrorReply): string {
  return /^[A-Z][A-Z0-9_]{0,30}$/.test(error.code) ? error.code : 'ERR'
}

function numbers(spec: CommandSpec, primary: number, shadow: number): Difference {
  if (spec.name === 'EXISTS') return shadow < primary ? missing('a key') : extra('a key')
  if (LENGTHS.includes(spec.name))
    return { class: 'length', detail: `The length is ${primary} on the primary and ${shadow} on the shadow.` }
  return { class: 'value', detail: 'The numbers differ.' }
}

function lists(spec: CommandSpec, primary: readonly Value[], shadow: readonly Value[]): Difference {
  const isUnordered = spec.compare?.kind === 'unordered' || spec.compare?.kind === 'script'
  if (spec.compare?.kind === 'map') return fields(primary, shadow)
  if (primary.length !== shadow.length) {
    return { class: 'length', detail: `${primary.length} elements on the primary, ${shadow.length} on the shadow.` }
  }
  if (isUnordered) {
    const { onlyFirst, onlySecond } = withoutCommon(primary, shadow)
    return {
      class: 'value',
      detail: `${count(onlyFirst, 'member')} only on the primary, ${count(onlySecond, 'member')} only on the shadow.`,
    }
  }
  return elements(primary, shadow)
}

function elements(primary: readonly Value[], shadow: readonly Value[]): Difference {
  const { onlyFirst } = withoutCommon(primary, shadow)
  if (onlyFirst === 0) return { class: 'order', detail: `The same ${primary.length} elements in another order.` }
  const differing = primary.flatMap((item, i) => (isSame(item, shadow[i]!) ? [] : [i]))
  const places = `${count(differing.length, 'element')} of ${primary.length}`
  if (differing.every((i) => shadow[i] === null)) return missing(places)
  if (differing.every((i) => primary[i] === null)) return extra(places)
  return {
    class: 'value',
    detail: `${places} ${differing.length === 1 ? 'differs' : 'differ'}, the first at index ${differing[0]}.`,
  }
}

/** `[field, value]` pairs. */
function fields(primary: readonly Value[], shadow: readonly Value[]): Difference {
  const there = new Map(primary.map((pair) => [identity((pair as Value[])[0]!), (pair as Value[])[1]!]))
  const here = new Map(shadow.map((pair) => [identity((pair as Value[])[0]!), (pair as Value[])[1]!]))
  const lacking = [...there.keys()].filter((field) => !here.has(field)).length
  const more = [...here.keys()].filter((field) => !there.has(field)).length
  const changed = [...there].filter(([field, value]) => here.has(field) && !isSame(value, here.get(field)!)).length
  const detail = `${count(lacking, 'field')} only on the primary, ${more} only on the shadow, ${changed} with another value.`
  return { class: there.size === here.size ? 'value' : 'length', detail }
}

/** How many of each are left when what both have is struck out, one for one. */
function withoutCommon(a: readonly Value[], b: readonly Value[]): { onlyFirst: number; onlySecond: number } {
  const counts = new Map<string, number>()
  for (const item of a) counts.set(identity(item), (counts.get(identity(item)) ?? 0) + 1)
  let onlySecond = 0
  for (const item of b) {
    const left = counts.get(identity(item)) ?? 0
    if (left === 0) onlySecond++
    else counts.set(identity(item), left - 1)
  }
  return { onlyFirst: a.length - (b.length - onlySecond), onlySecond }
}

function missing(what: string): Difference {
  return { class: 'missing', detail: `The shadow lacks ${what} that the primary has.` }
}

function extra(what: string): Difference {
  return { class: 'extra', detail: `The shadow has ${what} that the primary lacks.` }
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}
