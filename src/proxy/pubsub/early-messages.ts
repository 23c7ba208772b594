import { decodeReply } from '../../resp/decode.ts'
import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import { itemsOf } from './subscription-leg.ts'

/** A message with what it was subscribed to by; names in latin1. */
interface EarlyMessage<Leg> {
  readonly leg: Leg
  readonly bytes: Buffer
  readonly kind: SubscriptionKind
  readonly name: string
}

/** Messages that have come while the EXEC that subscribes to them is owed. */
export class EarlyMessages<Leg> {
  readonly #messages: EarlyMessage<Leg>[] = []
  #bytes = 0

  /** The message is a view. False: there are too many for a client to be waited for. */
  keep(leg: Leg, buf: Buffer, start: number, end: number): boolean {
    const [word, name] = itemsOf(decodeReply(buf, start, end))
    if (!Buffer.isBuffer(word) || !Buffer.isBuffer(name)) return true
    this.#bytes += end - start
    this.#messages.push({
      leg,
      bytes: Buffer.from(buf.subarray(start, end)),
      kind: `${word.toString('latin1').replace('message', '')}subscribe` as SubscriptionKind,
      name: name.toString('latin1'),
    })
    return this.#bytes <= LIMIT_BYTES
  }

  taken(): EarlyMessage<Leg>[] {
    return this.#messages.splice(0)
  }
}

/** One EXEC takes a round trip, or waits for a switch. */
const LIMIT_BYTES = 8 * 1024 * 1024
