import { Queue } from '../../base/queue.ts'
import { MINUS, PERCENT, PLUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeCommand, errorFrame } from '../../resp/encode.ts'
import { ownWord } from '../../resp/own-words.ts'
import { PushReply, type Reply } from '../../resp/reply.ts'
import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import { concernsOneServer } from '../../upstream/cluster/keyless.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { LET_IN_NO_MORE, loginOf } from '../login/change-user.ts'

/** Told what became of a request: null, or the store's error frame. */
export type Confirmed = (error: Buffer | null) => void

/** What a subscriber has at one store: a connection of its own, or its part of a shared one. */
export interface Leg<Listener> {
  readonly store: Store
  /** Nobody wants anything of it, and it owes nothing. */
  readonly idle: boolean
  listen(kind: SubscriptionKind, name: Buffer, listener: Listener, confirmed: Confirmed): void
  leave(kind: SubscriptionKind, name: Buffer, listener: Listener, confirmed: Confirmed): void
  /** The messages of that name are not the listener's any more, before it leaves. */
  ignore(kind: SubscriptionKind, name: Buffer, listener: Listener): void
  /** Whose messages of that name are. */
  listeners(kind: SubscriptionKind, name: Buffer): ReadonlySet<Listener> | undefined
  /** Told when everything that the store has sent before is here. */
  ping(answered: Confirmed): void
  /** The client is that user from now on (null: of the configuration): what it subscribes to next is that one's to have. Lost where that cannot be. */
  changeUser(user: StoreUser | null, password: string): void
  close(): void
}

/**
 * A subscriber's connection to one store.
 *
 *   listen ─▶ SUBSCRIBE, once for all who want the name ─▶ confirmed: its messages are theirs from here on
 *   leave  ─▶ UNSUBSCRIBE, when the last one goes       ─▶ confirmed: whatever was sent before it has arrived
 *
 * One command for each name, so that one frame answers it: a confirmation or an error.
 */
export class SubscriptionLeg<Listener> implements Leg<Listener> {
  readonly store: Store
  readonly #pipeline: Pipeline
  /** In the order in which the store answers. `ends`: an UNSUBSCRIBE. */
  readonly #expected = new Queue<{ readonly confirmed: Confirmed; readonly ends: boolean }>()
  /** Who wants a name, and who is given its messages: behind by what is not confirmed yet. */
  readonly #wanted = new Map<string, Set<Listener>>()
  readonly #given = new Map<string, Set<Listener>>()

  /**
   * @param onMessage everything that is no answer: a view, valid during the call
   * @param onLost the connection has gone, by itself
   */
  constructor(
    store: Store,
    database: number,
    protocol: 2 | 3,
    user: StoreUser | null,
    onMessage: (buf: Buffer, start: number, end: number) => void,
    onLost: () => void,
  ) {
    this.store = store
    const pipeline = store.dedicated.borrow(database, protocol, user)
    pipeline.relay = true
    pipeline.onPush = (buf, start, end) => {
      if (this.#expected.length > 0 && isAnswer(buf, start, end)) {
        // The answer to HELLO in the place of that to AUTH, which the store has refused.
        const isRefused = buf[start] === MINUS || buf[start] === PERCENT
        this.#expected.shift()!.confirmed(isRefused ? Buffer.from(buf.subarray(start, end)) : null)
      } else onMessage(buf, start, end)
    }
    pipeline.onClosed = onLost
    this.#pipeline = pipeline
  }

  get idle(): boolean {
    return this.#wanted.size === 0 && this.#expected.length === 0
  }

  listen(kind: SubscriptionKind, name: Buffer, listener: Listener, confirmed: Confirmed): void {
    const refusal = this.store.cluster === null ? null : refusalAtCluster(kind, name)
    if (refusal !== null) return confirmed(errorFrame(refusal))
    const id = idOf(kind, name)
    const wanted = this.#wanted.get(id)
    const given = (error: Buffer | null): void => {
      if (error === null) addTo(this.#given, id, listener)
      else removeFrom(this.#wanted, id, listener)
      confirmed(error)
    }
    addTo(this.#wanted, id, listener)
    // Another one's is confirmed, or is about to be: this is answered behind it.
    if (wanted !== undefined && wanted.size > 1 && this.#given.get(id) !== undefined) given(null)
    else this.#ask([kind.toUpperCase(), name], given)
  }

  leave(kind: SubscriptionKind, name: Buffer, listener: Listener, confirmed: Confirmed): void {
    const id = idOf(kind, name)
    // Refused here: nobody was asked for it.
    if (this.store.cluster !== null && refusalAtCluster(kind, name) !== null) return confirmed(null)
    removeFrom(this.#wanted, id, listener)
    const left = (error: Buffer | null): void => {
      removeFrom(this.#given, id, listener)
      confirmed(error)
    }
    if (this.#wanted.has(id)) left(null)
    else this.#ask([`${kind === 'subscribe' ? '' : kind[0]!.toUpperCase()}UNSUBSCRIBE`, name], left, true)
  }

  ignore(kind: SubscriptionKind, name: Buffer, listener: Listener): void {
    removeFrom(this.#given, idOf(kind, name), listener)
  }

  listeners(kind: SubscriptionKind, name: Buffer): ReadonlySet<Listener> | undefined {
    return this.#given.get(idOf(kind, name))
  }

  monitor(confirmed: Confirmed): void {
    const { cluster, name } = this.store
    if (cluster !== null) return confirmed(errorFrame(concernsOneServer('MONITOR', name)))
    this.#ask(['MONITOR'], confirmed)
  }

  ping(answered: Confirmed): void {
    this.#ask([ownWord('PING')], answered)
  }

  changeUser(user: StoreUser | null, password: string): void {
    this.#push(loginOf(this.store, user, password), (error) => {
      if (error !== null) this.#pipeline.close(LET_IN_NO_MORE)
    })
    // HELLO's.
    this.#expected.push({ confirmed: () => {}, ends: false })
    this.#pipeline.user = user
  }

  close(): void {
    this.store.dedicated.discard(this.#pipeline)
    // Nothing comes from there any more.
    for (const { confirmed, ends } of this.#expected.takeAll()) if (ends) confirmed(null)
  }

  #ask(args: readonly (string | Buffer)[], confirmed: Confirmed, ends = false): void {
    this.#push(encodeCommand(args), confirmed, ends)
  }

  #push(bytes: Buffer, confirmed: Confirmed, ends = false): void {
    this.#expected.push({ confirmed, ends })
    this.#pipeline.pushRelayed(bytes, 0, bytes.length)
  }
}

/** Why Understudy has no such subscription at a cluster, which carries every message to every node: an error's text. Null: it has. */
function refusalAtCluster(kind: SubscriptionKind, name: Buffer): string | null {
  if (kind === 'ssubscribe') return 'ERR Understudy: sharded channels of a cluster are not supported yet'
  return name.toString('latin1').startsWith('__key')
    ? 'ERR Understudy: each node of a cluster tells of its own keys alone: subscribe to keyspace notifications there'
    : null
}

function idOf(kind: SubscriptionKind, name: Buffer): string {
  return `${kind} ${name.toString('latin1')}`
}

function addTo<T>(map: Map<string, Set<T>>, id: string, value: T): void {
  const set = map.get(id)
  if (set === undefined) map.set(id, new Set([value]))
  else set.add(value)
}

function removeFrom<T>(map: Map<string, Set<T>>, id: string, value: T): void {
  const set = map.get(id)
  if (set?.delete(value) === true && set.size === 0) map.delete(id)
}

/**
 * `[subscribe | unsubscribe | ..., channel, count]`, as an array (RESP2) or a push (RESP3); the OK of MONITOR and AUTH; HELLO's map; PING's PONG (RESP3, or before the first subscription) or `[pong, '']` (RESP2); an error.
 * Everything else is a message.
 */
function isAnswer(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] === MINUS || buf[start] === PERCENT) return true
  // OK or PONG; what MONITOR shows is longer.
  if (buf[start] === PLUS) return end - start <= 7
  const word = itemsOf(decodeReply(buf, start, end))[0]
  return Buffer.isBuffer(word) && /^([ps]?(un)?subscribe|pong)$/.test(word.toString('latin1'))
}

/** The parts of a message. */
export function itemsOf(reply: Reply): readonly Reply[] {
  if (reply instanceof PushReply) return reply.items
  return Array.isArray(reply) ? reply : []
}
