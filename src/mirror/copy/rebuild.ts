import { command } from '../../command/effects/building.ts'
import type { Args } from '../../command/effects.ts'
import { type Reply, SimpleReply } from '../../resp/reply.ts'
import type { KeyRule } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { markKey } from '../dirty/mark-key.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { type AckWaiter, acknowledge } from '../shadow/ack-waiter.ts'
import { refusedCommand } from '../stores/store-errors.ts'
import { GONE, MOVED } from './copied-key.ts'
import type { CopyLimits, RebuildTarget } from './copy-state.ts'
import { piecesOf } from './pieces/by-type.ts'
import { firstError, type Pieces, WHOLE } from './pieces/pieces.ts'
import { PrimaryReads } from './primary-reads.ts'
import { RebuildEnds } from './rebuild-ends.ts'
import { RebuildExpiry } from './rebuild-expiry.ts'
import { StagedCopy } from './staged-copy.ts'

/** What a rebuild ends with that could not keep up with the writes to its key. */
export const TOO_BUSY = 'BUSY'
const TOO_LONG = 'TOOLONG a value is longer than the shadow takes (proto-max-bulk-len)'

export interface RebuildOptions {
  readonly context: DataPathContext
  readonly dirty: DirtySet
  readonly overlap: OverlapTable
  /** What the table said of the key when the copy began. */
  readonly rule: KeyRule
  readonly database: number
  /** The application's name. */
  readonly key: Buffer
  /** Read in one piece: it is small, or there are too many writes for anything else. */
  readonly whole: boolean
  /** A key that the primary has no more is deleted. Also where not: one that was written to meanwhile, for these writes have not gone there. */
  readonly deletes: boolean
  /** All of it has been read, and is queued for the shadow. */
  readonly onRead: () => void
  readonly onEnd: (ok: boolean, error: string | null) => void
}

/**
 * Builds a key on the shadow by commands of its type: for payloads that RESTORE refuses, and piece by piece for keys that are too big for one DUMP.
 *
 *   primary   ... [piece 1]  w  [piece 2]  w' ...  [last piece, expiry]
 *   shadow    ... staging <- 1  w  staging <- 2  w' ...  staging <- last;  RENAME staging key
 *
 * Pieces are read at different places of history. What is written to the key between two of them is done to the staging key too, at its place, or begins it anew (`Pieces`), so
 * that the staging key is at every moment what the primary's key is, as far as it has been read; and the whole of it when the last piece has come. There it is renamed into place. Its effects meanwhile do
 * not go to the key itself, which is replaced anyway.
 *
 * One piece is under way at a time: read, then written, then acknowledged; so memory is bounded by a piece.
 */
export class Rebuild implements RebuildTarget {
  readonly #options: RebuildOptions
  readonly #ends: RebuildEnds
  #pieces: Pieces | null = null
  #size: number
  readonly #reads: PrimaryReads
  readonly #copy: StagedCopy
  #holdsTurn = false
  #disturbed = 0
  /** Of the overlap table, when it began. */
  #sweeps = 0
  #restarts = 0
  #restarting = false
  /** A piece that has been read, for which the backlog has no room yet. */
  #waiting: readonly Args[] | null = null
  #finishing = false
  #failure: string | null = null
  #ended = false
  /** Writes that did not go to the key itself. */
  #diverted = false
  #waiters: AckWaiter[] = []
  readonly #expiry: RebuildExpiry

  constructor(options: RebuildOptions) {
    const { context, overlap, database, key, rule, whole } = options
    this.#options = options
    this.#ends = new RebuildEnds(context, rule, key)
    this.#expiry = new RebuildExpiry(this.#ends)
    this.#size = whole ? WHOLE : context.copies.limits.firstElements
    this.#reads = new PrimaryReads(
      overlap,
      this.#ends.hash,
      (replies) => this.#taken(replies),
      (error) => this.#end(false, error),
    )
    this.#copy = new StagedCopy(context, rule.route, database, this.#ends.onShadow, {
      failed: (error) => this.#fail(error),
      written: () => this.#written(),
      lost: (error) => this.#end(false, error),
    })
  }

  start(): void {
    const { context, database, key } = this.#options
    context.copies.begin(database, key, this)
    // Until the end, also between two pieces: a switch must not take a shadow for equal that still has the old key.
    this.#options.rule.route.state.backlogCommands++
    this.#read()
  }

  // --- what is written meanwhile

  effect(name: string, args: Args, waiter: AckWaiter | null): void {
    if (!this.#diverted) {
      this.#diverted = true
      this.noteIntent()
    }
    if (waiter !== null) {
      waiter.pending++
      this.#waiters.push(waiter)
    }
    if (this.#pieces === null || this.#restarting || this.#expiry.isChangedBy(name, args)) return
    const verdict = this.#pieces.effect(name, args)
    if (verdict.kind === 'restart') this.#restart()
    else if (verdict.kind === 'also') {
      // It is done to what has been read, of which the last piece may not have left yet.
      if (this.#waiting !== null) this.#writePiece()
      if (!this.#ended) this.#copy.also(verdict.commands)
    }
  }

  abandon(): void {
    this.#fail(TOO_BUSY)
  }

  noteIntent(): void {
    const { context, database, key } = this.#options
    // Behind a forced switch it would be copied the other way.
    if (this.#diverted && this.#ends.areStill()) context.intents?.noteKey(database, key, 0, key.length)
  }

  /** It ends with this when what is under way has come. */
  #fail(error: string): void {
    this.#failure ??= error
  }

  // --- reading

  #read(): void {
    if (this.#whole) return this.#sendReads()
    this.#options.context.copies.enter(() => {
      this.#holdsTurn = true
      if (this.#ended) this.#leaveTurn()
      else this.#sendReads()
    })
  }

  get #whole(): boolean {
    return this.#size === WHOLE
  }

  #sendReads(): void {
    if (this.#failure !== null) return this.#end(false, this.#failure)
    const { overlap, rule, database } = this.#options
    this.#restarting = false
    if (this.#pieces === null) this.#sweeps = overlap.sweeps
    const pipeline = this.#ends.primary(overlap, database)
    if (pipeline.state !== 'up') return this.#end(false, TOO_BUSY)
    const name = this.#ends.onPrimary
    const reads =
      this.#pieces === null ? [command('TYPE', name)] : [...this.#pieces.reads(this.#size), this.#expiry.read()]
    this.#reads.send(pipeline, rule.route, database, reads)
  }

  #taken(replies: Reply[]): void {
    if (this.#ended) return
    this.#leaveTurn()
    const { context, overlap } = this.#options
    if (this.#failure !== null) return this.#end(false, this.#failure)
    if (!this.#ends.areStill()) return this.#end(false, MOVED)
    if (this.#restarting) return this.#read()
    // A flush or swap of databases takes the staging key along, and goes on with another key under this name.
    if (overlap.sweeps !== this.#sweeps) return this.#again()
    const error = firstError(replies)
    if (error !== null) return this.#refused(error.text)
    // A write on another connection meanwhile: whether this piece holds it is unknown, so it is read again. Also that there is no key must be so at a known place.
    if (this.#reads.isDisturbed) {
      if (++this.#disturbed > MAX_DISTURBED) return this.#end(false, TOO_BUSY)
      return this.#read()
    }
    if (this.#pieces === null) return this.#typed(replies[0]!)
    const expiry = Number(replies.pop())
    if (expiry === -2) return this.#finish([], null)
    if (!this.#expiry.take(expiry)) return this.#again()
    const taken = this.#pieces.take(replies)
    if (taken === null) return this.#again()
    this.#resize(context.copies.limits)
    if (taken.done) this.#finish(taken.writes, this.#expiry.atMs)
    else if (taken.writes.length > 0) this.#write(taken.writes)
    else this.#read()
  }

  #refused(text: string): void {
    const refused = refusedCommand(text)
    // Asked again without. A server that knows no times of fields has none; one that does not let us ask for them may have some.
    if (refused?.name === 'PEXPIRETIME' || (refused?.absent && refused.name === 'HPEXPIRETIME')) {
      this.#ends.primaryRefused(refused.name)
      return this.#again()
    }
    // Another type by now, or gone, or without the group.
    if (/^(WRONGTYPE|NOGROUP|ERR no such key)/.test(text)) return this.#again()
    this.#end(false, text)
  }

  #typed(reply: Reply): void {
    const type = reply instanceof SimpleReply ? reply.text : ''
    if (type === 'none') return this.#finish([], null)
    const { context, rule } = this.#options
    this.#pieces = piecesOf(type, this.#ends.onPrimary, {
      fieldTimes: !this.#ends.primaryRefuses('HPEXPIRETIME'),
      countsEntries: context.copies.factsOf(rule.route.shadow!.storeName).countsEntries,
      nowMs: () => this.#ends.primaryNowMs(),
    })
    if (this.#pieces === null) this.#end(false, `UNSUPPORTED keys of type ${type} cannot be copied by commands`)
    else this.#read()
  }

  /** The next piece is to have about as many bytes as a piece should. */
  #resize({ pieceBytes, fewestElements }: CopyLimits): void {
    if (this.#whole) return
    const factor = pieceBytes / Math.max(1, this.#reads.replyBytes)
    this.#size = Math.max(fewestElements, Math.floor(this.#size * Math.min(GROWTH, Math.max(1 / GROWTH, factor))))
  }

  // --- writing

  #write(writes: readonly Args[]): void {
    if (this.#ended) return
    // It may be worth nothing by now.
    this.#waiting = null
    if (this.#failure !== null) return this.#end(false, this.#failure)
    if (this.#restarting) return this.#read()
    const { state, config } = this.#options.rule.route
    this.#waiting = writes
    if (state.backlogBytes < config.mirror.backlogBytes) this.#writePiece()
    else setTimeout(() => this.#waiting === writes && this.#write(writes), NO_ROOM_MS).unref()
  }

  #writePiece(): void {
    const writes = this.#waiting!
    this.#waiting = null
    if (!this.#copy.add(writes)) this.#end(false, TOO_LONG)
  }

  /** `expiresAtMs` null: there is no such key. */
  #finish(writes: readonly Args[], expiresAtMs: number | null): void {
    const { context, database, key, deletes } = this.#options
    if (expiresAtMs === null && !deletes && !this.#diverted) return this.#end(false, GONE)
    // From here on effects go to the key itself, behind this.
    context.copies.end(database, key, this)
    this.#finishing = true
    if (!this.#copy.finish(writes, expiresAtMs)) this.#end(false, TOO_LONG)
    this.#options.onRead()
  }

  #written(): void {
    if (this.#ended) return
    if (this.#failure !== null) return this.#end(false, this.#failure)
    if (!this.#finishing) this.#read()
    else {
      this.#options.rule.route.state.copied++
      this.#end(true, null)
    }
  }

  // --- from the beginning, and the end

  #again(): void {
    this.#restart()
    this.#read()
  }

  /** What has been read is worth nothing. Whatever is under way is waited for, and then it begins anew. */
  #restart(): void {
    if (++this.#restarts > MAX_RESTARTS) this.#fail(TOO_BUSY)
    this.#copy.restart()
    this.#pieces = null
    this.#expiry.restart()
    if (!this.#whole) this.#size = this.#options.context.copies.limits.firstElements
    this.#restarting = true
  }

  #leaveTurn(): void {
    if (!this.#holdsTurn) return
    this.#holdsTurn = false
    this.#options.context.copies.leave()
  }

  #end(ok: boolean, error: string | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#leaveTurn()
    const { context, dirty, rule, database, key, onEnd } = this.#options
    context.copies.end(database, key, this)
    rule.route.state.backlogCommands--
    if (!ok) {
      this.#copy.drop()
      const reason = this.#ends.isSameServer() ? 'state-copy' : 'primary-lost'
      if (this.#diverted) markKey(context, dirty, rule, database, key, reason, context.clock.nowMs)
    }
    for (const waiter of this.#waiters.splice(0)) acknowledge(waiter, ok)
    onEnd(ok, error)
  }
}

/** From one piece to the next. */
const GROWTH = 8
const MAX_RESTARTS = 3
const MAX_DISTURBED = 200
const NO_ROOM_MS = 5
