import { UnderstudyError } from '../../base/errors.ts'

/** Amounts as people write them. Each function throws UnderstudyError CONFIG_INVALID whose message says what to write instead. */

const BYTES = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }
const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** `64mb` -> bytes. Units `b`, `kb`, `mb`, `gb` in any case, powers of 1024 as in redis.conf. */
export function parseBytes(text: string): number {
  return parseAmount(text, BYTES, 'a size', '64mb (units: b, kb, mb, gb)')
}

/** `250ms`, `2s`, `5m`, `1h` -> milliseconds. */
export function parseDuration(text: string): number {
  const example = '250ms, 2s or 5m (units: ms, s, m, h)'
  const ms = parseAmount(text, MILLISECONDS, 'a time', example)
  if (ms > MAX_TIMER_MS) throw invalid('a time of 596h at most', example)
  return ms
}

/** Node's timers wait for half an hour more than this; what is longer would be over at once. */
const MAX_TIMER_MS = 596 * MILLISECONDS.h

/** `1%` -> 0.01. From 0% to 100%. */
export function parseShare(text: string): number {
  if (text.trim() === '0') return 0
  const match = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim())
  if (match === null) throw invalid('a percentage', '1% or 0.1%')
  const percent = Number(match[1])
  if (percent > 100) throw invalid('a percentage up to 100%', '1% or 0.1%')
  return percent / 100
}

function parseAmount(text: string, units: Readonly<Record<string, number>>, what: string, example: string): number {
  const trimmed = text.trim()
  if (trimmed === '0') return 0
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(trimmed)
  const factor = match === null ? undefined : units[match[2]!.toLowerCase()]
  if (match === null || factor === undefined) throw invalid(what, example)
  const amount = Math.round(Number(match[1]) * factor)
  if (!Number.isSafeInteger(amount)) throw invalid(`${what} that fits in 53 bits`, example)
  return amount
}

/** It does not say what was written instead: that may be a secret in the wrong place. */
function invalid(what: string, example: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', `this is not ${what}; write it like ${example}`)
}
