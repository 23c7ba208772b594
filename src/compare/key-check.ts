import { idBehind } from '../base/stream-id.ts'
import { elements } from '../command/effects/reading.ts'
import { decodeReply } from '../resp/decode.ts'
import { encodeOwn } from '../resp/own-words.ts'
import { ErrorReply, type Reply, SimpleReply } from '../resp/reply.ts'
import type { Route } from '../routing/route.ts'
import { AlignedRead, type ReadListener } from './aligned-read.ts'
import type { AlignedReads } from './aligned-reads.ts'
import { compareReplies, type Difference } from './diff.ts'
import { goneEarlyMs } from './expiry-diff.ts'
import { replyNames } from './reply-names.ts'
import type { SkipReason } from './tally.ts'

export interface KeyVerdict {
  readonly key: Buffer
  /** `unknown`: too big to be looked at to its end, of a module's type, or changed by other connections all the time. */
  readonly outcome: 'same' | 'differs' | 'unknown'
  readonly difference: Difference | null
  /** The side that has no such key where the other has; null: both have it, or neither. */
  readonly lackingOn: 'primary' | 'shadow' | null
  /** It had a time to live where it is. */
  readonly hadExpiry: boolean
  /** One side has it for no more than a moment, the other not any more. */
  readonly expiring: boolean
}

type Step = readonly (string | Buffer | number)[]

/**
 * Compares one key as a whole on both sides, in steps that are cheap for the stores however big it is: each is an aligned read of a piece, so
 * the key may be written meanwhile, and a difference in a piece is a real one.
 *
 *   PTTL ─▶ TYPE ─▶ size ─▶ pieces: GETRANGE 64 KB | LRANGE, ZRANGE, XRANGE 256 | HSCAN, SSCAN of the primary, then these fields and members of both
 *
 * With equal sizes, fields that the primary has and the shadow has as well are all there are. Ends in `onEnd`, once.
 */
export class KeyCheck implements ReadListener {
  readonly #reads: AlignedReads
  readonly #route: Route
  readonly #database: number
  readonly #key: Buffer
  readonly #onEnd: (verdict: KeyVerdict) => void
  #next: ((primary: Reply, shadow: Reply) => void) | null = null
  #steps = 0
  #disturbances = 0
  #lackingOn: KeyVerdict['lackingOn'] = null
  #hadExpiry = false
  #expiring = false

  constructor(reads: AlignedReads, route: Route, database: number, key: Buffer, onEnd: (verdict: KeyVerdict) => void) {
    this.#reads = reads
    this.#route = route
    this.#database = database
    this.#key = key
    this.#onEnd = onEnd
  }

  start(): void {
    this.#ask(['PTTL', this.#key], (primary, shadow) => this.#expiry(Number(primary), Number(shadow)))
  }

  // --- the aligned reads

  answered(read: AlignedRead, buf: Buffer, start: number, end: number): void {
    const primary = decodeReply(read.primary!, 0, read.primary!.length)
    if (read.primaryOnly) return this.#next!(primary, null)
    const shadow = decodeReply(buf, start, end)
    // The expiry has its own rule: what is about to end on one side, or has just ended, is told apart.
    const isExpiry = read.spec.name === 'PTTL'
    const names = replyNames(this.#reads.context.routes, read.spec, [this.#key])
    const difference = compareReplies(
      read.spec,
      this.#reads.argsOf(read),
      names.ofPrimary(primary),
      names.ofShadow(shadow),
      this.#route.config.compare,
    )
    if (difference !== null && !isExpiry) return this.#end('differs', difference)
    if (difference !== null) this.#expiryDifference = difference
    // Both refuse: nothing has been compared.
    else if (primary instanceof ErrorReply) return this.#end('unknown', null)
    this.#next!(primary, shadow)
  }

  #expiryDifference: Difference | null = null

  dropped(read: AlignedRead, reason: SkipReason): void {
    if (reason !== 'disturbed' || ++this.#disturbances > MAX_DISTURBANCES) return this.#end('unknown', null)
    this.#reads.ask(read)
  }

  #ask(step: Step, next: (primary: Reply, shadow: Reply) => void, primaryOnly = false): void {
    const spec = this.#reads.context.commands.byName(String(step[0]))
    if (spec === undefined || ++this.#steps > MAX_STEPS) return this.#end('unknown', null)
    this.#next = next
    const command = encodeOwn(step)
    this.#reads.ask(new AlignedRead(this.#reads, this, spec, this.#route, this.#database, command, primaryOnly))
  }

  // --- the steps

  #expiry(primary: number, shadow: number): void {
    if (!Number.isFinite(primary) || !Number.isFinite(shadow)) return this.#end('unknown', null)
    this.#hadExpiry = Math.max(primary, shadow) >= 0
    if (primary === GONE && shadow === GONE) return this.#end('same', null)
    if (primary === GONE || shadow === GONE) {
      this.#lackingOn = primary === GONE ? 'primary' : 'shadow'
      const leftMs = Math.max(primary, shadow)
      this.#expiring = leftMs >= 0 && leftMs <= goneEarlyMs(this.#route.config.compare.ttlToleranceMs)
      const difference: Difference =
        this.#lackingOn === 'shadow'
          ? { class: 'missing', detail: 'The shadow lacks the key.' }
          : { class: 'extra', detail: 'Only the shadow has the key.' }
      return this.#end('differs', difference)
    }
    if (this.#expiryDifference !== null) return this.#end('differs', this.#expiryDifference)
    this.#ask(['TYPE', this.#key], (type) => this.#content(type instanceof SimpleReply ? type.text : ''))
  }

  #content(type: string): void {
    const key = this.#key
    const same = (): void => this.#end('same', null)
    switch (type) {
      case 'string':
        if (this.#route.config.compare.decode.length + this.#route.config.compare.ignoreJson.length > 0)
          return this.#ask(
            ['STRLEN', key],
            (size) => (Number(size) > MAX_DECODED ? this.#text(0, Number(size)) : this.#ask(['GET', key], same)),
            true,
          )
        return this.#ask(['STRLEN', key], (size) => this.#text(0, Number(size)))
      case 'list':
        return this.#ask(['LLEN', key], (size) => this.#range('LRANGE', [], 0, Number(size)))
      case 'zset':
        return this.#ask(['ZCARD', key], (size) => this.#range('ZRANGE', ['WITHSCORES'], 0, Number(size)))
      case 'stream':
        return this.#ask(['XLEN', key], () => this.#entries('-'))
      case 'hash':
        return this.#ask(['HLEN', key], (size) =>
          Number(size) <= PIECE ? this.#ask(['HGETALL', key], same) : this.#scan('HSCAN', 'HMGET', 2, '0'),
        )
      case 'set':
        return this.#ask(['SCARD', key], (size) =>
          Number(size) <= PIECE ? this.#ask(['SMEMBERS', key], same) : this.#scan('SSCAN', 'SMISMEMBER', 1, '0'),
        )
      default:
        return this.#end('unknown', null)
    }
  }

  #text(from: number, size: number): void {
    if (from >= size) return this.#end('same', null)
    this.#ask(['GETRANGE', this.#key, from, from + TEXT_PIECE - 1], () => this.#text(from + TEXT_PIECE, size))
  }

  #range(command: string, options: readonly string[], from: number, size: number): void {
    if (from >= size) return this.#end('same', null)
    this.#ask([command, this.#key, from, from + PIECE - 1, ...options], () =>
      this.#range(command, options, from + PIECE, size),
    )
  }

  #entries(from: string): void {
    this.#ask(['XRANGE', this.#key, from, '+', 'COUNT', PIECE], (entries) => {
      const list = elements(entries)
      const last = elements(list?.at(-1))?.[0]
      if (list !== null && list.length < PIECE) this.#end('same', null)
      else if (Buffer.isBuffer(last)) this.#entries(idBehind(last.toString('latin1')))
      else this.#end('unknown', null)
    })
  }

  /** The primary says what there is, piece by piece, and both are asked for it. */
  #scan(scan: string, look: string, step: 1 | 2, cursor: string): void {
    this.#ask(
      [scan, this.#key, cursor, 'COUNT', PIECE],
      (reply) => {
        const [next, items] = elements(reply) ?? []
        const list = elements(items)
        if (!Buffer.isBuffer(next) || list === null || !list.every((item) => Buffer.isBuffer(item)))
          return this.#end('unknown', null)
        const names = (list as readonly Buffer[]).filter((_, i) => i % step === 0)
        const to = next.toString('latin1')
        const onward = (): void => (to === '0' ? this.#end('same', null) : this.#scan(scan, look, step, to))
        if (names.length === 0) onward()
        else this.#ask([look, this.#key, ...names], onward)
      },
      true,
    )
  }

  #end(outcome: KeyVerdict['outcome'], difference: Difference | null): void {
    this.#next = null
    this.#onEnd({
      key: this.#key,
      outcome,
      difference,
      lackingOn: this.#lackingOn,
      hadExpiry: this.#hadExpiry,
      expiring: this.#expiring,
    })
  }
}

/** PTTL of a key that does not exist. */
const GONE = -2
const PIECE = 256
const TEXT_PIECE = 64 * 1024
/** A value that decoders read whole. */
const MAX_DECODED = 512 * 1024
/** About 250,000 elements, or 64 MB of a text. */
const MAX_STEPS = 1_000
const MAX_DISTURBANCES = 50
