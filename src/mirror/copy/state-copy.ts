import { hashBytes } from '../../base/hash.ts'
import { COLON, MINUS } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyKey } from '../dirty/dirty-key.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { leftBacklog } from '../shadow/shadow-backlog.ts'
import { isStranded } from '../shadow/stranded.ts'
import {
  isBadPayload,
  isForeignPayload,
  isTooLong,
  isUnknownCommand,
  LEAST_BULK_LIMIT,
  textOf,
} from '../stores/store-errors.ts'
import { GONE, isOnOneServer, MOVED, restoreCommand } from './copied-key.ts'
import { CopyEnds } from './copy-ends.ts'
import { type KeyHold, TOO_LARGE } from './key-holds.ts'
import { Rebuild, TOO_BUSY } from './rebuild.ts'
import { NOBODY } from './sweeps.ts'
import { readWhole } from './whole-read.ts'

/** What a copy ends with that another connection wrote into, or for which the backlog had no room: it is to be begun again soon. */
export const AGAIN = 'AGAIN'

/** What the copy of a key ends with that is in a database which its shadow does not have: it can be copied when it is gone. */
export const STRANDED = 'STRANDED'

/**
 * Puts a key's whole state on the shadow: the universal way out.
 *
 *   measure ─┬─ small, two servers ─▶ DUMP, PEXPIRETIME ─▶ RESTORE (or DEL, if there is no key)
 *            ├─ small, one server ──▶ COPY ── written to meanwhile ─▶ as between two servers (in a cluster: one slot)
 *            └─ big, or RESTORE refuses ─▶ Rebuild: by commands of its type, in pieces
 *
 *   primary pipeline:  ... w1  DUMP key  PEXPIRETIME key  w2 ...
 *   shadow pipeline:   ... w1' RESTORE key (or DEL)       w2' ...
 *
 * The key is read in the same pipeline as everything else, and its state is queued for the shadow at the moment its reply arrives: writes before it
 * are inside the copy, writes after it follow it. No lock, and no race within the process (`3-semantics.md`, "State copy").
 *
 * COPY is executed behind the effects that are on their way, and copies what is there then: right if no write to the key was under way or came until its answer, which the overlap table tells.
 *
 * A mark that comes after the first read has been sent keeps the key dirty, even if it was for a write that the copy holds already: what a blocking command took has no place among the
 * replies of this pipeline, so its mark may come before DUMP's reply although DUMP was executed before it.
 *
 * A key that is written too fast for all of this is read while its writes are held (`KeyHolds`): measured first, then as a whole.
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
  /** Marks up to the first read are for writes that the copy holds. */
  #version: number
  readonly #ends: CopyEnds
  /** The shadow does not take so much in one piece. */
  #isLong = false
  #ticket = 0
  readonly #hold: KeyHold | null
  readonly #deletes: boolean
  /** When it was read as a whole, at one place of history; null: in pieces, or not yet. */
  #readMs: number | null = null
  #stage: 'exists' | 'measure' | 'restore' | 'copy' | 'gone' = 'measure'
  #ended = false

  /** `entry` need not be in the dirty set: whoever copies keys for another reason makes one up. `deletes`: what the primary has no more is deleted on the shadow; else it is left there. */
  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    overlap: OverlapTable,
    entry: DirtyKey,
    onEnd: (ok: boolean, error: string | null) => void,
    hold: KeyHold | null = null,
    deletes = true,
  ) {
    this.#hold = hold
    this.#deletes = deletes
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
    this.#hash = hashBytes(entry.key, 0, entry.key.length)
    this.#entry = entry
    this.#version = entry.version
    this.#ends = new CopyEnds(context, overlap, entry, this.#hash)
    this.#onEnd = onEnd
  }

  /** It was put together from what was read at several places of history. */
  get inPieces(): boolean {
    return this.#readMs === null
  }

  /** Sends the first read. Returns false when the primary is not there. */
  start(): boolean {
    const { copies } = this.#context
    if (this.#ends.rule.route.shadow === null) return false
    const pipeline = this.#ends.primary()
    if (pipeline.state !== 'up') return false
    if (isStranded(this.#ends.shadowStore, this.#entry.database)) {
      this.#stage = 'exists'
      this.#ends.push(this, pipeline, encodeOwn(['EXISTS', this.#ends.onPrimary]))
    } else if (copies.isSmall(this.#hash) || this.#ends.primaryRefuses('MEMORY')) this.#measuredSmall(pipeline)
    else {
      this.#stage = 'measure'
      this.#ends.push(this, pipeline, encodeOwn(['MEMORY', 'USAGE', this.#ends.onPrimary]))
    }
    return true
  }

  #measuredSmall(pipeline: Pipeline): void {
    if (this.#hold === null) this.#choose(pipeline)
    else this.#hold.begin(() => this.#goOn(this.#choose))
  }

  #choose(pipeline: Pipeline): void {
    if (this.#ends.refuseRestore || this.#ends.primaryRefuses('DUMP')) {
      this.#rebuild(true)
    } else if (
      this.#hold === null &&
      isOnOneServer(this.#ends.rule, this.#entry.key, this.#ends.shadowStore.cluster !== null) &&
      !this.#ends.primaryRefuses('COPY')
    )
      this.#copy(pipeline)
    else this.#dump(pipeline)
  }

  /** On one server: behind all effects, and only while nothing is written to the key. */
  #copy(pipeline: Pipeline): void {
    const ticket = this.#overlap.look(this.#hash, NOBODY)
    if (ticket < 0) return this.#dump(pipeline)
    this.#ticket = ticket
    this.#stage = 'copy'
    this.#begins(true)
    this.#ends.pushToShadow(this, encodeOwn(['COPY', this.#ends.onPrimary, this.#ends.onShadow, 'REPLACE']))
  }

  #dump(pipeline: Pipeline): void {
    this.#begins(true)
    readWhole(this.#ends, this.#overlap, this.#hash, this.#entry, pipeline, {
      read: (payload, expiresAtMs) => this.#restore(payload, expiresAtMs),
      unknownExpiry: () => this.#goOn(this.#dump),
      unknownDump: () => this.#rebuild(true),
      disturbed: () => this.#end(false, AGAIN),
      failed: (error) => this.#end(false, error),
    })
  }

  /** The other ways, when one has turned out not to work. */
  #goOn(way: (pipeline: Pipeline) => void): void {
    if (!this.#isStillThere()) return
    const pipeline = this.#ends.primary()
    if (pipeline.state !== 'up') this.#end(false, AGAIN)
    else way.call(this, pipeline)
  }

  /** To be asked behind every answer, before more is sent (`CopyEnds.areStill`). False: that was its end. */
  #isStillThere(): boolean {
    const stays = this.#ends.areStill()
    if (!stays) this.#end(false, MOVED)
    return stays
  }

  #rebuild(wanted: boolean): void {
    if (!this.#isStillThere()) return
    const whole = wanted && !this.#isLong
    this.#begins(whole)
    const ended = (ok: boolean, error: string | null): void => {
      if (error === GONE) this.#gone()
      else if (error !== TOO_BUSY) this.#end(ok, error)
      // In one piece the shadow does not take it.
      else if (this.#isLong) this.#end(false, AGAIN)
      // It is written to all the time: in one piece, then. Where the payload is refused, that is what comes of it.
      else if (!whole && !this.#ends.refuseRestore) this.#goOn(this.#dump)
      else if (!whole) this.#rebuild(true)
      else this.#end(false, AGAIN)
    }
    new Rebuild({
      context: this.#context,
      dirty: this.#dirty,
      overlap: this.#overlap,
      rule: this.#ends.rule,
      database: this.#entry.database,
      key: this.#entry.key,
      whole,
      deletes: this.#deletes,
      onRead: () => this.#hold?.end(true),
      onEnd: ended,
    }).start()
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const failed = buf[start] === MINUS
    switch (this.#stage) {
      case 'exists':
        this.#end(buf[start] === COLON && buf[start + 1] === ZERO, STRANDED)
        return
      case 'measure':
        this.#measured(failed ? textOf(buf, start, end) : null, buf[start] === COLON ? numberOf(buf, start, end) : 0)
        return
      case 'copy':
        leftBacklog(slot)
        this.#copied(failed ? textOf(buf, start, end) : null, buf[start + 1] === ONE)
        return
      case 'gone':
        leftBacklog(slot)
        // Neither has it: nothing is left to copy.
        if (buf[start] === COLON && buf[start + 1] === ZERO) this.#end(true, null)
        else this.#end(false, failed ? textOf(buf, start, end) : GONE)
        return
      case 'restore':
        leftBacklog(slot)
        if (failed) this.#refusedRestore(textOf(buf, start, end))
        else this.#done()
    }
  }

  lost(slot: InFlight, loss: Loss): void {
    if ((this.#stage === 'restore' || this.#stage === 'copy' || this.#stage === 'gone') && !this.#ended)
      leftBacklog(slot)
    this.#end(false, loss.text)
  }

  /** A copy waits as long as its stores do: the pipeline gives a store up that says nothing. */
  timedOut(): void {}

  #measured(error: string | null, bytes: number): void {
    const { copies } = this.#context
    if (error !== null && isUnknownCommand(error)) this.#ends.primaryRefused('MEMORY')
    this.#isLong = bytes > this.#ends.shadowStore.maxBulkBytes
    if (this.#hold !== null) {
      if (bytes > this.#hold.maxBytes) this.#end(false, TOO_LARGE)
      else this.#goOn(this.#measuredSmall)
    } else if (this.#isLong || bytes > copies.limits.bigKeyBytes) this.#rebuild(false)
    else {
      copies.measured(this.#hash, bytes)
      this.#goOn(this.#choose)
    }
  }

  #copied(error: string | null, found: boolean): void {
    if (error !== null && isUnknownCommand(error)) this.#ends.primaryRefused('COPY')
    if (error !== null || this.#overlap.traffic(this.#hash, NOBODY) !== this.#ticket) this.#goOn(this.#dump)
    else if (found) this.#done()
    else if (!this.#deletes) this.#gone()
    else if (this.#isStillThere()) {
      this.#stage = 'restore'
      this.#ends.pushToShadow(this, encodeOwn(['DEL', this.#ends.onShadow]))
    }
  }

  /** `payload` null: there is no such key. `expiresAtMs`: not above 0: never. */
  #restore(payload: Buffer | null, expiresAtMs: number): void {
    if (!this.#isStillThere()) return
    if (payload === null && !this.#deletes) return this.#gone()
    const { route } = this.#ends.rule
    const name = this.#ends.onShadow
    const command = payload === null ? encodeOwn(['DEL', name]) : restoreCommand(name, payload, expiresAtMs)
    if ((payload?.length ?? 0) > this.#ends.shadowStore.maxBulkBytes) {
      this.#isLong = true
      return this.#rebuild(false)
    }
    const { state } = route
    // One that is larger than the whole backlog goes alone.
    if (state.backlogBytes > 0 && state.backlogBytes + command.length > route.config.mirror.backlogBytes) {
      this.#end(false, AGAIN)
      return
    }
    this.#stage = 'restore'
    this.#ends.pushToShadow(this, command)
    this.#hold?.end(true)
  }

  /** From here on marks are for writes that it may lack. */
  #begins(whole: boolean): void {
    this.#version = this.#entry.version
    this.#readMs = whole ? this.#context.clock.nowMs : null
  }

  /** The primary has no such key, and the shadow's is not to be deleted. */
  #gone(): void {
    if (!this.#isStillThere()) return
    this.#stage = 'gone'
    this.#ends.pushToShadow(this, encodeOwn(['EXISTS', this.#ends.onShadow]))
    this.#hold?.end(true)
  }

  #refusedRestore(error: string): void {
    const { route } = this.#ends.rule
    if (isForeignPayload(error) || isUnknownCommand(error)) {
      if (this.#ends.restoreRefused()) {
        this.#context.log({
          level: 'info',
          msg: 'the shadow does not take payloads of the primary; keys are copied by commands of their types',
          fields: { route: route.name, store: route.shadow!.storeName },
        })
      }
      this.#rebuild(true)
    } else if (isBadPayload(error)) this.#rebuild(true)
    else if (isTooLong(error)) {
      this.#ends.shadowStore.maxBulkBytes = LEAST_BULK_LIMIT
      this.#end(false, AGAIN)
    } else this.#end(false, error)
  }

  #done(): void {
    this.#ends.rule.route.state.copied++
    this.#end(true, null)
  }

  #end(ok: boolean, error: string | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#hold?.end(false)
    if (ok) this.#dirty.copied(this.#entry, this.#version, this.#readMs)
    this.#onEnd(ok, error)
  }
}

const ONE = 0x31
const ZERO = 0x30

function numberOf(buf: Buffer, start: number, end: number): number {
  return Number(buf.toString('latin1', start + 1, end - 2))
}
