import { hashBytes } from '../base/hash.ts'
import type { CommandSpec } from '../command/spec.ts'
import { ASTERISK, COLON, CR, DOLLAR, MINUS, UNDERSCORE } from '../resp/bytes.ts'
import { elementOffsets } from '../resp/decode.ts'
import { runsScript } from './script-effects.ts'

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
  if (reply[from] === UNDERSCORE || (reply[from] === DOLLAR && reply[from + 1] === MINUS)) return 0
  return hashBytes(reply, from, to) & 0x3fffffff
}

/** Whether the shadow's answer says that it held something else than the primary. After these two it holds the same again, whatever it was: nothing. */
export function differs(spec: CommandSpec, answer: number, buf: Buffer, start: number, end: number): boolean {
  if (runsScript(spec)) return frameHash(buf, start, end) !== answer
  if (buf[start] !== COLON || integerHash(buf, start) === answer) return false
  return spec.name !== 'DEL' && spec.name !== 'UNLINK'
}

/** EXEC's reply holds the errors of its commands as elements; a nil instead of them cannot be, since nothing is watched. */
export function hasError(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] !== ASTERISK) return true
  const offsets = elementOffsets(buf, start, end)
  if (offsets === null) return true
  for (let i = 0; i + 1 < offsets.length; i++) if (buf[offsets[i]!] === MINUS) return true
  return false
}
