import { hashBytes } from '../base/hash.ts'
import { COLON, DOLLAR, MINUS } from '../resp/bytes.ts'
import { encodeCommand } from '../resp/encode.ts'
import { bulkOf } from '../resp/slices.ts'
import type { Route } from '../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { DataPathContext } from './context.ts'
import type { DirtyKey, DirtySet } from './dirty-set.ts'
import type { OverlapTable } from './overlap.ts'

/**
 * Puts a key's whole state on the shadow: the universal way out.
 *
 *   primary pipeline:  ... w1  DUMP key  PEXPIRETIME key  w2 ...
 *   shadow pipeline:   ... w1' RESTORE key (or UNLINK)    w2' ...
 *
 * The key is read in the same pipeline as everything else, and its state is queued for the shadow at the moment its reply arrives: writes before it
 * are inside the copy, writes after it follow it. No lock, and no race within the process (`3-semantics.md`, "State copy").
 *
 * One object a copy; it ends in `onEnd(ok, error)`, once.
 */
export class StateCopy implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #entry: DirtyKey
  readonly #onEnd: (ok: boolean, error: string | null) => void
  #route: Route
  #version = 0
  #payload: Buffer | null = null
  #missing = false
  #error: string | null = null
  readonly #hash: number
  #lane = 0
  #ticket = 0
  #stage: 'dump' | 'expiry' | 'restore' = 'dump'
  #ended = false

  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    overlap: OverlapTable,
    entry: DirtyKey,
    route: Route,
    onEnd: (ok: boolean, error: string | null) => void,
  ) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
    this.#hash = hashBytes(entry.key, 0, entry.key.length)
    this.#entry = entry
    this.#route = route
    this.#onEnd = onEnd
  }

  /** Sends the reads. Returns false when the primary is not there. */
  start(): boolean {
    const { key, database } = this.#entry
    const rule = this.#context.routes.find(key, 0, key.length)
    this.#route = rule.route
    if (rule.route.shadow === null) return false
    const pipeline = this.#primary(rule.route, database)
    if (pipeline.state !== 'up') return false
    const name = rule.primary?.apply(key, 0, key.length) ?? key
    const absolute = this.#context.commands.byName('PEXPIRETIME') !== undefined
    const dump = encodeCommand(['DUMP', name])
    const expiry = encodeCommand([absolute ? 'PEXPIRETIME' : 'PTTL', name])
    this.#entry.copying = true
    this.#lane = pipeline.lane
    this.#ticket = this.#overlap.enter(this.#hash, this.#lane)
    this.#push(pipeline, dump)
    this.#push(pipeline, expiry)
    return true
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    switch (this.#stage) {
      case 'dump':
        // From here on a mark means that something came after what this copy holds.
        this.#version = this.#entry.version
        if (buf[start] === DOLLAR && buf[start + 1] !== MINUS) this.#payload = bulkOf(buf, start)
        else if (buf[start] === MINUS) this.#error = buf.toString('latin1', start + 1, end - 2)
        else this.#missing = true
        this.#stage = 'expiry'
        return
      case 'expiry':
        this.#stage = 'restore'
        // A write on another connection meanwhile: whether this copy holds it is unknown, so it is read again.
        if (this.#overlap.leave(this.#hash, this.#lane) !== this.#ticket) return this.#end(false, 'OVERLAP')
        if (buf[start] !== COLON) this.#error ??= buf.toString('latin1', start + 1, end - 2)
        if (this.#error !== null) this.#end(false, this.#error)
        else this.#restore(Number(buf.toString('latin1', start + 1, end - 2)))
        return
      case 'restore':
        this.#settleBacklog(_slot)
        if (buf[start] === MINUS) this.#end(false, buf.toString('latin1', start + 1, end - 2))
        else {
          this.#route.state.copied++
          this.#end(true, null)
        }
    }
  }

  lost(slot: InFlight, loss: Loss): void {
    if (this.#stage === 'restore') this.#settleBacklog(slot)
    else if (!this.#ended) this.#overlap.leave(this.#hash, this.#lane)
    this.#end(false, loss.text)
  }

  /** A copy waits as long as its stores do: the pipeline gives a store up that says nothing. */
  timedOut(): void {}

  #restore(expiry: number): void {
    const { key, database } = this.#entry
    const rule = this.#context.routes.find(key, 0, key.length)
    const route = rule.route
    // The route may have changed hands since the read.
    if (route.shadow === null || route.primary.store !== this.#route.primary.store) {
      this.#end(false, 'the route changed meanwhile')
      return
    }
    this.#route = route
    const name = rule.shadow?.apply(key, 0, key.length) ?? key
    const absolute = this.#context.commands.byName('PEXPIRETIME') !== undefined
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
            ...(absolute && expiry > 0 ? ['ABSTTL'] : []),
          ])
    this.#payload = null
    const slot = this.#push(this.#context.stores[route.shadow.store]!.shadow(database), command)
    slot.route = route
    route.state.backlogCommands++
    route.state.backlogBytes += command.length
  }

  #settleBacklog(slot: InFlight): void {
    this.#route.state.backlogCommands--
    this.#route.state.backlogBytes -= slot.end - slot.start
  }

  #push(pipeline: Pipeline, bytes: Buffer): InFlight {
    const slot = pipeline.push(this, bytes, 0, bytes.length)
    slot.route = this.#route
    slot.database = this.#entry.database
    return slot
  }

  /** The pipeline whose history the key's writes are in: the one that has some in flight now, else the one with more traffic. */
  #primary(route: Route, database: number): Pipeline {
    const store = this.#context.stores[route.primary.store]!
    const lane = this.#overlap.laneOf(this.#hash)
    const writing = [store.shared(database, 2), store.shared(database, 3)].find((pipeline) => pipeline.lane === lane)
    return writing ?? store.busiest(database)
  }

  #end(ok: boolean, error: string | null): void {
    if (this.#ended) return
    this.#ended = true
    if (ok) this.#dirty.copied(this.#entry, this.#version)
    else this.#entry.copying = false
    this.#onEnd(ok, error)
  }
}
