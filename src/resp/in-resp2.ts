import { DoubleReply, MapReply, PushReply, type Reply, SetReply, VerbatimReply } from './reply.ts'

/**
 * The reply as RESP2 has it: a map is a flat array of names and values, a set an array, a double its text. For whoever reads answers of pipelines that may speak either. What a server nests only in RESP3 (members with
 * their scores) stays nested: that takes the command to know.
 */
export function inResp2(reply: Reply): Reply {
  if (reply instanceof MapReply) return reply.entries.flat().map(inResp2)
  if (reply instanceof SetReply) return reply.members.map(inResp2)
  if (reply instanceof PushReply) return reply.items.map(inResp2)
  if (reply instanceof DoubleReply) return Buffer.from(reply.text)
  if (reply instanceof VerbatimReply) return reply.bytes
  if (typeof reply === 'boolean') return reply ? 1 : 0
  // RESP2's integers have 64 bits.
  if (typeof reply === 'bigint') return BigInt.asIntN(64, reply) === reply ? reply : Buffer.from(String(reply))
  return Array.isArray(reply) ? (reply as readonly Reply[]).map(inResp2) : reply
}
