import { isNil } from '../command/blocked-reply.ts'
import { MINUS } from '../resp/bytes.ts'
import { encodeOwn } from '../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { BlockedKeys } from './blocked-keys.ts'
import type { BlockedRoutes } from './blocked-routes.ts'
import { execElements } from './malformed.ts'

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
 *   MULTI ─▶ OK   the command ─▶ QUEUED, or why not   EXEC ─▶ [its answer]
 */
export class BlockingTry implements ReplyOwner {
  readonly #routes: BlockedRoutes
  readonly #keys: BlockedKeys
  readonly #told: TriesFirst
  #queueError: Buffer | null = null

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
    if (slot.replies > 0) {
      if (buf[start] === MINUS) this.#queueError ??= Buffer.from(buf.subarray(start, end))
      return
    }
    this.#routes.countInFlight(-1)
    const contested = this.#keys.tried()
    const offsets = execElements(buf, start, end)
    if (offsets === null || offsets.length !== 2)
      this.#told.refused(this.#queueError ?? Buffer.from(buf.subarray(start, end)), buf[start] !== MINUS)
    else {
      const [from, to] = [offsets[0]!, offsets[1]!]
      const took = !isNil(buf, from)
      this.#keys.noteTry(took)
      if (took) this.#told.answered(buf, from, to, contested)
      else this.#told.tookNothing()
    }
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
