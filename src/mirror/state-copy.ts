import { hashBytes } from '../base/hash.ts'
import { COLON, DOLLAR, MINUS } from '../resp/bytes.ts'
import { encodeCommand } from '../resp/encode.ts'
import { bulkOf } from '../resp/slices.ts'
import type { KeyRule, Route } from '../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { DataPathContext } from './context.ts'
import type { DirtyKey, DirtySet } from './dirty-set.ts'
import type { OverlapTable } from './overlap.ts'
import { primaryPipeline } from './primary-pipeline.ts'

/** What a copy ends with that another connection wrote into, or for which the backlog had no room: it is to be begun again soon. */
export const AGAIN = 'AGAIN'

/**
 * Puts a key's whole state on the shadow: the universal way out.
 *
 *   primary pipeline:  ... w1  DUMP key  PEXPIRETIME key  w2 ...
 *   shadow pipeline:   ... w1' RESTORE key (or DEL)       w2' ...
 *
 * The key is read in the same pipeline as everything else, and its state is queued for the shadow at the moment its reply arrives: writes before it
 * are inside the copy, writes after it follow it. No lock, and no race within the process (`3-semantics.md`, "State copy").
 *
 * A mark that comes after `start` keeps the key dirty, even if it was for a write that the copy holds already: what a blocking command took has no place among the
 * replies of this pipeline, so its mark may come before DUMP's reply although DUMP was executed before it.
 *
 * One object a copy; it ends in `onEnd(ok, error)`, once.
 */
export class StateCopy implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #entry: DirtyKey
  readonly #onEnd: (ok: boolean, error: string | null) => void
  readonly #hash: number
  readonly #version: number
  #rule: KeyRule
  #payload: Buffer | null = null
  #missing = false
  #error: string | null = null
  #lane = 0
  #ticket = 0
  #stage: 'dump' | 'expiry' | 'restore' = 'dump'
  #ended = false

  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    overlap: OverlapTable,
    entry: DirtyKey,
    onEnd: (ok: boolean, error: string | null) => void,
  ) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
    this.#hash = hashBytes(entry.key, 0, entry.key.length)
    this.#entry = entry
    this.#version = entry.version
    this.#rule = context.routes.find(entry.key, 0, entry.key.length)
    this.#onEnd = onEnd
  }

  /** Sends the reads. Returns false when the primary is not there. */
  start(): boolean {
    const { key, database } = this.#entry
    const { route } = this.#rule
    if (route.shadow === null) return false
    const pipeline = primaryPipeline(this.#context, this.#overlap, route, database, this.#hash)
    if (pipeline.state !== 'up') return false
    const name = nameOnPrimary(this.#rule, key)
    this.#lane = pipeline.lane
    this.#ticket = this.#overlap.look(this.#hash, this.#lane)
    this.#push(pipeline, encodeCommand(['DUMP', name]))
    this.#push(pipeline, encodeCommand([this.#hasAbsoluteTimes() ? 'PEXPIRETIME' : 'PTTL', name]))
    return true
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    switch (this.#stage) {
      case 'dump':
        if (buf[start] === DOLLAR && buf[start + 1] !== MINUS) this.#payload = bulkOf(buf, start)
        else if (buf[start] === MINUS) this.#error = buf.toString('latin1', start + 1, end - 2)
        else this.#missing = true
        this.#stage = 'expiry'
        return
      case 'expiry':
        this.#stage = 'restore'
        // A write on another connection meanwhile: whether this copy holds it is unknown, so it is read again.
        if (this.#overlap.traffic(this.#hash, this.#lane) !== this.#ticket) return this.#end(false, AGAIN)
        if (buf[start] !== COLON) this.#error ??= buf.toString('latin1', start + 1, end - 2)
        if (this.#error !== null) this.#end(false, this.#error)
        else this.#restore(Number(buf.toString('latin1', start + 1, end - 2)))
        return
      case 'restore':
        this.#settleBacklog(slot)
        if (buf[start] === MINUS) this.#end(false, buf.toString('latin1', start + 1, end - 2))
        else {
          this.#rule.route.state.copied++
          this.#end(true, null)
        }
    }
  }

  lost(slot: InFlight, loss: Loss): void {
    if (this.#stage === 'restore' && !this.#ended) this.#settleBacklog(slot)
    this.#end(false, loss.text)
  }

  /** A copy waits as long as its stores do: the pipeline gives a store up that says nothing. */
  timedOut(): void {}

  #restore(expiry: number): void {
    const { key, database } = this.#entry
    const asked = this.#rule
    const rule = this.#context.routes.find(key, 0, key.length)
    const { route } = rule
    if (
      route.shadow === null ||
      route.primary.store !== asked.route.primary.store ||
      !nameOnPrimary(rule, key).equals(nameOnPrimary(asked, key))
    ) {
      this.#end(false, 'MOVED the key has another primary now')
      return
    }
    this.#rule = rule
    const name = rule.shadow?.apply(key, 0, key.length) ?? key
    // -2: it expired between the two reads.
    const command =
      this.#missing || expiry === -2
        ? encodeCommand(['DEL', name])
        : encodeCommand([
            'RESTORE',
            name,
            String(Math.max(expiry, 0)),
            this.#payload!,
            'REPLACE',
            ...(this.#hasAbsoluteTimes() && expiry > 0 ? ['ABSTTL'] : []),
          ])
    this.#payload = null
    const { state } = route
    // One that is larger than the whole backlog goes alone.
    if (state.backlogBytes > 0 && state.backlogBytes + command.length > route.config.mirror.backlogBytes) {
      this.#end(false, AGAIN)
      return
    }
    state.backlogCommands++
    state.backlogBytes += command.length
    this.#push(this.#context.stores[route.shadow.store]!.shadow(database), command)
  }

  #settleBacklog(slot: InFlight): void {
    const { state } = slot.route as Route
    state.backlogCommands--
    state.backlogBytes -= slot.end - slot.start
  }

  #hasAbsoluteTimes(): boolean {
    return this.#context.commands.byName('PEXPIRETIME') !== undefined
  }

  #push(pipeline: Pipeline, bytes: Buffer): void {
    const slot = pipeline.push(this, bytes, 0, bytes.length)
    slot.route = this.#rule.route
    slot.database = this.#entry.database
  }

  #end(ok: boolean, error: string | null): void {
    if (this.#ended) return
    this.#ended = true
    if (ok) this.#dirty.copied(this.#entry, this.#version)
    this.#onEnd(ok, error)
  }
}

function nameOnPrimary(rule: KeyRule, key: Buffer): Buffer {
  return rule.primary?.apply(key, 0, key.length) ?? key
}
