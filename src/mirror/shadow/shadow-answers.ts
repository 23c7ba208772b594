import { hashBytes } from '../../base/hash.ts'
import type { Args } from '../../command/effects.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { ASTERISK, COLON, CR, DOLLAR, MINUS, UNDERSCORE } from '../../resp/bytes.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'
import { runsScript } from '../effects/script-effects.ts'

/** Nothing is known of what the shadow should answer. */
export const NO_ANSWER = -1

/** `-READONLY` */
export function isReadOnly(buf: Buffer, start: number): boolean {
  return buf[start + 1] === 82 && buf[start + 5] === 79 && buf[start + 8] === 89
}

/** A hash of the integer reply at `from`, never negative: small enough for a slot's field, exact enough to notice another number. */
export function integerHash(reply: Buffer, from: number): number {
  let hash = 0
  for (let at = from + 1; reply[at] !== CR; at++) hash = (Math.imul(hash, 31) + reply[at]!) & 0x3fffffff
  return hash
}

/** A hash of a whole reply, for what an integer does not tell. A nil is the same in both protocols. */
export function frameHash(reply: Buffer, from: number, to: number): number {
  if (isNil(reply, from)) return 0
  return hashBytes(reply, from, to) & 0x3fffffff
}

/**
 * What the shadow has to answer to a command that was made of the primary's reply, if it holds what the primary held: the key whose time is set is there, and so are the one that is copied and what is taken out of a set. Of PERSIST
 * (GETEX ... PERSIST) the key need not have had a time; then it is copied for nothing. Of fields whose time is set or taken away it only matters that they are there (`lacksField`).
 */
export function answerToComputed({ name }: CommandSpec, args: Args): number {
  switch (name) {
    case 'PEXPIREAT':
    case 'PERSIST':
    case 'COPY':
    case 'HPEXPIREAT':
    case 'HPERSIST':
    case 'HSETEX':
      return ONE
    case 'SREM':
      return integerHash(Buffer.from(`:${args.length - 2}\r\n`), 0)
    default:
      return NO_ANSWER
  }
}

export const ZERO = integerHash(Buffer.from(':0\r\n'), 0)
export const ONE = integerHash(Buffer.from(':1\r\n'), 0)

/** The shadow's answer says that it had no element to move; the primary had. */
export function movedNothing({ name }: CommandSpec, buf: Buffer, start: number): boolean {
  return (name === 'LMOVE' || name === 'RPOPLPUSH') && isNil(buf, start)
}

function isNil(buf: Buffer, start: number): boolean {
  return buf[start] === UNDERSCORE || (buf[start] === DOLLAR && buf[start + 1] === MINUS)
}

/** Whether the shadow's answer says that it held something else than the primary. After these two it holds the same again, whatever it was: nothing. */
export function differs(spec: CommandSpec, answer: number, buf: Buffer, start: number, end: number): boolean {
  if (runsScript(spec)) return frameHash(buf, start, end) !== answer
  if (spec.name === 'HPEXPIREAT' || spec.name === 'HPERSIST') return lacksField(buf, start, end)
  if (buf[start] !== COLON || integerHash(buf, start) === answer) return false
  return spec.name !== 'DEL' && spec.name !== 'UNLINK'
}

/**
 * One answer for each field: 1, set or taken away; 2, the time has passed by now, as it will have on the primary; -1, it had no time; -2, there is no such field. The primary had them all: one that is missing
 * has expired here before its life was made longer.
 */
function lacksField(buf: Buffer, start: number, end: number): boolean {
  const offsets = buf[start] === ASTERISK ? elementOffsets(buf, start, end) : null
  if (offsets === null) return true
  for (let i = 0; i + 1 < offsets.length; i++) {
    const at = offsets[i]!
    if (buf[at] !== COLON || (buf[at + 1] === MINUS && buf[at + 2] === TWO)) return true
  }
  return offsets.length < 2
}

const TWO = 50

/** EXEC's reply holds the errors of its commands as elements; a nil instead of them cannot be, since nothing is watched. */
export function hasError(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] !== ASTERISK) return true
  const offsets = elementOffsets(buf, start, end)
  if (offsets === null) return true
  for (let i = 0; i + 1 < offsets.length; i++) if (buf[offsets[i]!] === MINUS) return true
  return false
}
