import { MINUS } from '../../resp/bytes.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'

/**
 * The store does not know the command, or does not let this user use it: no reason to ask again soon. Not so where a single key is what the user may
 * not touch, which is `NOPERM ... access ...`. `text`: an error without its `-`.
 */
export function isUnknownCommand(text: string): boolean {
  return /^(ERR unknown (command|subcommand)|NOPERM (?!.* access ))/i.test(text)
}

/**
 * Of an error about a command that the store does not know (`absent`: it is older, or the command was taken away) or does not let this user use; null: it is about something else. `name` in capitals; empty: the error does not tell.
 */
export function refusedCommand(text: string): { readonly name: string; readonly absent: boolean } | null {
  if (!isUnknownCommand(text)) return null
  const name = /^(?:ERR unknown (?:sub)?command|NOPERM .* run the) ['`]([\w|-]{1,40})['`]/i.exec(text)?.[1] ?? ''
  return { name: name.toUpperCase(), absent: /^ERR/i.test(text) }
}

/** An error's first word. */
export function codeOf(text: string): string {
  return text.split(' ', 1)[0]!
}

/** What may be shown of an error that a store gives to a command of Understudy's own: its code, and the command it refuses. The rest may quote a key. */
export function causeIn(text: string): string {
  const refused = refusedCommand(text)
  if (refused === null || refused.name === '') return codeOf(text)
  return refused.absent ? `ERR unknown command ${refused.name}` : `NOPERM ${refused.name}`
}

/** RESTORE's word for a payload of a version that it does not read: of every key of that store. */
export function isForeignPayload(text: string): boolean {
  return text.startsWith('ERR DUMP payload version or checksum are wrong')
}

/** RESTORE's word for a payload that it could not read to its end: of this key. */
export function isBadPayload(text: string): boolean {
  return text.startsWith('ERR Bad data format')
}

/** A value was longer than the store's `proto-max-bulk-len`; it has closed the connection. */
export function isTooLong(text: string): boolean {
  return text.startsWith('ERR Protocol error: invalid bulk length')
}

/** What a store takes that does not say so: the least that Redis can be set to. */
export const LEAST_BULK_LIMIT = 1024 * 1024

/** The text of an error reply, without its `-`. */
export function textOf(buf: Buffer, start: number, end: number): string {
  return buf.toString('latin1', start + 1, end - 2)
}

/** The error that a reply is, or the first one among EXEC's; null: none. */
export function errorIn(buf: Buffer, start: number, end: number): string | null {
  if (buf[start] === MINUS) return textOf(buf, start, end)
  const offsets = elementOffsets(buf, start, end)
  if (offsets === null) return null
  for (let i = 0; i + 1 < offsets.length; i++) {
    if (buf[offsets[i]!] === MINUS) return textOf(buf, offsets[i]!, offsets[i + 1]!)
  }
  return null
}
