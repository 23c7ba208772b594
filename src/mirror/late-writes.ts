import type { CoarseClock } from '../base/clock.ts'
import type { CommandSpec } from '../command/spec.ts'
import { COLON } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import { encodeOwn } from '../resp/own-words.ts'
import type { Route } from '../routing/route.ts'
import type { InFlight, ReplyOwner } from '../upstream/in-flight.ts'
import type { DataPathContext } from './context.ts'
import type { KeyRef, KeyRefs } from './key-refs.ts'
import { integerHash } from './shadow-answers.ts'
import { MAX_WAITING } from './shadow-backlog.ts'

/** Between the primary's reply and the shadow's. More than a shadow on another continent takes. */
const LATE_MS = 250

/** What a key is small by, in what its command counts (elements, bytes): fewer than this may all have come since it was made anew. More did not come in one backlog, and would be dear to copy for a mere fear. */
const SMALL = 1_000
const SMALL_BYTES = 64 * 1024

/** Keys that are being asked about at once; what comes beyond is copied unasked. */
const MAX_ASKED = 10_000

/**
 * What the shadow executes later than the primary may find a key gone there that had not yet expired here: it makes a new one, without an expiry, and of the elements that were there it has none.
 *
 *   primary   ... SADD k x ............ k expires
 *   shadow    ......................... k expires ... SADD k x     k = {x}, for ever
 *
 * Most answers tell: `INCR`, `RPUSH`, `EXPIRE` give another number. These do not, where what they add is new on both sides. So behind each that came late the shadow is asked how large its key is: one as small as
 * a new one is copied.
 */
export class LateWrites implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #refs: KeyRefs
  readonly #markLate: (ref: KeyRef) => void
  readonly #parser = new CommandParser()
  /** By database and key. */
  readonly #asked = new Set<string>()

  constructor(context: DataPathContext, refs: KeyRefs, markLate: (ref: KeyRef) => void) {
    this.#context = context
    this.#refs = refs
    this.#markLate = markLate
  }

  /**
   * The shadow has executed, late, a command that the application wrote as `bytes[start .. end)`. `answer`: what it has answered, by `integerHash`, or NO_ANSWER.
   */
  look(spec: CommandSpec | null, database: number, bytes: Buffer, start: number, end: number, answer: number): void {
    const size = spec === null ? undefined : SIZE_AFTER.get(spec.name)
    if (size === undefined) return
    // Nothing was added: a key made anew would have taken something. A bit's answer is what was there.
    if (answer === NOTHING_ADDED && spec!.name !== 'SETBIT') return
    if (spec!.name === 'SET' && !this.#keepsExpiry(bytes, start, end)) return
    for (const ref of this.#refs.in(spec, database, bytes, start, end)) this.#ask(ref, size)
  }

  /** Keys that are being asked about. */
  get size(): number {
    return this.#asked.size
  }

  has({ database, key }: KeyRef): boolean {
    return this.#asked.has(nameOf(database, key))
  }

  #keepsExpiry(bytes: Buffer, start: number, end: number): boolean {
    const parser = this.#parser
    parser.parse(bytes, start, end)
    for (let i = 3; i < parser.argc; i++) {
      if (parser.end[i]! - parser.start[i]! !== 7) continue
      if (parser.buf.toString('latin1', parser.start[i]!, parser.end[i]!).toUpperCase() === 'KEEPTTL') return true
    }
    return false
  }

  #ask(ref: KeyRef, size: string): void {
    const { rule, database, key } = ref
    const { route } = rule
    if (route.shadow === null) return
    const name = nameOf(database, key)
    if (this.#asked.has(name)) return
    const pipeline = this.#context.stores[route.shadow.store]!.shadow(database)
    if (pipeline.state !== 'up' || pipeline.ring.length >= MAX_WAITING || this.#asked.size >= MAX_ASKED) {
      this.#markLate(ref)
      return
    }
    const bytes = encodeOwn([size, rule.shadow?.apply(key, 0, key.length) ?? key])
    const slot = pipeline.push(this, bytes, 0, bytes.length)
    slot.route = route
    slot.extra = new Question(name, ref, size === 'STRLEN' ? SMALL_BYTES : SMALL)
    this.#asked.add(name)
    // A switch waits for the answer.
    route.state.backlogCommands++
    route.state.backlogBytes += bytes.length
  }

  settle(slot: InFlight, buf: Buffer, start: number): void {
    const { ref, small } = this.#answered(slot)
    const size = buf[start] === COLON ? Number.parseInt(buf.toString('latin1', start + 1, start + 20), 10) : 1
    // 0: it is gone, as the primary's is or will be.
    if (size > 0 && size <= small) this.#markLate(ref)
  }

  lost(slot: InFlight): void {
    this.#markLate(this.#answered(slot).ref)
  }

  timedOut(): void {}

  #answered(slot: InFlight): Question {
    const question = slot.extra as Question
    this.#asked.delete(question.name)
    const { state } = slot.route as Route
    state.backlogCommands--
    state.backlogBytes -= slot.end - slot.start
    return question
  }
}

/** Whether the answer to a command that was queued for the shadow at this moment comes late. */
export function isLate(queuedAtMs: number, { nowMs }: CoarseClock): boolean {
  return nowMs - queuedAtMs > LATE_MS
}

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.toString('latin1')}`
}

class Question {
  readonly name: string
  readonly ref: KeyRef
  readonly small: number
  constructor(name: string, ref: KeyRef, small: number) {
    this.name = name
    this.ref = ref
    this.small = small
  }
}

const NOTHING_ADDED = integerHash(Buffer.from(':0\r\n'), 0)

/** Commands, as they go to the shadow, that make their key where there is none, and whose answer need not tell; and what counts what it holds. An error to that (a key of another type) is a reason to copy it as well. */
const SIZE_AFTER: ReadonlyMap<string, string> = new Map([
  ['HSET', 'HLEN'],
  ['HMSET', 'HLEN'],
  ['HSETEX', 'HLEN'],
  ['HINCRBY', 'HLEN'],
  ['SADD', 'SCARD'],
  ['SMOVE', 'SCARD'],
  ['ZADD', 'ZCARD'],
  ['ZINCRBY', 'ZCARD'],
  ['GEOADD', 'ZCARD'],
  ['XADD', 'XLEN'],
  ['XGROUP CREATE', 'XLEN'],
  ['LMOVE', 'LLEN'],
  ['RPOPLPUSH', 'LLEN'],
  ['SET', 'STRLEN'],
  ['SETBIT', 'STRLEN'],
  ['SETRANGE', 'STRLEN'],
  ['BITFIELD', 'STRLEN'],
  ['PFADD', 'STRLEN'],
  ['PFMERGE', 'STRLEN'],
])
