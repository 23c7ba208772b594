import { command } from '../../command/effects/building.ts'
import type { Args } from '../../command/effects.ts'
import { MINUS } from '../../resp/bytes.ts'
import { encodeCommand } from '../../resp/encode.ts'
import type { Route } from '../../routing/route.ts'
import { stagingKeyFor } from '../../routing/staging-key.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import { joinBacklog, leftBacklog } from '../shadow/shadow-backlog.ts'
import { errorIn, textOf } from '../stores/store-errors.ts'
import { encodeFor, KEY } from './pieces/pieces.ts'

/** Told what becomes of what is written. */
export interface StagedCopyListener {
  /** The shadow does not execute something of it. */
  failed(error: string): void
  /** A piece has been answered, after what failed of it has been told. */
  written(): void
  lost(error: string): void
}

/**
 * The shadow's side of a rebuild: a key grows under a staging name, and takes the place of the one that it is a copy of when all of it is there.
 *
 *   add ─▶ MULTI  commands of its type ...  PEXPIRE  EXEC
 *   also ─▶ one command, as it is                                   what was written to the key meanwhile
 *   finish ─▶ MULTI  the last piece  expiry  UNLINK key  RENAME staging key  EXEC
 *
 * A piece is executed as a whole or refused as a whole. A staging key that is left behind (a crash, a lost connection) expires by itself.
 */
export class StagedCopy implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #route: Route
  readonly #database: number
  /** Of the key, at the shadow. */
  readonly #name: Buffer
  readonly #listener: StagedCopyListener
  #staging: Buffer
  /** Something is in the staging key. */
  #staged = false

  constructor(context: DataPathContext, route: Route, database: number, name: Buffer, listener: StagedCopyListener) {
    this.#context = context
    this.#route = route
    this.#database = database
    this.#name = name
    this.#listener = listener
    this.#staging = stagingKeyFor(name)
  }

  /** What has been written to the key is done to the copy too. */
  also(commands: readonly Args[]): void {
    for (const one of commands) this.#push(encodeFor(one, this.#staging), 1, EFFECT)
    if (!this.#staged) this.#push(encodeFor(LEFT_BEHIND, this.#staging), 1, EFFECT)
    this.#staged = true
  }

  /** A further piece. False: the shadow does not take values of that length, and nothing is sent. */
  add(writes: readonly Args[]): boolean {
    this.#staged = true
    return this.#pushUnit([...writes, LEFT_BEHIND], this.#staging)
  }

  /** The last piece, with which the copy takes the key's place. `expiresAtMs` -1: it does not expire; null: there is no such key. False as with `add`. */
  finish(writes: readonly Args[], expiresAtMs: number | null): boolean {
    const gone = command('UNLINK', this.#name)
    const expiry = expiresAtMs === null || expiresAtMs < 0 ? [] : [command('PEXPIREAT', KEY, expiresAtMs)]
    if (expiresAtMs === null) {
      return this.#pushUnit(this.#staged ? [gone, command('UNLINK', KEY)] : [gone], this.#staging)
    }
    if (!this.#staged) return this.#pushUnit([gone, ...writes, ...expiry], this.#name)
    const lasting = expiry.length === 0 ? [command('PERSIST', KEY)] : expiry
    return this.#pushUnit([...writes, ...lasting, gone, command('RENAME', KEY, this.#name)], this.#staging)
  }

  /** Nothing will come of it. */
  drop(): void {
    if (this.#staged) this.#push(encodeCommand(['UNLINK', this.#staging]), 1, EFFECT)
  }

  /** What has been written is worth nothing: the next piece is the first one, of another staging key. */
  restart(): void {
    this.drop()
    this.#staging = stagingKeyFor(this.#name)
    this.#staged = false
  }

  // --- on the way

  get #shadow(): Store {
    return this.#context.stores[this.#route.shadow!.store]!
  }

  #pushUnit(list: readonly Args[], name: Buffer): boolean {
    const { maxBulkBytes } = this.#shadow
    if (list.some((args) => args.some((arg) => arg.length > maxBulkBytes))) return false
    this.#push(Buffer.concat([MULTI, ...list.map((args) => encodeFor(args, name)), EXEC]), list.length + 2, WRITE)
    return true
  }

  #push(bytes: Buffer, replies: number, flags: number): void {
    const slot = this.#shadow.shadows.to(this.#database).push(this, bytes, 0, bytes.length)
    slot.route = this.#route
    slot.database = this.#database
    slot.replies = replies
    slot.flags = flags
    joinBacklog(this.#route, bytes.length)
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (slot.replies > 0) {
      // What is refused before EXEC says why; EXEC itself only that something was.
      if (buf[start] === MINUS) this.#listener.failed(textOf(buf, start, end))
      return
    }
    leftBacklog(slot)
    const error = errorIn(buf, start, end)
    if (error !== null) this.#listener.failed(error)
    if (slot.flags === WRITE) this.#listener.written()
  }

  lost(slot: InFlight, loss: Loss): void {
    leftBacklog(slot)
    this.#listener.lost(loss.text)
  }

  /** It waits as long as its store does: the pipeline gives a store up that says nothing. */
  timedOut(): void {}
}

const WRITE = 1
const EFFECT = 2

/** A staging key that nobody writes to any more expires. */
const LEFT_BEHIND = command('PEXPIRE', KEY, 600_000)

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])
