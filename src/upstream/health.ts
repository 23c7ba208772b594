import { Redis } from 'ioredis'
import { steadyNowMs } from '../base/clock.ts'
import type { Endpoint, StoreConfig } from '../config/config.ts'
import { ownWord } from '../resp/own-words.ts'
import { COMMAND_TIMED_OUT, clientOptions } from './connection/client-options.ts'
import { tlsOptions } from './connection/connect.ts'
import { connectReason, withLoginAdvice } from './connection/connect-error.ts'

export interface Health {
  up: boolean
  /** Round trip of the last PING, ms; null: none yet. */
  latencyMs: number | null
  /** As Redis counts them; Valkey says 7.2.4 there. */
  version: string | null
  /** Valkey's own; null: it is none. */
  valkeyVersion: string | null
  /** `master` or `slave`, as INFO says it. */
  role: string | null
  /** The store's clock minus ours (`steadyNowMs`), ms, from TIME and half the round trip. */
  clockOffsetMs: number | null
  /** Why it is down; of one that is up: what it does not tell, and why. */
  error: string | null
  /** It is down because the configuration has no password for it, and it serves nobody who has not logged in. */
  wantsLogin: boolean
  /** When the latest probe began to which nobody has said anything at all (`steadyNowMs`); null: it has answered since, if only with an error. */
  silentSinceMs: number | null
}

const PROBE_EVERY_MS = 1_000
/** The version is asked for once in so many probes; the role, which a failover or somebody's REPLICAOF changes, with each. */
const FACTS_EVERY = 10
/** A round trip of TIME that is worth believing. */
const PROMPT_MS = 50
const CLOCK_GOOD_FOR_MS = 60_000
/** Beyond what two measurements can be wrong by: somebody has set the clock. */
const JUMP_MS = 1_000

/** Of `Health.role`. */
export function isReplica(role: string | null): boolean {
  return role === 'slave' || role === 'replica'
}

/**
 * Asks one store now and then how it is, on a connection of its own, apart from the data path. It is up when it lets us in and answers PING. Whoever refuses TIME or INFO (an ACL, a managed service) serves all the same:
 * its clock, or its version and role, are not known then, and `error` says so.
 */
export class HealthProbe {
  readonly health: Health = {
    up: false,
    latencyMs: null,
    version: null,
    valkeyVersion: null,
    role: null,
    clockOffsetMs: null,
    error: null,
    wantsLogin: false,
    silentSinceMs: null,
  }
  readonly store: StoreConfig
  #endpoint: Endpoint | null
  #redis: Redis | null
  /** The connection whose server has told its version and role. */
  #known: Redis | null = null
  readonly #onFacts: (health: Health, clockJumped: boolean) => void
  readonly #onChange: (health: Health) => void
  #timer: NodeJS.Timeout | null = null
  #probes = 0
  #stopped = false
  /** When the store's clock was last believed. */
  #clockMs = 0
  /** What it could be wrong by then. */
  #clockErrorMs = 0
  /** Why the connection has come to nothing, which tells more than the command that failed because of it. */
  #failure: Error | null = null
  /** Why it does not tell its clock, and its version and role; null: it does. */
  #noClock: string | null = null
  #noFacts: string | null = null

  /** `endpoint`: null: not known yet. */
  constructor(
    store: StoreConfig,
    endpoint: Endpoint | null,
    onFacts: (health: Health, clockJumped: boolean) => void,
    onChange: (health: Health) => void,
  ) {
    this.store = store
    this.#endpoint = endpoint
    this.#onFacts = onFacts
    this.#onChange = onChange
    this.#redis = this.#client()
  }

  /** It has been probed, whatever came of it. */
  get asked(): boolean {
    return this.#probes > 0
  }

  /** Resolves after the first probe, whatever it says. */
  async start(): Promise<void> {
    await this.#probe()
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#redis?.disconnect()
  }

  /** The store is somewhere else now: that server is asked everything anew. */
  moveTo(endpoint: Endpoint): void {
    this.#redis?.disconnect()
    this.#endpoint = endpoint
    this.#redis = this.#client()
    this.health.silentSinceMs = null
  }

  #client(): Redis | null {
    const { store } = this
    if (this.#endpoint === null) return null
    const redis = new Redis({
      ...clientOptions(this.#endpoint, store, store),
      connectionName: 'understudy-health',
    })
    redis.on('error', (error: Error) => {
      if (redis === this.#redis) this.#failure = error
    })
    return redis
  }

  async #probe(): Promise<void> {
    const { health } = this
    const { up: was, error: said } = health
    const redis = this.#redis
    this.#failure = null
    const beganMs = steadyNowMs()
    try {
      if (redis === null) throw new Error('its address is not known yet')
      if (redis.status === 'wait' || redis.status === 'end') {
        this.#renewTls(redis)
        await redis.connect()
        await this.#logIn(redis)
      }
      const before = performance.now()
      await redis.call(ownWord('PING'))
      health.latencyMs = Math.round((performance.now() - before) * 1000) / 1000
      this.#noClock = await untold(this.#clock(redis), NO_CLOCK)
      const all = !was || redis !== this.#known || this.#noFacts !== null || this.#probes % FACTS_EVERY === 0
      this.#noFacts = await untold(all ? this.#facts(redis) : this.#role(redis), NO_FACTS)
      if (this.#noFacts !== null) health.version = health.valkeyVersion = health.role = null
      if (all) this.#onFacts(health, false)
      this.#known = redis
      if (redis === this.#redis) {
        health.up = true
        health.wantsLogin = false
        health.silentSinceMs = null
        health.error = [this.#noClock, this.#noFacts].filter((text) => text !== null).join('; ') || null
      }
    } catch (error) {
      // One that was left in the middle says nothing about the store.
      if (redis === this.#redis) {
        health.up = false
        const cause = this.#failure ?? error
        const reason = cause instanceof Error ? connectReason(cause, this.store, was) : String(cause)
        if (isSilence(cause)) health.silentSinceMs = beganMs
        else if (isReply(cause)) health.silentSinceMs = null
        this.#askAnotherNode()
        health.wantsLogin = this.store.password === null && reason.startsWith('NOAUTH ')
        health.error = health.wantsLogin
          ? `it wants a login (NOAUTH), and the configuration has none: write stores.${this.store.name}.password`
          : withLoginAdvice(reason, this.store)
      }
    }
    this.#probes++
    if (health.up !== was || (was && health.error !== said)) this.#onChange(health)
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#probe(), PROBE_EVERY_MS).unref()
  }

  /** Once more, by ourselves: where the store refuses the login, the client goes on without it and calls that a warning; as for the database. */
  async #logIn(redis: Redis): Promise<void> {
    const { username, password, database } = this.store
    try {
      if (password !== null) await redis.call(ownWord('AUTH'), ...(username === null ? [] : [username]), password)
      if (database !== 0) await redis.call(ownWord('SELECT'), database)
    } catch (error) {
      redis.disconnect()
      throw error
    }
  }

  /** A cluster is there as long as one of the nodes that are named answers. */
  #askAnotherNode(): void {
    const { kind, endpoints } = this.store
    if (kind !== 'cluster' || endpoints.length < 2) return
    const at = this.#endpoint === null ? -1 : endpoints.indexOf(this.#endpoint)
    this.moveTo(endpoints[(at + 1) % endpoints.length]!)
  }

  /** The files as they are now: a certificate may have been renewed since the last connection. */
  #renewTls(redis: Redis): void {
    const { tls } = this.store
    if (tls !== null) redis.options.tls = tlsOptions(this.#endpoint!, tls)
  }

  async #facts(redis: Redis): Promise<void> {
    const { health } = this
    const info = await this.#info(redis)
    health.version = /^(?:redis_version|valkey_version):(\S+)/m.exec(info)?.[1] ?? null
    health.valkeyVersion = /^valkey_version:(\S+)/m.exec(info)?.[1] ?? null
    health.role = roleIn(info)
  }

  async #role(redis: Redis): Promise<void> {
    this.health.role = roleIn(await this.#info(redis, 'replication'))
  }

  async #info(redis: Redis, ...sections: readonly string[]): Promise<string> {
    const info = await redis.call(ownWord('INFO'), ...sections)
    if (typeof info !== 'string') throw new NoReply('INFO')
    return info
  }

  /** Half the round trip is what it can be wrong by, so one that took long is not believed while there is a better one, unless the clock was set. */
  async #clock(redis: Redis): Promise<void> {
    const { health } = this
    // What another server said says nothing about this one.
    if (redis !== this.#known) health.clockOffsetMs = null
    const before = steadyNowMs()
    const time = await redis.call(ownWord('TIME'))
    const after = steadyNowMs()
    if (!isTime(time)) throw new NoReply('TIME')
    const [seconds, micros] = time
    const known = health.clockOffsetMs !== null
    const errorMs = (after - before) / 2
    const offsetMs = Math.round(Number(seconds) * 1000 + Number(micros) / 1000 - (before + after) / 2)
    const beyondErrorMs = known ? Math.abs(offsetMs - health.clockOffsetMs!) - errorMs - this.#clockErrorMs : 0
    const isPrompt = after - before <= PROMPT_MS || after - this.#clockMs >= CLOCK_GOOD_FOR_MS
    if (known && !isPrompt && beyondErrorMs <= 0) return
    this.#clockMs = after
    this.#clockErrorMs = errorMs
    if (offsetMs === health.clockOffsetMs) return
    health.clockOffsetMs = offsetMs
    // The facts of a store that was not asked yet follow at once.
    if (known) this.#onFacts(health, beyondErrorMs > JUMP_MS)
  }
}

const NO_CLOCK = 'its clock is not known, and is taken to be that of this machine'
const NO_FACTS = 'its version and role are not known'

/** The store has answered, and not with what this command gives. */
class NoReply extends Error {
  constructor(command: string) {
    super(`what it answers to ${command} is no reply to it`)
  }
}

/** Why the store does not answer that question, and what follows from it; null: it has answered. A store that answers nothing, or that serves nobody at the moment (`LOADING`, `MASTERDOWN` ...), fails with its error. */
async function untold(question: Promise<void>, consequence: string): Promise<string | null> {
  try {
    await question
    return null
  } catch (error) {
    const isRefused = isReply(error) && /^(ERR|NOPERM)\b/.test(error.message)
    if (!isRefused && !(error instanceof NoReply)) throw error
    return `${consequence} (${error.message})`
  }
}

function roleIn(info: string): string | null {
  return /^role:(\S+)/m.exec(info)?.[1] ?? null
}

function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}

/** Nobody has said anything: of a server that refuses or ends a connection somebody has, its machine at least. */
function isSilence(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.message === COMMAND_TIMED_OUT || NOBODY_THERE.has((error as NodeJS.ErrnoException).code ?? '')
}

const NOBODY_THERE = new Set(['ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH'])

/** Seconds since 1970, and microseconds. */
function isTime(reply: unknown): reply is [string, string] {
  return Array.isArray(reply) && reply.length === 2 && reply.every((word) => /^\d{1,11}$/.test(String(word)))
}
