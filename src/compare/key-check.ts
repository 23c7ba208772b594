import { hashBytes } from '../base/hash.ts'
import { rangeBehind } from '../base/stream-id.ts'
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
  /** Neither has it. */
  readonly gone: boolean
}

type Step = readonly (string | Buffer | number)[]

/**
 * Compares one key as a whole on both sides, in steps that are cheap for the stores however big it is: each is an aligned read of a piece, so
 * the key may be written meanwhile, and a difference in a piece is a real one.
 *
 *   PTTL ─▶ TYPE ─▶ size ─▶ pieces: GETRANGE 64 KB | XRANGE | LRANGE, ZRANGE | HSCAN, SSCAN of the primary, then these fields and members of both ─▶ size
 *
 * Pieces have up to 256 elements, and fewer where those before were large. With equal sizes at the end, fields that the primary has and the shadow has as well are all there are. Places in a list or ranks in a sorted set move
 * with what comes and goes before them, and with them what differs, past the pieces: that nothing was found there counts only if nobody has written the key meanwhile. Ends in `onEnd`, once.
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
  #again = 0
  #piece = FIRST_PIECE
  readonly #hash: number
  #lackingOn: KeyVerdict['lackingOn'] = null
  #hadExpiry = false
  #expiring = false
  #gone = false

  constructor(reads: AlignedReads, route: Route, database: number, key: Buffer, onEnd: (verdict: KeyVerdict) => void) {
    this.#reads = reads
    this.#route = route
    this.#database = database
    this.#key = key
    this.#hash = hashBytes(key, 0, key.length)
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
    this.#gone = primary === GONE && shadow === GONE
    if (this.#gone) return this.#end('same', null)
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
        return this.#places('LLEN', 'LRANGE', [])
      case 'zset':
        return this.#places('ZCARD', 'ZRANGE', ['WITHSCORES'])
      case 'stream':
        return this.#ask(['XLEN', key], () => this.#entries(['-', '+']))
      case 'hash':
        return this.#ask(['HLEN', key], (size) => this.#scan(HASH, Number(size), '0'))
      case 'set':
        return this.#ask(['SCARD', key], (size) => this.#scan(SET, Number(size), '0'))
      default:
        return this.#end('unknown', null)
    }
  }

  #text(from: number, size: number): void {
    if (from >= size) return this.#end('same', null)
    this.#ask(['GETRANGE', this.#key, from, from + TEXT_PIECE - 1], () => this.#text(from + TEXT_PIECE, size))
  }

  #places(count: string, command: string, options: readonly string[]): void {
    const { mirror } = this.#reads
    const since = mirror.writes(this.#hash)
    this.#ask([count, this.#key], (size) =>
      this.#range(command, options, 0, Number(size), () => {
        if (mirror.writes(this.#hash) === since) this.#end('same', null)
        else if (++this.#again > MAX_AGAIN) this.#end('unknown', null)
        else this.#places(count, command, options)
      }),
    )
  }

  /** `onEnd`: nothing was found, piece by piece. */
  #range(command: string, options: readonly string[], from: number, size: number, onEnd: () => void): void {
    if (from >= size) return onEnd()
    const piece = this.#piece
    this.#ask([command, this.#key, from, from + piece - 1, ...options], (elements) => {
      this.#fit(bytesIn(elements), piece)
      // All of it at once is of one moment.
      if (size <= piece) this.#end('same', null)
      else if (from === 0 && size <= this.#piece) this.#range(command, options, 0, size, onEnd)
      else this.#range(command, options, from + piece, size, onEnd)
    })
  }

  #entries(range: readonly string[]): void {
    const piece = this.#piece
    this.#ask(['XRANGE', this.#key, ...range, 'COUNT', piece], (entries) => {
      const list = elements(entries)
      const last = elements(list?.at(-1))?.[0]
      if (list !== null) this.#fit(bytesIn(list), list.length)
      if (list !== null && list.length < piece) this.#end('same', null)
      else if (Buffer.isBuffer(last)) this.#entries(rangeBehind(last.toString('latin1')))
      else this.#end('unknown', null)
    })
  }

  /** The primary says what there is, piece by piece, and both are asked for it. */
  #scan(way: Way, size: number, cursor: string): void {
    this.#ask(
      [way.scan, this.#key, cursor, 'COUNT', this.#piece],
      (reply) => {
        const [next, items] = elements(reply) ?? []
        const list = elements(items)
        if (!Buffer.isBuffer(next) || list === null || !list.every((item) => Buffer.isBuffer(item)))
          return this.#end('unknown', null)
        const names = (list as readonly Buffer[]).filter((_, i) => i % way.step === 0)
        this.#fit(bytesIn(list), names.length)
        const same = (): void => this.#end('same', null)
        if (cursor === '0' && size <= this.#piece) return this.#ask([way.all, this.#key], same)
        const to = next.toString('latin1')
        this.#look(way, names, () => (to === '0' ? this.#ask([way.count, this.#key], same) : this.#scan(way, size, to)))
      },
      true,
    )
  }

  /** Asks both for these, as many at once as are no more than a piece. */
  #look(way: Way, names: readonly Buffer[], onward: () => void): void {
    if (names.length === 0) return onward()
    const some = names.slice(0, this.#piece)
    this.#ask([way.look, this.#key, ...some], () => this.#look(way, names.slice(some.length), onward))
  }

  /** The next pieces are as large as `count` elements of so many bytes allow. */
  #fit(bytes: number, count: number): void {
    if (count > 0) this.#piece = Math.max(1, Math.min(PIECE, Math.floor((PIECE_BYTES * count) / Math.max(1, bytes))))
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
      gone: this.#gone,
    })
  }
}

/** PTTL of a key that does not exist. */
const GONE = -2
/** Elements of the first piece, by which the size of the next ones is judged, and of any. */
const FIRST_PIECE = 16
const PIECE = 256
const PIECE_BYTES = 256 * 1024
const TEXT_PIECE = 64 * 1024
/** A value that decoders read whole. */
const MAX_DECODED = 512 * 1024
/** About 250,000 elements, or 64 MB of a text. */
const MAX_STEPS = 1_000
const MAX_DISTURBANCES = 50
/** How often what was written while it was looked at is looked at again. */
const MAX_AGAIN = 3

/** How a collection without an order is asked for. `step`: what the scan gives of each. */
interface Way {
  readonly count: string
  readonly all: string
  readonly scan: string
  readonly look: string
  readonly step: 1 | 2
}

const HASH: Way = { count: 'HLEN', all: 'HGETALL', scan: 'HSCAN', look: 'HMGET', step: 2 }
const SET: Way = { count: 'SCARD', all: 'SMEMBERS', scan: 'SSCAN', look: 'SMISMEMBER', step: 1 }

/** Of the texts in an answer. */
function bytesIn(reply: Reply): number {
  if (Buffer.isBuffer(reply)) return reply.length
  return elements(reply)?.reduce((sum: number, item) => sum + bytesIn(item), 0) ?? 0
}
