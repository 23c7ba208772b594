import { serverOf } from '../../config/keyspace.ts'
import { MINUS } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { rolesOf } from '../../routing/route.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPath } from '../data-path.ts'
import type { Session } from '../session/session.ts'

/** A store is told to pause for so long at most, and told again while the pause goes on: it does not outlive Understudy by more. */
const LEASE_MS = 2_000
const RENEW_MS = 500
/** Writes that were under way when the pause began are waited for so long; after that the store is left alone. */
const DRAIN_MS = 1_000
/** A command that has waited so long where the store is paused may be one that it holds, with all behind it. */
const STUCK_MS = 1_000

/** A store, as far as the pause has come there. */
interface Told {
  /**
   *   draining ─▶ asking ─┬─▶ told ─▶ asking (again, or UNPAUSE) ─▶ ...
   *      └────────────────┴─▶ left: it has refused, what was under way did not end, or something waited there
   */
  state: 'draining' | 'asking' | 'told' | 'left'
  readonly underWay: UnderWay
  readonly sinceMs: number
  /** Its own pause ends then, if nothing is said. */
  untilMs: number
  saidMs: number
}

/**
 * What the stores are told of CLIENT PAUSE, beside the clients being held here: keys do not expire at a store that is paused, nothing is evicted, and its other clients' writes wait, too.
 *
 *   CLIENT PAUSE ─▶ writes wait here ─▶ those under way are answered ─▶ `CLIENT PAUSE ms WRITE` to the store ─▶ OK
 *
 * Always WRITE, which lets reads and UNPAUSE through, and never before what is under way: a write that the store holds would lie in the way of all that share its connection. So only
 * servers are told that nothing of Understudy's writes to (`reaches`).
 */
export class StorePause {
  readonly #path: DataPath
  readonly #told = new Map<Store, Told>()
  /** Transactions whose EXEC is to pause: what was under way when they came to it. */
  readonly #preparing = new Map<Session, { readonly underWay: UnderWay; readonly sinceMs: number }>()
  /** Who paused: by that user's right the stores are told again. */
  #user: StoreUser | null = null
  /** A client waits for what the stores say. */
  #answered: ((error: Buffer | null) => void) | null = null
  #error: Buffer | null = null

  constructor(path: DataPath) {
    this.#path = path
  }

  /** A store is being told or asked: the next word has to wait. */
  get isUnderWay(): boolean {
    return this.#answered !== null
  }

  /**
   * Whether the store is told at all: one server, whose every route gives keys the application's names, and that is the other end of none: mirror, copies and jobs write there, and own scripts for names that
   * differ. Sentinels would take a paused primary for down: it holds what they publish.
   */
  reaches(store: Store): boolean {
    const { routes, stores } = this.#path
    const { config } = store.options
    if ((config.kind !== 'single' && config.kind !== 'managed') || routes.primaryRenames || !stores.includes(store))
      return false
    const server = serverOf(config)
    let isPrimary = false
    for (const route of routes.routes) {
      const { source, target } = route.config
      if (this.#path.primaryOf(route) === store) isPrimary = true
      if (target === null) continue
      const other = rolesOf(route.phase).primary === 'source' ? target : source
      const end = stores.find(({ name }) => name === other.store)
      if (end !== undefined && serverOf(end.options.config) === server) return false
    }
    return isPrimary
  }

  /** A pause has begun here. `answered`: when the stores know, or will not; with the error of one that does not let that user. */
  begin(user: StoreUser | null, answered: (error: Buffer | null) => void): void {
    this.#user = user
    this.#error = null
    this.#answered = answered
    for (const [store, told] of this.#told) if (told.state === 'told') this.#pause(store, told)
    this.run(this.#path.clock.nowMs)
  }

  /** Ends it at the stores. `answered`: when they have said so; with the error of one that does not let that user. */
  end(user: StoreUser | null, answered: (error: Buffer | null) => void): void {
    this.#error = null
    this.#answered = answered
    for (const [store, told] of this.#told) {
      if (told.state === 'told') this.#unpause(store, told, user, true)
      else this.#told.delete(store)
    }
    this.#look()
  }

  /** Now and then while there is a pause or was one, and when another table is in force. */
  run(nowMs: number): void {
    const { pause, stores } = this.#path
    const isOn = pause !== null && !pause.isOver(nowMs)
    for (const [store, told] of this.#told) this.#runOne(store, told, isOn && this.reaches(store), nowMs)
    if (isOn) for (const store of stores) if (!this.#told.has(store) && this.reaches(store)) this.#drain(store, nowMs)
    this.#look()
  }

  /** Nothing has to be done by `run`. */
  get isQuiet(): boolean {
    return this.#told.size === 0 && this.#answered === null
  }

  // --- inside MULTI

  /** What a transaction has in the place of CLIENT PAUSE: the pause begins at its place among the writes. Null: the store is not told. */
  pauseInMulti(store: Store, ms: number): Buffer | null {
    return this.reaches(store) ? pauseFor(ms) : null
  }

  /** The same for CLIENT UNPAUSE. */
  unpauseInMulti(store: Store): Buffer | null {
    return this.reaches(store) ? UNPAUSE : null
  }

  /** The client's EXEC is to pause that store. False: it has to wait for the writes that are under way. `left` follows. */
  mayPause(session: Session, store: Store): boolean {
    if (!this.reaches(store)) return true
    const { nowMs } = this.#path.clock
    let begun = this.#preparing.get(session)
    if (begun === undefined) {
      begun = { underWay: new UnderWay(store), sinceMs: nowMs }
      this.#preparing.set(session, begun)
      this.#path.preparePause(session)
    }
    return begun.underWay.isDone || nowMs - begun.sinceMs > DRAIN_MS
  }

  /** EXEC has been answered, or never will be. */
  left(session: Session): void {
    if (this.#preparing.delete(session)) this.#path.pausePrepared(session)
  }

  /** EXEC has paused that store (`on`), or ended its pause. */
  saidInMulti(store: Store, on: boolean, user: StoreUser | null): void {
    if (!on) return void this.#told.delete(store)
    const { nowMs } = this.#path.clock
    this.#user = user
    this.#told.set(store, {
      state: 'told',
      underWay: new UnderWay(store),
      sinceMs: nowMs,
      untilMs: nowMs + LEASE_MS,
      saidMs: nowMs,
    })
  }

  // --- one store

  #runOne(store: Store, told: Told, wanted: boolean, nowMs: number): void {
    switch (told.state) {
      case 'asking':
        return
      case 'left':
        if (!wanted) this.#told.delete(store)
        return
      case 'draining':
        if (!wanted) this.#told.delete(store)
        else if (told.underWay.isDone) this.#pause(store, told)
        else if (nowMs - told.sinceMs > DRAIN_MS) told.state = 'left'
        return
      case 'told':
        if (!wanted && told.untilMs <= nowMs) this.#told.delete(store)
        else if (!wanted) this.#unpause(store, told, this.#user, true)
        else if (this.#isStuck(store)) {
          this.#path.log({
            level: 'warn',
            msg: 'CLIENT PAUSE is held here alone from now on: a command waited at the store that was told of it',
            fields: { store: store.name },
          })
          this.#unpause(store, told, this.#user, false)
        } else if (nowMs - told.saidMs >= RENEW_MS) this.#pause(store, told)
    }
  }

  #drain(store: Store, nowMs: number): void {
    const told: Told = { state: 'draining', underWay: new UnderWay(store), sinceMs: nowMs, untilMs: 0, saidMs: nowMs }
    this.#told.set(store, told)
    if (told.underWay.isDone) this.#pause(store, told)
  }

  #pause(store: Store, told: Told): void {
    const { pause, clock } = this.#path
    told.state = 'asking'
    told.saidMs = clock.nowMs
    const ms = Math.max(1, Math.min(LEASE_MS, (pause?.untilMs ?? 0) - clock.nowMs))
    this.#say(store, pauseFor(ms), this.#user, (reply) => {
      told.state = reply?.[0] === MINUS ? 'left' : 'told'
      told.untilMs = reply === null ? 0 : this.#path.clock.nowMs + ms
      this.#heard(reply)
    })
  }

  /** `forget`: the store may be told again; else it is left alone for the rest of the pause. */
  #unpause(store: Store, told: Told, user: StoreUser | null, forget: boolean): void {
    told.state = 'asking'
    this.#say(store, UNPAUSE, user, (reply) => {
      if (reply !== null && isNoPermission(reply)) told.state = 'told'
      else if (forget) {
        // An EXEC may have paused it again meanwhile.
        if (this.#told.get(store) === told) this.#told.delete(store)
      } else told.state = 'left'
      this.#heard(reply)
    })
  }

  /** `answered`: the reply; null: there will be none. */
  #say(store: Store, bytes: Buffer, user: StoreUser | null, answered: (reply: Buffer | null) => void): void {
    const pipeline = store.dedicated.borrow(0, 2, user)
    pipeline.answersWithinMs = store.options.config.timeoutMs
    const owner: ReplyOwner = {
      settle: (_slot: InFlight, buf: Buffer, start: number, end: number) => {
        const reply = Buffer.from(buf.subarray(start, end))
        queueMicrotask(() => {
          store.dedicated.release(pipeline, 0)
          answered(reply)
        })
      },
      lost: () => queueMicrotask(() => answered(null)),
      timedOut: () => {},
    }
    pipeline.push(owner, bytes, 0, bytes.length)
  }

  #heard(reply: Buffer | null): void {
    if (reply !== null && isNoPermission(reply)) this.#error ??= reply
    this.#look()
  }

  #look(): void {
    const answered = this.#answered
    if (answered === null) return
    for (const { state } of this.#told.values()) if (state === 'draining' || state === 'asking') return
    this.#answered = null
    answered(this.#error)
  }

  /** Of the client's commands there or the mirror's anywhere, one has waited for too long. */
  #isStuck(paused: Store): boolean {
    for (const pipeline of paused.clientPipelines())
      if (!mayWaitForEver(pipeline) && pipeline.oldestAgeMs() > STUCK_MS) return true
    for (const store of this.#path.stores)
      for (const pipeline of store.shadows.open())
        if (pipeline.state === 'up' && pipeline.oldestAgeMs() > STUCK_MS) return true
    return false
  }
}

/** The commands at a store that were under way at a moment, those apart that wait for something to happen. */
class UnderWay {
  readonly #marks: (readonly [Pipeline, number])[] = []

  constructor(store: Store) {
    for (const pipeline of store.clientPipelines())
      if (!pipeline.quiet) this.#marks.push([pipeline, pipeline.totalBytes])
  }

  get isDone(): boolean {
    return this.#marks.every(
      ([pipeline, bytes]) => pipeline.settledBytes >= bytes || (mayWaitForEver(pipeline) && pipeline.ring.length <= 1),
    )
  }
}

function mayWaitForEver({ blocks, state }: Pipeline): boolean {
  return blocks || state === 'closed'
}

function isNoPermission(reply: Buffer): boolean {
  return reply.subarray(0, NO_PERMISSION.length).equals(NO_PERMISSION)
}

function pauseFor(ms: number): Buffer {
  return encodeOwn(['CLIENT', 'PAUSE', Math.ceil(Math.min(ms, LEASE_MS)), 'WRITE'])
}

const UNPAUSE = encodeOwn(['CLIENT', 'UNPAUSE'])
const NO_PERMISSION = Buffer.from('-NOPERM')
