import { decodeReply } from '../../resp/decode.ts'
import type { Reply } from '../../resp/reply.ts'
import { Glob } from '../../routing/glob.ts'
import type { ScanRequest } from '../../routing/keyspace-command.ts'
import { isMalformed } from '../session/malformed.ts'

/** A reply to SCAN; null: it is none. */
export function pageOf(frame: Buffer): { readonly cursor: bigint; readonly keys: readonly Buffer[] } | null {
  let reply: Reply
  try {
    reply = decodeReply(frame, 0, frame.length)
  } catch (error) {
    if (!isMalformed(error)) throw error
    return null
  }
  if (!Array.isArray(reply)) return null
  const [cursor, keys] = reply as readonly Reply[]
  const text = Buffer.isBuffer(cursor) ? cursor.toString('latin1') : ''
  if (!/^\d{1,20}$/.test(text) || !Array.isArray(keys) || !keys.every((key) => Buffer.isBuffer(key))) return null
  return { cursor: BigInt(text), keys: keys as readonly Buffer[] }
}

/** All keys, so many at a time that no other client waits long. */
export const EVERY_KEY: ScanRequest = {
  cursor: { view: 0, store: 0, cursor: 0n },
  glob: new Glob(Buffer.from('*')),
  options: [Buffer.from('COUNT'), Buffer.from('500')],
}
/** A walk through the keyspace steps aside for a switch. */
export const LOOK_AGAIN_MS = 5
