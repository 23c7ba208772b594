import { Redis } from 'ioredis'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import { clientOptions } from '../connection/client-options.ts'
import { tlsOptions } from '../connection/connect.ts'
import { connectReason } from '../connection/connect-error.ts'
import type { SentinelAnswer } from './sentinel-choice.ts'

const ASK_EVERY_MS = 1_000
/** Events come in heaps: one question answers them all. */
const SOON_MS = 10
/** A Sentinel that does not answer in this time is of no use now. */
const TIMEOUT_MS = 2_000

/** When the address of the primary changes: as soon as the chosen replica is a primary, and when everybody is told. */
const EVENTS = ['+promoted-slave', '+switch-master']

/**
 * One Sentinel, on two connections: one that is asked once a second, and one that listens for its events, each of which makes it be asked at once. What an event says is not relied on: only answers
 * carry the epoch that tells a new one from a stale one.
 */
export class SentinelPeer {
  /** Its latest answer; null: it does not answer, or does not know the name. */
  answer: SentinelAnswer | null = null
  /** Why there is no answer; null: there is one, or it has not been asked yet. */
  error: string | null = null
  /** It answers, whatever it knows. */
  up = false
  readonly #store: StoreConfig
  readonly #endpoint: Endpoint
  readonly #onHeard: () => void
  /** Null: there is no connection. Each is a client of its own, so that what became of the last one does not matter. */
  #asked: Redis | null = null
  #listening: Redis | null = null
  #timer: NodeJS.Timeout | null = null
  #asking = false
  /** To listen. */
  #beginning = false
  #again = false
  #stopped = false

  /** `onHeard`: it has answered, or failed to. */
  constructor(store: StoreConfig, endpoint: Endpoint, onHeard: () => void) {
    this.#store = store
    this.#endpoint = endpoint
    this.#onHeard = onHeard
  }

  /** Asks now, and from then on once a second. */
  start(): void {
    void this.#round()
  }

  /** Soon, instead of with the next second. */
  ask(): void {
    if (this.#asking) this.#again = true
    else this.#schedule(SOON_MS)
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#asked?.disconnect()
    this.#listening?.disconnect()
  }

  /** Rejects with the reason why there is none. */
  async #connected(): Promise<Redis> {
    const limits = { timeoutMs: TIMEOUT_MS, connectTimeoutMs: Math.min(TIMEOUT_MS, this.#store.connectTimeoutMs) }
    const client = new Redis({
      ...clientOptions(this.#endpoint, this.#store.sentinel!, limits),
      connectionName: 'understudy-sentinel',
      // An older Sentinel knows no other, and nothing here needs one.
      protocol: 2,
      disableClientInfo: true,
    })
    let failure: Error | null = null
    client.on('error', (error: Error) => {
      failure = error
    })
    client.on('close', () => {
      if (this.#asked === client) this.#asked = null
      if (this.#listening === client) this.#listening = null
    })
    const { tls } = this.#store.sentinel!
    // The files as they are now: a certificate may have been renewed since the last connection.
    if (tls !== null) client.options.tls = tlsOptions(this.#endpoint, tls)
    try {
      await client.connect()
    } catch (error) {
      client.disconnect()
      throw failure ?? error
    }
    if (this.#stopped) client.disconnect()
    return client
  }

  async #round(): Promise<void> {
    this.#asking = true
    this.#again = false
    try {
      const client = (this.#asked ??= await this.#connected())
      this.answer = await this.#question(client)
      this.error = this.answer === null ? await this.#unknownName(client) : null
      this.up = true
    } catch (error) {
      this.error = this.#reason(error as Error)
      this.up = false
      this.answer = null
      // One that hangs is connected to anew.
      this.#asked?.disconnect()
      this.#asked = null
    }
    this.#asking = false
    if (this.#stopped) return
    this.#onHeard()
    this.#schedule(this.#again ? SOON_MS : ASK_EVERY_MS)
    if (this.up) await this.#listen()
  }

  #schedule(ms: number): void {
    if (this.#stopped) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = null
      void this.#round()
    }, ms).unref()
  }

  /** Null: it does not know the name. */
  async #question(client: Redis): Promise<SentinelAnswer | null> {
    const name = this.#store.sentinelName!
    // Asked together, so that the address is not of one failover and the epoch of the next.
    const [address, state] = (await Promise.all([
      client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name),
      client.call('SENTINEL', 'MASTER', name).catch(unlessLost),
    ])) as [[string, string] | null, string[] | null]
    if (address === null) return null
    const [host, port] = address
    const at = state?.indexOf('config-epoch') ?? -1
    const epoch = at < 0 ? 0 : Number(state![at + 1])
    return { endpoint: { kind: 'tcp', host, port: Number(port) }, epoch }
  }

  async #unknownName(client: Redis): Promise<string> {
    const masters = (await client.call('SENTINEL', 'MASTERS')) as string[][]
    const names = masters.map((state) => state[state.indexOf('name') + 1])
    const known = names.length === 0 ? 'it watches none' : `it watches ${names.join(', ')}`
    return `it knows no primary called '${this.#store.sentinelName}': ${known}`
  }

  async #listen(): Promise<void> {
    if (this.#listening !== null || this.#beginning) return
    this.#beginning = true
    try {
      const client = await this.#connected()
      this.#listening = client
      client.on('message', () => this.ask())
      await client.subscribe(...EVENTS)
      // What happened before it listened.
      this.ask()
    } catch {
      // It is asked once a second in any case; the next round tries again.
      this.#listening?.disconnect()
      this.#listening = null
    }
    this.#beginning = false
  }

  #reason(error: Error): string {
    const { name, sentinel } = this.#store
    if (WANTS_LOGIN.test(error.message))
      return `it refuses the login: look at stores.${name}.sentinel.password (${error.message})`
    return connectReason(error, { ...this.#store, name: `${name}.sentinel`, tls: sentinel!.tls }, this.up)
  }
}

const WANTS_LOGIN = /^(NOAUTH|WRONGPASS|NOPERM|ERR (AUTH|invalid password|Client sent AUTH))/

/** An error reply says that the name is unknown, or that this user may not ask so much: then there is no epoch. */
function unlessLost(error: Error): null {
  if (error.name === 'ReplyError') return null
  throw error
}
