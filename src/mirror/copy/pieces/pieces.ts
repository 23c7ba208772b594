import type { Args } from '../../../command/effects.ts'
import { encodeCommand } from '../../../resp/encode.ts'
import { ErrorReply, type Reply } from '../../../resp/reply.ts'

/** Stands for the name of the key that is written, which only whoever sends the commands knows. Told by identity. */
export const KEY: Buffer = Buffer.from('(key)')

/** No limit: the whole key in one read. */
export const WHOLE = 0x7fff_ffff

/** What became of one round of reads. */
export interface Taken {
  /** In this order, with `KEY` for the key's name. */
  readonly writes: readonly Args[]
  /** Every part has been read: with these writes the copy is what the key was when these reads were executed. */
  readonly done: boolean
}

/** What a write to the key, while it is being read, means for what has been read. */
export type Verdict =
  /** Nothing: what it changed is read later. */
  | { readonly kind: 'later' }
  /** The same is to be done to the copy. */
  | { readonly kind: 'also'; readonly commands: readonly Args[] }
  /** What has been read is worth nothing. */
  | { readonly kind: 'restart' }

export const LATER: Verdict = { kind: 'later' }
export const RESTART: Verdict = { kind: 'restart' }

/**
 * Reads a key of one type in rounds, and says by which commands of that type it is written. Pure: what is sent, and when, is the caller's affair.
 *
 *   reads() ─▶ the primary ─▶ take(replies) ─▶ writes, and whether it was the last round
 *      ▲                          │
 *      └──────────────────────────┘     effect(...) for each write to the key that came between two rounds
 *
 * A round that is not taken is asked for again by the next `reads()`.
 */
export interface Pieces {
  /** The reads of the next round, in which at most about `size` elements (bytes of a string) are asked for; they are executed side by side. */
  reads(size: number): readonly Args[]
  /** Their replies, none of them an error. Null: they say that what has been read so far is worth nothing. */
  take(replies: readonly Reply[]): Taken | null
  /** A successful write to the key: `args` is its effect, the name of the command in upper case. Called in the order of history, between two rounds. */
  effect(name: string, args: Args): Verdict
}

export function firstError(replies: readonly Reply[]): ErrorReply | null {
  for (const reply of replies) if (reply instanceof ErrorReply) return reply
  return null
}

/** A command's arguments in groups, so that none gets too many. `each`: arguments that belong together. */
export function grouped(head: readonly (Buffer | string)[], items: readonly Buffer[], each: number): Args[] {
  const list: Args[] = []
  const start = head.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))
  let group: Buffer[] = []
  let bytes = 0
  for (let i = 0; i < items.length; i += each) {
    for (let k = i; k < i + each; k++) {
      group.push(items[k]!)
      bytes += items[k]!.length
    }
    if (group.length >= MAX_ARGS || bytes >= MAX_BYTES) {
      list.push([...start, ...group])
      group = []
      bytes = 0
    }
  }
  if (group.length > 0) list.push([...start, ...group])
  return list
}

/** Of one command: more would keep the shadow busy for too long at a time. */
const MAX_ARGS = 2_000
const MAX_BYTES = 256 * 1024

/** The command with `name` wherever it says KEY. */
export function encodeFor(args: Args, name: Buffer): Buffer {
  return encodeCommand(args.map((arg) => (arg === KEY ? name : arg)))
}
