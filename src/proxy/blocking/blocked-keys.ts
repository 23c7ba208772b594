import type { CommandSpec } from '../../command/spec.ts'
import type { KeyRef } from '../../mirror/keys/key-refs.ts'
import type { AckWaiter } from '../../mirror/shadow/ack-waiter.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { planCommand } from '../../routing/plan.ts'
import type { Session } from '../session/session.ts'

/** An answer within this time was not waited for, as far as can be told. */
const AT_ONCE_MS = 100

/**
 * The keys of one blocking command, as the mirror sees them: in the overlap table and the intent log while it is under way, and dirty when it has taken something.
 *
 *   tried     tries ─▶ tried
 *   waiting   waits ─▶ tookAfterWait, over
 */
export class BlockedKeys {
  /** One of its routes is mirrored, and it may write. Changes with the routes. */
  isMirrored = false
  readonly #session: Session
  readonly #spec: CommandSpec
  /** The application's. */
  readonly #frame: Buffer
  /** Of the first one; 0: there is none that is mirrored, or it says nothing about it. */
  readonly #hash: number
  #lane = 0
  #ticket = 0
  /** Since when it waits at the store. Coarse clock. */
  #waitingMs = 0
  /** What it has taken is marked dirty, or it has taken nothing. */
  #awaitsNoMore: () => void = nothing

  constructor(session: Session, spec: CommandSpec, frame: Buffer, hash: number) {
    this.#session = session
    this.#spec = spec
    this.#frame = frame
    this.#hash = hash
  }

  /** It may write its keys at any time from now on: to be told again of each new segment of the log, as long as it waits. */
  noteIntent(): void {
    const { path } = this.#session
    if (path.intents === null || !this.isMirrored) return
    for (const { database, key } of this.#all()) path.intents.noteKey(database, key, 0, key.length)
  }

  /** A try has left on that lane. */
  tries(lane: number): void {
    this.#lane = lane
    if (!this.isMirrored) return
    this.#session.writesOwed++
    const { path } = this.#plan()
    this.#ticket = path.tickets.enter(parser, path.plan.positions, lane)
  }

  /** It has been answered, or never will be. True: another connection wrote to one of them meanwhile. */
  tried(): boolean {
    if (!this.isMirrored) return false
    this.#session.writesOwed--
    const { path } = this.#plan()
    return path.tickets.leave(parser, path.plan.positions, this.#lane, this.#ticket)
  }

  /** The outcome of a try: whether there was something to take. */
  noteTry(took: boolean): void {
    const { busyQueues, clock } = this.#session.path
    busyQueues.tried(this.#hash, took, clock.nowMs)
  }

  /** It is about to wait at a store, on that lane. */
  waits(lane: number): void {
    const { path } = this.#session
    this.#waitingMs = path.clock.nowMs
    this.noteIntent()
    if (this.isMirrored) this.#awaitsNoMore = path.mirror.awaited.wait(this.#all())
    this.#lane = lane
    this.#ticket = path.tickets.look(this.#hash, lane)
  }

  /** A wait has ended. What was there at once need not have been waited for: whether the next ones are tried first. */
  noteWait(took: boolean): void {
    const { clock, tickets, busyQueues } = this.#session.path
    if (this.#hash === 0) return
    if (!took || clock.nowMs - this.#waitingMs >= AT_ONCE_MS) return busyQueues.waited(this.#hash)
    const alone = this.#ticket >= 0 && tickets.look(this.#hash, this.#lane) === this.#ticket
    busyQueues.tookAtOnce(this.#hash, alone, clock.nowMs)
  }

  mark(waiter: AckWaiter | null = null): void {
    for (const ref of this.#all()) this.#session.path.mirror.mark(ref, 'overlap', waiter)
  }

  /** What the wait has taken is marked, or it has taken nothing. */
  awaitNoMore(): void {
    this.#awaitsNoMore()
  }

  #all(): KeyRef[] {
    const frame = this.#frame
    return this.#session.path.mirror.keysIn(this.#spec, this.#session.database, frame, 0, frame.length)
  }

  #plan(): Session {
    const { path } = this.#session
    parser.parse(this.#frame, 0, this.#frame.length)
    planCommand(path.routes, this.#spec, parser, path.plan)
    return this.#session
  }
}

const parser = new CommandParser()

function nothing(): void {}
