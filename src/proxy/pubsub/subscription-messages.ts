import { ASTERISK, GREATER } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeReply } from '../../resp/encode.ts'
import { PushReply, type Reply } from '../../resp/reply.ts'
import type { DatabaseOf, SubscriptionKind } from '../../routing/subscriptions.ts'
import type { Leg } from './subscriber-legs.ts'
import { translatedFor } from './subscription.ts'
import { itemsOf } from './subscription-leg.ts'

/** What a subscriber is told: a push in RESP3, an array in RESP2. */
export function messageFrame(protocol: 2 | 3, items: readonly Reply[]): Buffer {
  return encodeReply(protocol === 3 ? new PushReply(items) : items, protocol)
}

/**
 * A message as it is in the client's protocol: a push in RESP3, and the same array in RESP2. Null: it is so already; it is not, when HELLO has come since the client subscribed.
 */
export function inProtocol(protocol: 2 | 3, buf: Buffer, start: number, end: number): Buffer | null {
  if (buf[start] !== (protocol === 3 ? ASTERISK : GREATER)) return null
  const message = Buffer.from(buf.subarray(start, end))
  message[0] = protocol === 3 ? GREATER : ASTERISK
  return message
}

/** What the client is told of a message that the store of the number `store` has sent: the items of one message for each of its subscriptions that it is for. */
export function translatedMessages(
  leg: Leg,
  store: number,
  buf: Buffer,
  start: number,
  end: number,
  databaseOf: DatabaseOf,
): Reply[][] {
  const items = itemsOf(decodeReply(buf, start, end))
  const [word, name] = items
  if (!Buffer.isBuffer(word) || !Buffer.isBuffer(name)) return []
  const kind = `${word.toString('latin1').replace('message', '')}subscribe` as SubscriptionKind
  const [channel, message] = items.slice(-2)
  if (!Buffer.isBuffer(channel) || !Buffer.isBuffer(message)) return []
  const told: Reply[][] = []
  for (const subscription of leg.listeners(kind, name) ?? []) {
    const translated = translatedFor(subscription, store, channel, message, databaseOf)
    if (translated !== null) told.push([word, ...translated])
  }
  return told
}
