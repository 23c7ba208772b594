import { DoubleReply, MapReply, type Reply, SetReply, SimpleReply } from '../../resp/reply.ts'

/** A reply's elements, whether the protocol has them as an array, a set, or a map (flat). null: it is no aggregate. */
export function elements(reply: Reply | undefined): readonly Reply[] | null {
  if (reply instanceof SetReply) return reply.members
  if (reply instanceof MapReply) return reply.entries.flat()
  return Array.isArray(reply) ? (reply as readonly Reply[]) : null
}

/** `[name, value]` pairs of a RESP3 map or of RESP2's array of pairs. */
export function pairs(reply: Reply): readonly (readonly [Reply, Reply])[] {
  if (reply instanceof MapReply) return reply.entries
  return (elements(reply) ?? []).flatMap((pair) => {
    const items = elements(pair)
    return items !== null && items.length === 2 ? [[items[0]!, items[1]!] as const] : []
  })
}

/** The bulk strings among a reply's elements. */
export function bulks(reply: Reply | undefined): Buffer[] {
  return (elements(reply) ?? []).filter((item) => Buffer.isBuffer(item))
}

/** A bulk string; null for anything else. */
export function bulk(reply: Reply | undefined): Buffer | null {
  return Buffer.isBuffer(reply) ? reply : null
}

export function isOk(reply: Reply): boolean {
  return reply instanceof SimpleReply && reply.text === 'OK'
}

/** `:1` or `#t`. */
export function isOne(reply: Reply | undefined): boolean {
  return reply === 1 || reply === true
}

/** The text of a number that came as a bulk (RESP2) or a double (RESP3), exactly as the server wrote it. */
export function numberText(reply: Reply): Buffer | null {
  if (reply instanceof DoubleReply) return Buffer.from(reply.text)
  if (typeof reply === 'number' || typeof reply === 'bigint') return Buffer.from(String(reply))
  return bulk(reply)
}
