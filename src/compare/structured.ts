import { heldNumber, sameDigits } from './exact-number.ts'

/** What a value means, in plain data that JSON can spell. For what JSON has no form for, and for numbers that a double does not hold, there are tagged texts. */
export type Structured = null | boolean | number | string | Structured[] | { [name: string]: Structured }

/** A text; one that begins as the tagged ones do gets another mark, so that it is none of them. */
export function textOf(text: string): string {
  return text.charCodeAt(0) === 0 ? `${MARK}${text}` : text
}

/** A number that is written `source`. One that a double does not hold keeps its digits: else 9007199254740993 would equal ...992. */
export function numberIn(source: string): Structured {
  return heldNumber(source) ?? tagged('number', sameDigits(source))
}

export function numberOf(value: number | bigint): Structured {
  if (Object.is(value, -0)) return numberIn('-0')
  return typeof value === 'bigint' || !Number.isFinite(value) ? numberIn(String(value)) : value
}

export function bytesOf(kind: string, bytes: Buffer): Structured {
  return tagged(kind, bytes.toString('hex'))
}

/** Seconds since the epoch, and the part of the next one. */
export function timeOf(seconds: bigint, nanoseconds: number): Structured {
  return tagged('time', `${seconds} ${nanoseconds}`)
}

function tagged(kind: string, text: string): string {
  return `${MARK}${kind} ${text}`
}

const MARK = '\u0000'
