import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Reply } from '../../resp/reply.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { OverlapTable } from '../keys/overlap.ts'

/**
 * Reads of one key that its primary executes side by side, in the pipeline in whose history the key's writes are:
 *
 *   primary   ... w1  [read read read]  w2 ...
 *
 * so what they tell is the key's state between two writes, unless one of another connection came meanwhile (`isDisturbed`): then nobody knows which of them have seen it.
 *
 * One round at a time; each ends in `onAnswered` or `onLost`, this once for each read that was lost.
 */
export class PrimaryReads implements ReplyOwner {
  readonly #overlap: OverlapTable
  readonly #hash: number
  readonly #onAnswered: (replies: Reply[]) => void
  readonly #onLost: (error: string) => void
  #replies: Reply[] = []
  #owed = 0
  #replyBytes = 0
  #lane = 0
  #ticket = 0

  /** `hash`: of the application's key. */
  constructor(
    overlap: OverlapTable,
    hash: number,
    onAnswered: (replies: Reply[]) => void,
    onLost: (error: string) => void,
  ) {
    this.#overlap = overlap
    this.#hash = hash
    this.#onAnswered = onAnswered
    this.#onLost = onLost
  }

  /** Of the last round, as they came. */
  get replyBytes(): number {
    return this.#replyBytes
  }

  /** A write on another connection since the last round left: whether its replies hold it is unknown. */
  get isDisturbed(): boolean {
    return this.#overlap.traffic(this.#hash, this.#lane) !== this.#ticket
  }

  send(pipeline: Pipeline, route: Route, database: number, reads: readonly (readonly (Buffer | string)[])[]): void {
    this.#lane = pipeline.lane
    this.#ticket = this.#overlap.look(this.#hash, this.#lane)
    this.#replies = []
    this.#replyBytes = 0
    this.#owed = reads.length
    for (const args of reads) {
      const bytes = encodeOwn(args)
      const slot = pipeline.push(this, bytes, 0, bytes.length)
      slot.route = route
      slot.database = database
    }
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#replies.push(decodeReply(buf, start, end))
    this.#replyBytes += end - start
    if (--this.#owed > 0) return
    const replies = this.#replies
    this.#replies = []
    this.#onAnswered(replies)
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#onLost(loss.text)
  }

  /** They wait as long as their store does: the pipeline gives a store up that says nothing. */
  timedOut(): void {}
}
