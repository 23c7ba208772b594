import type { CommandView } from '../resp/command-view.ts'

/** Whether argument `i` is the word `upper` (A-Z, digits), whatever its case. Allocates nothing. */
export function argumentIs(view: CommandView, i: number, upper: string): boolean {
  const start = view.start[i]!
  if (view.end[i]! - start !== upper.length) return false
  for (let k = 0; k < upper.length; k++) {
    const byte = view.buf[start + k]!
    if ((byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte) !== upper.charCodeAt(k)) return false
  }
  return true
}

/** Argument `i` as a count: digits only. -1 for anything else, and beyond nine digits (no command has so many arguments). */
export function argumentCount(view: CommandView, i: number): number {
  const start = view.start[i]!
  const end = view.end[i]!
  if (end === start || end - start > 9) return -1
  let n = 0
  for (let at = start; at < end; at++) {
    const digit = view.buf[at]! - 0x30
    if (digit < 0 || digit > 9) return -1
    n = n * 10 + digit
  }
  return n
}
