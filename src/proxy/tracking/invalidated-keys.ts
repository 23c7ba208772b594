import { decodeReply } from '../../resp/decode.ts'
import { PushReply } from '../../resp/reply.ts'

/** The keys of an `invalidate` push; null: all there are; undefined: it is another push. */
export function keysIn(buf: Buffer, start: number, end: number): readonly Buffer[] | null | undefined {
  const reply = decodeReply(buf, start, end)
  if (!(reply instanceof PushReply)) return undefined
  const [kind, keys] = reply.items
  if (!Buffer.isBuffer(kind) || kind.toString('latin1') !== 'invalidate') return undefined
  return Array.isArray(keys) ? (keys as Buffer[]) : null
}
