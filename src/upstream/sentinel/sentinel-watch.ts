import { Redis } from 'ioredis'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import { clientOptions } from '../connection/client-options.ts'
import { tlsOptions } from '../connection/connect.ts'
import { connectReason } from '../connection/connect-error.ts'
import { choosePrimary, isSamePlace, type SentinelAnswer } from './sentinel-choice.ts'
import { SentinelPeer } from './sentinel-peer.ts'

/** How the primary of a store is found, and where it is now: part of `status`. */
export interface SentinelView {
  /** The Sentinels' name of the primary. */
  readonly name: string
  /** `host:port`; null: not known. */
  readonly primary: string | null
  /** Sentinels of the configuration, and how many of them answer. */
  readonly sentinels: number
  readonly answering: number
  /** Since the start, and when the last one was noticed (ISO 8601); null: none. */
  readonly failovers: number
  readonly lastFailoverAt: string | null
  /** Why the primary is not known, or not what the Sentinels say; null: it is. */
  readonly error: string | null
}

export interface SentinelWatchOptions {
  readonly store: StoreConfig
  /** There is a primary (`from` null), or another one: a failover. A failover back to the same address is one, too. */
  readonly onPrimary: (to: Endpoint, from: Endpoint | null) => void
  /** What `view` shows has changed otherwise. */
  readonly onChange: () => void
}

/** A primary that was named and is not one yet is looked at again: Sentinels name it a moment before it knows. */
const LOOK_AGAIN_MS = 200
const VERIFY_MS = 2_000
/** Before the first choice: one that lags behind must not be followed only because it answers first. */
const HEAR_ALL_MS = 1_000

/**
 * Follows the primary of one store by its Sentinels.
 *
 *   peers ── answers ─▶ choosePrimary ─▶ verify: does it call itself a primary? ─▶ onPrimary
 *     ▲                                          └─ no: look again
 *     └── ask: a connection was lost, or a server said READONLY
 *
 * While no Sentinel answers, what was known stays: whether the primary still is one is asked by every new connection itself.
 */
export class SentinelWatch {
  readonly store: StoreConfig
  readonly #options: SentinelWatchOptions
  readonly #peers: readonly SentinelPeer[]
  #current: SentinelAnswer | null = null
  #verifying = false
  #again: NodeJS.Timeout | null = null
  /** Why the address that the Sentinels name is not followed. */
  #doubt: string | null = null
  #failovers = 0
  #lastFailoverAt: string | null = null
  #stopped = false
  /** Every Sentinel has been heard, or had its time. */
  #begun = false
  #said = ''
  readonly #settled = Promise.withResolvers<void>()

  constructor(options: SentinelWatchOptions) {
    this.#options = options
    this.store = options.store
    this.#peers = options.store.endpoints.map(
      (endpoint) => new SentinelPeer(options.store, endpoint, () => this.#heard()),
    )
  }

  /** Resolves when the primary is known, or every Sentinel has been asked in vain; it goes on asking. */
  async start(): Promise<void> {
    for (const peer of this.#peers) peer.start()
    const impatience = setTimeout(() => {
      this.#begun = true
      this.#heard()
    }, HEAR_ALL_MS)
    await this.#settled.promise
    clearTimeout(impatience)
  }

  /** Something says that the primary may be another one. */
  ask(): void {
    for (const peer of this.#peers) peer.ask()
  }

  stop(): void {
    this.#stopped = true
    if (this.#again !== null) clearTimeout(this.#again)
    for (const peer of this.#peers) peer.stop()
    this.#settled.resolve()
  }

  get primary(): Endpoint | null {
    return this.#current?.endpoint ?? null
  }

  /** Of the failover that has made it the primary; null: it is not known. */
  get epoch(): number | null {
    return this.#current?.epoch ?? null
  }

  get view(): SentinelView {
    const current = this.#current
    return {
      name: this.store.sentinelName!,
      primary: current === null ? null : addressOf(current.endpoint),
      sentinels: this.#peers.length,
      answering: this.#peers.filter((peer) => peer.up).length,
      failovers: this.#failovers,
      lastFailoverAt: this.#lastFailoverAt,
      error: this.#error(),
    }
  }

  #error(): string | null {
    if (this.#doubt !== null) return this.#doubt
    if (this.#peers.some((peer) => peer.answer !== null)) return null
    const reasons = this.#peers.map(
      ({ error }, i) => `${addressOf(this.store.endpoints[i]!)}: ${error ?? 'not asked yet'}`,
    )
    return `no Sentinel names the primary (${reasons.join('; ')})`
  }

  #heard(): void {
    const allHeard = this.#peers.every((peer) => peer.up || peer.error !== null)
    this.#begun ||= allHeard
    if (!this.#begun) return
    const answers = this.#peers.flatMap(({ answer }) => (answer === null ? [] : [answer]))
    const chosen = choosePrimary(answers, this.#peers.length, this.#current)
    if (chosen === null || isKnown(chosen, this.#current)) {
      this.#doubt = null
      if (chosen !== null || allHeard) this.#settled.resolve()
      this.#changed()
    } else if (!this.#verifying) void this.#verify(chosen)
  }

  async #verify(chosen: SentinelAnswer): Promise<void> {
    this.#verifying = true
    const refusal = await this.#refusalOf(chosen.endpoint)
    this.#verifying = false
    if (this.#stopped) return
    this.#doubt = refusal
    if (refusal === null) this.#follow(chosen)
    else this.#again ??= setTimeout(() => this.#lookAgain(), LOOK_AGAIN_MS).unref()
    this.#settled.resolve()
    this.#changed()
  }

  #lookAgain(): void {
    this.#again = null
    this.#heard()
  }

  #follow(chosen: SentinelAnswer): void {
    const from = this.#current
    this.#current = chosen
    if (from !== null) {
      // Sentinels that were set up anew and name the same one.
      if (isSamePlace(chosen, from) && chosen.epoch < from.epoch) return
      this.#failovers++
      this.#lastFailoverAt = new Date().toISOString()
    }
    this.#options.onPrimary(chosen.endpoint, from?.endpoint ?? null)
  }

  /** Null: it is a primary, as far as it can be asked. */
  async #refusalOf(endpoint: Endpoint): Promise<string | null> {
    const { store } = this
    const named = `the Sentinels name ${addressOf(endpoint)} as the primary, and`
    const limits = { timeoutMs: VERIFY_MS, connectTimeoutMs: Math.min(VERIFY_MS, store.connectTimeoutMs) }
    let error: Error | null = null
    const client = new Redis({ ...clientOptions(endpoint, store, limits), connectionName: 'understudy-sentinel' })
    client.on('error', (cause: Error) => {
      error = cause
    })
    try {
      if (store.tls !== null) client.options.tls = tlsOptions(endpoint, store.tls)
      await client.connect()
      const [role] = (await client.call('ROLE')) as [string]
      return role === 'master' ? null : `${named} it says that it is a replica`
    } catch (cause) {
      const failure = error ?? (cause as Error)
      // A user that may not ask: every connection finds out by itself what it is told.
      if (/^NOPERM/.test(failure.message)) return null
      return `${named} it cannot be reached: ${connectReason(failure, store, false)}`
    } finally {
      client.disconnect()
    }
  }

  #changed(): void {
    const { primary, answering, error } = this.view
    const text = JSON.stringify([primary, answering, error])
    if (text === this.#said || this.#stopped) return
    this.#said = text
    this.#options.onChange()
  }
}

export function addressOf(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return endpoint.path
  return endpoint.host.includes(':') ? `[${endpoint.host}]:${endpoint.port}` : `${endpoint.host}:${endpoint.port}`
}

function isKnown(chosen: SentinelAnswer, current: SentinelAnswer | null): boolean {
  return current !== null && chosen.epoch === current.epoch && isSamePlace(chosen, current)
}
