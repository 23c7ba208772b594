import { steadyNowMs } from '../base/clock.ts'
import { hashBytes } from '../base/hash.ts'
import { command } from '../command/effects/building.ts'
import type { Args } from '../command/effects.ts'
import { MINUS } from '../resp/bytes.ts'
import { decodeReply } from '../resp/decode.ts'
import { encodeCommand } from '../resp/encode.ts'
import { encodeOwn } from '../resp/own-words.ts'
import { type Reply, SimpleReply } from '../resp/reply.ts'
import type { KeyRule } from '../routing/route.ts'
import { stagingKeyFor } from '../routing/staging-key.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import { type AckWaiter, acknowledge } from './ack-waiter.ts'
import type { DataPathContext } from './context.ts'
import { isStillAt, nameOnPrimary, nameOnShadow } from './copied-key.ts'
import type { CopyLimits, RebuildTarget } from './copy-state.ts'
import type { DirtySet } from './dirty-set.ts'
import type { OverlapTable } from './overlap.ts'
import { piecesOf } from './pieces/by-type.ts'
import { encodeFor, firstError, KEY, type Pieces, WHOLE } from './pieces/pieces.ts'
import { primaryPipeline } from './primary-pipeline.ts'
import { joinBacklog, leftBacklog } from './shadow-backlog.ts'
import { errorIn, isUnknownCommand, textOf } from './store-errors.ts'

/** What a rebuild ends with that could not keep up with the writes to its key. */
export const TOO_BUSY = 'BUSY'

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
 * One piece is under way at a time: read, then written, then acknowledged; so memory is bounded by a piece. A staging key that is left behind (a crash, a lost connection) expires by itself.
 */
export class Rebuild implements ReplyOwner, RebuildTarget {
  readonly #options: RebuildOptions
  readonly #hash: number
  readonly #primaryName: Buffer
  readonly #shadowName: Buffer
  #pieces: Pieces | null = null
  #size: number
  #staging: Buffer
  /** Something is in the staging key. */
  #staged = false
  #replies: Reply[] = []
  #owed = 0
  #replyBytes = 0
  #holdsTurn = false
  #lane = 0
  #ticket = 0
  #disturbed = 0
  /** Of the overlap table, when it began. */
  #sweeps = 0
  #restarts = 0
  #restarting = false
  #finishing = false
  #failure: string | null = null
  #ended = false
  /** Writes that did not go to the key itself. */
  #diverted = false
  #waiters: AckWaiter[] = []
  /** The primary's expiry as last read; -1: none. */
  #expiresAtMs = -1

  constructor(options: RebuildOptions) {
    const { key, rule, whole } = options
    this.#options = options
    this.#hash = hashBytes(key, 0, key.length)
    this.#primaryName = nameOnPrimary(rule, key)
    this.#shadowName = nameOnShadow(rule, key)
    this.#staging = stagingKeyFor(this.#shadowName)
    this.#size = whole ? WHOLE : options.context.copies.limits.firstElements
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
    this.#diverted = true
    if (waiter !== null) {
      waiter.pending++
      this.#waiters.push(waiter)
    }
    // The expiry is read with the last piece.
    if (this.#pieces === null || this.#restarting || EXPIRY.has(name)) return
    const verdict = this.#pieces.effect(name, args)
    if (verdict.kind === 'restart') this.#restart()
    else if (verdict.kind === 'also') {
      for (const one of verdict.commands) this.#push(encodeFor(one, this.#staging), 1, EFFECT)
      if (!this.#staged) this.#push(encodeFor(LEFT_BEHIND, this.#staging), 1, EFFECT)
      this.#staged = true
    }
  }

  abandon(): void {
    this.#failure ??= TOO_BUSY
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
    const { context, overlap, rule, database } = this.#options
    this.#restarting = false
    if (this.#pieces === null) this.#sweeps = overlap.sweeps
    const pipeline = primaryPipeline(context, overlap, rule.route, database, this.#hash)
    if (pipeline.state !== 'up') return this.#end(false, TOO_BUSY)
    this.#lane = pipeline.lane
    this.#ticket = overlap.look(this.#hash, this.#lane)
    const name = this.#primaryName
    const expiry = command(this.#hasExpireTime() ? 'PEXPIRETIME' : 'PTTL', name)
    const reads = this.#pieces === null ? [command('TYPE', name)] : [...this.#pieces.reads(this.#size), expiry]
    this.#replies = []
    this.#replyBytes = 0
    this.#owed = reads.length
    for (const args of reads) {
      const bytes = encodeOwn(args)
      const slot = pipeline.push(this, bytes, 0, bytes.length)
      slot.route = rule.route
      slot.database = database
      slot.flags = READ
    }
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (slot.flags === READ) {
      this.#replies.push(decodeReply(buf, start, end))
      this.#replyBytes += end - start
      if (--this.#owed === 0) this.#taken()
      return
    }
    if (slot.replies > 0) {
      // What is refused before EXEC says why; EXEC itself only that something was.
      if (buf[start] === MINUS) this.#failure ??= textOf(buf, start, end)
      return
    }
    leftBacklog(slot)
    const error = errorIn(buf, start, end)
    if (error !== null) this.#failure ??= error
    if (slot.flags === WRITE) this.#written()
  }

  lost(slot: InFlight, loss: Loss): void {
    if (slot.flags !== READ) leftBacklog(slot)
    if (!this.#ended) this.#end(false, loss.text)
  }

  /** It waits as long as its stores do: the pipeline gives a store up that says nothing. */
  timedOut(): void {}

  #taken(): void {
    if (this.#ended) return
    this.#leaveTurn()
    const { context, overlap } = this.#options
    if (this.#failure !== null) return this.#end(false, this.#failure)
    if (!this.#sameStores()) return this.#end(false, 'MOVED the key has another primary now')
    if (this.#restarting) return this.#read()
    // A flush or swap of databases takes the staging key along, and goes on with another key under this name.
    if (overlap.sweeps !== this.#sweeps) return this.#again()
    const error = firstError(this.#replies)
    if (error !== null) return this.#refused(error.text)
    // A write on another connection meanwhile: whether this piece holds it is unknown, so it is read again. Also that there is no key must be so at a known place.
    if (overlap.traffic(this.#hash, this.#lane) !== this.#ticket) {
      if (++this.#disturbed > MAX_DISTURBED) return this.#end(false, TOO_BUSY)
      return this.#read()
    }
    if (this.#pieces === null) return this.#typed(this.#replies[0]!)
    const nowMs = this.#primaryNowMs()
    const expiry = Number(this.#replies.pop())
    if (expiry === -2) return this.#finish([], null)
    // It may have expired and come back between two pieces, which no write tells.
    if (this.#expiresAtMs >= 0 && this.#expiresAtMs <= nowMs + CLOCK_MS) return this.#again()
    this.#expiresAtMs = expiry >= 0 && !this.#hasExpireTime() ? nowMs + expiry : expiry
    const taken = this.#pieces.take(this.#replies)
    if (taken === null) return this.#again()
    this.#resize(context.copies.limits)
    this.#replies = []
    if (taken.done) this.#finish(taken.writes, this.#expiresAtMs)
    else if (taken.writes.length > 0) this.#write(taken.writes)
    else this.#read()
  }

  #refused(text: string): void {
    const { context, rule } = this.#options
    const { storeName } = rule.route.primary
    if (isUnknownCommand(text)) {
      // An older server: asked again without.
      const asked = this.#hasExpireTime() ? 'PEXPIRETIME' : 'HPEXPIRETIME'
      const which = text.toUpperCase().includes('HPEXPIRETIME') ? 'HPEXPIRETIME' : asked
      context.copies.refused(storeName, which, context.clock.nowMs)
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
    const { primary, shadow } = rule.route
    this.#pieces = piecesOf(type, this.#primaryName, {
      fieldTimes: !context.copies.refuses(primary.storeName, 'HPEXPIRETIME', context.clock.nowMs),
      countsEntries: context.copies.factsOf(shadow!.storeName).countsEntries,
      nowMs: () => this.#primaryNowMs(),
    })
    if (this.#pieces === null) this.#end(false, `UNSUPPORTED keys of type ${type} cannot be copied by commands`)
    else this.#read()
  }

  /** The next piece is to have about as many bytes as a piece should. */
  #resize({ pieceBytes, fewestElements }: CopyLimits): void {
    if (this.#whole) return
    const factor = pieceBytes / Math.max(1, this.#replyBytes)
    this.#size = Math.max(fewestElements, Math.floor(this.#size * Math.min(GROWTH, Math.max(1 / GROWTH, factor))))
  }

  // --- writing

  #write(writes: readonly Args[]): void {
    if (this.#ended) return
    if (this.#failure !== null) return this.#end(false, this.#failure)
    if (this.#restarting) return this.#read()
    const { state, config } = this.#options.rule.route
    if (state.backlogBytes >= config.mirror.backlogBytes) {
      setTimeout(() => this.#write(writes), NO_ROOM_MS).unref()
      return
    }
    this.#staged = true
    this.#pushUnit([...writes, LEFT_BEHIND], this.#staging)
  }

  /** `expiresAtMs` null: there is no such key. */
  #finish(writes: readonly Args[], expiresAtMs: number | null): void {
    const { context, database, key } = this.#options
    // From here on effects go to the key itself, behind this.
    context.copies.end(database, key, this)
    this.#finishing = true
    const gone = command('UNLINK', this.#shadowName)
    const expiry = expiresAtMs === null || expiresAtMs < 0 ? [] : [command('PEXPIREAT', KEY, expiresAtMs)]
    if (expiresAtMs === null) {
      this.#pushUnit(this.#staged ? [gone, command('UNLINK', KEY)] : [gone], this.#staging)
    } else if (this.#staged) {
      const lasting = expiry.length === 0 ? [command('PERSIST', KEY)] : expiry
      this.#pushUnit([...writes, ...lasting, gone, command('RENAME', KEY, this.#shadowName)], this.#staging)
    } else this.#pushUnit([gone, ...writes, ...expiry], this.#shadowName)
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

  #pushUnit(list: readonly Args[], name: Buffer): void {
    const { context, rule } = this.#options
    const { maxBulkBytes } = context.stores[rule.route.shadow!.store]!
    if (list.some((args) => args.some((arg) => arg.length > maxBulkBytes)))
      return this.#end(false, 'TOOLONG a value is longer than the shadow takes (proto-max-bulk-len)')
    this.#push(Buffer.concat([MULTI, ...list.map((args) => encodeFor(args, name)), EXEC]), list.length + 2, WRITE)
  }

  #push(bytes: Buffer, replies: number, flags: number): void {
    const { context, rule, database } = this.#options
    const { route } = rule
    const slot = context.stores[route.shadow!.store]!.shadow(database).push(this, bytes, 0, bytes.length)
    slot.route = route
    slot.database = database
    slot.replies = replies
    slot.flags = flags
    joinBacklog(route, bytes.length)
  }

  // --- from the beginning, and the end

  #again(): void {
    this.#restart()
    this.#read()
  }

  /** What has been read is worth nothing. Whatever is under way is waited for, and then it begins anew. */
  #restart(): void {
    if (++this.#restarts > MAX_RESTARTS) this.#failure ??= TOO_BUSY
    if (this.#staged) this.#push(encodeCommand(['UNLINK', this.#staging]), 1, EFFECT)
    this.#staging = stagingKeyFor(this.#shadowName)
    this.#staged = false
    this.#pieces = null
    this.#expiresAtMs = -1
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
      if (this.#staged) this.#push(encodeCommand(['UNLINK', this.#staging]), 1, EFFECT)
      if (this.#diverted) dirty.mark(rule.route, database, key, 'state-copy', context.clock.nowMs)
    }
    for (const waiter of this.#waiters.splice(0)) acknowledge(waiter, ok)
    onEnd(ok, error)
  }

  // --- facts

  #sameStores(): boolean {
    const { context, rule, key } = this.#options
    const now = context.routes.find(key, 0, key.length)
    return (
      isStillAt(rule, now, key) &&
      now.route.shadow!.store === rule.route.shadow!.store &&
      nameOnShadow(now, key).equals(this.#shadowName)
    )
  }

  #hasExpireTime(): boolean {
    const { context, rule } = this.#options
    return !context.copies.refuses(rule.route.primary.storeName, 'PEXPIRETIME', context.clock.nowMs)
  }

  #primaryNowMs(): number {
    const { context, rule } = this.#options
    return Math.round(steadyNowMs()) + context.copies.factsOf(rule.route.primary.storeName).clockOffsetMs
  }
}

const READ = 1
const WRITE = 2
const EFFECT = 3

/** From one piece to the next. */
const GROWTH = 8
const MAX_RESTARTS = 3
const MAX_DISTURBED = 200
const NO_ROOM_MS = 5
/** A staging key that nobody writes to any more expires. */
const LEFT_BEHIND = command('PEXPIRE', KEY, 600_000)
/** How far clocks may be apart. */
const CLOCK_MS = 1_000

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])
const EXPIRY: ReadonlySet<string> = new Set(['PEXPIREAT', 'PERSIST', 'EXPIREAT', 'EXPIRE', 'PEXPIRE'])
