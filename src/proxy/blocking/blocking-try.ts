import { isNil } from '../../command/blocked-reply.ts'
import { MINUS } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { execElements } from '../session/malformed.ts'
import type { BlockedKeys } from './blocked-keys.ts'
import type { BlockedRoutes } from './blocked-routes.ts'

/** Who tries: told one of these, once. */
export interface TriesFirst {
  /** There was nothing to take. */
  tookNothing(): void
  /** `buf[from .. to)`: the command's own answer. `contested`: another connection wrote to its keys meanwhile. */
  answered(buf: Buffer, from: number, to: number, contested: boolean): void
  /** It was refused. `mayHaveTaken`: or what came cannot be read. */
  refused(frame: Buffer, mayHaveTaken: boolean): void
  lost(loss: Loss): void
}

/**
 * One try of a blocking command on the shared pipeline: inside MULTI nothing blocks, so what there is to take is taken there and then, at an exact place of history.
 *
 *   MULTI ─▶ OK        the command ─▶ QUEUED, or why not   EXEC ─▶ [its answer], or why not: nothing is taken
 *   MULTI ─▶ why not   the command ─▶ its answer           EXEC ─▶ an error
 *
 * A user of the store may have the right to the command and none to MULTI or EXEC. Without MULTI the command blocks a connection that others share, so it asks for the shortest time there is.
 */
export class BlockingTry implements ReplyOwner {
  readonly #routes: BlockedRoutes
  readonly #keys: BlockedKeys
  readonly #told: TriesFirst
  #queueError: Buffer | null = null
  #isOpen = true
  /** What the command was answered outside MULTI. */
  #alone: Buffer | null = null

  constructor(routes: BlockedRoutes, keys: BlockedKeys, told: TriesFirst) {
    this.#routes = routes
    this.#keys = keys
    this.#told = told
  }

  /** `frame`: as the command is called at the store. */
  send(pipeline: Pipeline, frame: Buffer): InFlight {
    const bytes = Buffer.concat([MULTI, frame, EXEC])
    this.#keys.noteIntent()
    const slot = pipeline.push(this, bytes, 0, bytes.length)
    slot.replies = 3
    this.#routes.countInFlight(1)
    this.#keys.tries(pipeline.lane)
    return slot
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (slot.replies > 0) return this.#settleQueued(slot.replies, buf, start, end)
    this.#routes.countInFlight(-1)
    const contested = this.#keys.tried()
    if (this.#alone !== null) return this.#settleAnswer(this.#alone, 0, this.#alone.length, contested)
    const offsets = execElements(buf, start, end)
    if (offsets?.length === 2) this.#settleAnswer(buf, offsets[0]!, offsets[1]!, contested)
    else if (this.#queueError === null && buf.toString('latin1', start, end).startsWith(ABORTED)) this.#tookNothing()
    else this.#told.refused(this.#queueError ?? Buffer.from(buf.subarray(start, end)), buf[start] !== MINUS)
  }

  /** `more`: how many answers are still to come. */
  #settleQueued(more: number, buf: Buffer, start: number, end: number): void {
    if (more === AFTER_MULTI) this.#isOpen = buf[start] !== MINUS
    else if (!this.#isOpen) this.#alone = Buffer.from(buf.subarray(start, end))
    else if (buf[start] === MINUS) this.#queueError = Buffer.from(buf.subarray(start, end))
  }

  #settleAnswer(buf: Buffer, from: number, to: number, contested: boolean): void {
    if (isNil(buf, from)) return this.#tookNothing()
    this.#keys.noteTry(true)
    this.#told.answered(buf, from, to, contested)
  }

  #tookNothing(): void {
    this.#keys.noteTry(false)
    this.#told.tookNothing()
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#routes.countInFlight(-1)
    this.#keys.tried()
    this.#told.lost(loss)
  }

  /** One that takes long is followed to its end: the client asked to wait anyway. */
  timedOut(): void {}
}

const MULTI = encodeOwn(['MULTI'])
const EXEC = encodeOwn(['EXEC'])
const AFTER_MULTI = 2
const ABORTED = '-EXECABORT '
