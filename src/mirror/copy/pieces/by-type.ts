import { HashPieces, SetPieces, SortedSetPieces } from './collections.ts'
import { ListPieces } from './list.ts'
import type { Pieces } from './pieces.ts'
import { StreamPieces } from './stream.ts'
import { StringPieces } from './string.ts'

/** What the stores understand, and what time it is. */
export interface PiecesContext {
  /** The primary knows times of expiry of single hash fields. */
  readonly fieldTimes: boolean
  /** The shadow's streams count what was added to them. */
  readonly countsEntries: boolean
  /** By the primary's clock. */
  readonly nowMs: () => number
}

/** How the key `key` of this type (TYPE's word) is read; null: only its payload says what a key of this type holds. */
export function piecesOf(type: string, key: Buffer, context: PiecesContext): Pieces | null {
  switch (type) {
    case 'string':
      return new StringPieces(key)
    case 'list':
      return new ListPieces(key)
    case 'set':
      return new SetPieces(key)
    case 'zset':
      return new SortedSetPieces(key)
    case 'hash':
      return new HashPieces(key, context.fieldTimes)
    case 'stream':
      return new StreamPieces(key, context.nowMs, context.countsEntries)
    default:
      return null
  }
}
