import type { CommandView } from '../../resp/command-view.ts'

/** Argument `i` as text, bytes one to one. For words and numbers, never for keys or values. */
export function textArg(view: CommandView, i: number): string {
  return view.buf.toString('latin1', view.start[i]!, view.end[i]!)
}

/** Argument `i` in upper case, for comparing with a keyword. */
export function wordArg(view: CommandView, i: number): string {
  return textArg(view, i).toUpperCase()
}

/** Argument `i` as Redis reads an integer; null when it is none. */
export function integerArg(view: CommandView, i: number): number | null {
  const text = textArg(view, i)
  return /^(0|-?[1-9]\d{0,15})$/.test(text) ? Number(text) : null
}

/** A copy of argument `i`. */
export function bytesArg(view: CommandView, i: number): Buffer {
  return Buffer.from(view.buf.subarray(view.start[i]!, view.end[i]!))
}

/** Redis' rule for the names and versions that clients give themselves: printable, no spaces. */
export function isClientName(name: string): boolean {
  return /^[!-~]*$/.test(name)
}
