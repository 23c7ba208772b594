import type { CoarseClock } from '../../base/clock.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { COLON } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { DataPathContext } from '../context.ts'
import { keepsExpiry } from '../effects/keeps-expiry.ts'
import { runsScript } from '../effects/script-effects.ts'
import type { KeyRef, KeyRefs } from '../keys/key-refs.ts'
import { ZERO } from './shadow-answers.ts'
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
 *
 * What mixes the values of several keys (`ZUNIONSTORE`, `BITOP`, `PFMERGE`) answers the same without the one that is gone, and makes something else: what it has made is copied.
 *
 * A script may do anything to its keys because of one that had expired, also nothing, and give the same answer. So it is asked about all of its keys, and if one of them is gone or as small as a new one, all are copied.
 */
export class LateWrites implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #refs: KeyRefs
  readonly #markLate: (ref: KeyRef) => void
  /** How often a key is being asked about, by database and key. */
  readonly #asked = new Map<string, number>()
  /** Names of what is being asked behind: who has the same need not ask. It came to the shadow before the question did. */
  readonly #commands = new Set<string>()

  constructor(context: DataPathContext, refs: KeyRefs, markLate: (ref: KeyRef) => void) {
    this.#context = context
    this.#refs = refs
    this.#markLate = markLate
  }

  /**
   * The shadow has executed, late, a command that the application wrote as `bytes[start .. end)`. `answer`: what it has answered, by `integerHash`, or NO_ANSWER.
   */
  look(spec: CommandSpec | null, database: number, bytes: Buffer, start: number, end: number, answer: number): void {
    if (spec !== null && runsScript(spec))
      return this.#lookAt(this.#refs.in(spec, database, bytes, start, end), ['MEMORY', 'USAGE'], SMALL_BYTES, false)
    if (spec !== null && answer !== ZERO && MIXES.has(spec.name)) {
      const [made] = this.#refs.in(spec, database, bytes, start, end)
      if (made !== undefined) this.#markLate(made)
      return
    }
    const size = spec === null ? undefined : SIZE_AFTER.get(spec.name)
    if (size === undefined) return
    // Nothing was added: a key made anew would have taken something. A bit's answer is what was there.
    if (answer === ZERO && spec!.name !== 'SETBIT') return
    if (spec!.name === 'SET' && !keepsExpiry(bytes, start, end, 3)) return
    const keys = this.#refs.in(spec, database, bytes, start, end)
    if (spec!.name === 'HSETEX' && keepsExpiry(bytes, start, end, 2, 3)) {
      // However large the hash is: of its fields this one may have been made anew, without its time.
      for (const ref of keys) this.#markLate(ref)
      return
    }
    const small = size === 'STRLEN' ? SMALL_BYTES : SMALL
    for (const ref of keys) this.#lookAt([ref], [size], small, !MAY_BE_EMPTY.has(size))
  }

  /** `words`: of the question, before a key. `zeroIsGone`: an answer of 0 says that there is no key, and nothing to be done. */
  #lookAt(keys: readonly KeyRef[], words: readonly string[], small: number, zeroIsGone: boolean): void {
    const refs = keys.filter(({ rule }) => rule.route.shadow !== null)
    const name = [words[0], ...refs.map(({ database, key }) => nameOf(database, key))].join(' ')
    if (this.#commands.has(name)) return
    const late = new LateCommand(name, refs, small, zeroIsGone)
    if (refs.length > 0) this.#commands.add(name)
    for (const ref of refs) this.#ask(ref, late, words)
  }

  /** Keys that are being asked about. */
  get size(): number {
    return this.#asked.size
  }

  has({ database, key }: KeyRef): boolean {
    return this.#asked.has(nameOf(database, key))
  }

  #ask(ref: KeyRef, behind: LateCommand, words: readonly string[]): void {
    const { rule, database, key } = ref
    const { route } = rule
    const pipeline = this.#context.stores[route.shadow!.store]!.shadows.to(database)
    if (pipeline.state !== 'up' || pipeline.ring.length >= MAX_WAITING || this.#asked.size >= MAX_ASKED) {
      this.#end(behind, true)
      return
    }
    const bytes = encodeOwn([...words, rule.shadow?.apply(key, 0, key.length) ?? key])
    const slot = pipeline.push(this, bytes, 0, bytes.length)
    slot.route = route
    const name = nameOf(database, key)
    slot.extra = new Question(name, behind)
    this.#asked.set(name, (this.#asked.get(name) ?? 0) + 1)
    // A switch waits for the answer.
    route.state.backlogCommands++
    route.state.backlogBytes += bytes.length
  }

  settle(slot: InFlight, buf: Buffer, start: number): void {
    const behind = this.#answered(slot)
    // Of a key that is gone MEMORY USAGE says nil.
    const size = buf[start] === COLON ? Number.parseInt(buf.toString('latin1', start + 1, start + 20), 10) : null
    this.#end(behind, size === null || (size <= behind.small && !(size === 0 && behind.zeroIsGone)))
  }

  lost(slot: InFlight): void {
    this.#end(this.#answered(slot), true)
  }

  timedOut(): void {}

  #answered(slot: InFlight): LateCommand {
    const { name, behind } = slot.extra as Question
    const asked = this.#asked.get(name)! - 1
    if (asked === 0) this.#asked.delete(name)
    else this.#asked.set(name, asked)
    const { state } = slot.route as Route
    state.backlogCommands--
    state.backlogBytes -= slot.end - slot.start
    return behind
  }

  /** One of the command's keys has been asked about, or could not be. `doubtful`: it may have been made anew, or be missing. */
  #end(behind: LateCommand, doubtful: boolean): void {
    behind.open--
    if (doubtful && !behind.marked) {
      behind.marked = true
      for (const ref of behind.refs) this.#markLate(ref)
    }
    if (behind.open === 0) this.#commands.delete(behind.name)
  }
}

/** Whether the answer to a command that was queued for the shadow at this moment comes late. */
export function isLate(queuedAtMs: number, { nowMs }: CoarseClock): boolean {
  return nowMs - queuedAtMs > LATE_MS
}

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.length} ${key.toString('latin1')}`
}

/** What came late, while its keys are being asked about. */
class LateCommand {
  readonly name: string
  readonly refs: readonly KeyRef[]
  /** As `SMALL` says. */
  readonly small: number
  /** As `#lookAt` says. */
  readonly zeroIsGone: boolean
  /** Of its keys, those that have not been answered for. */
  open: number
  marked = false

  constructor(name: string, refs: readonly KeyRef[], small: number, zeroIsGone: boolean) {
    this.name = name
    this.refs = refs
    this.small = small
    this.zeroIsGone = zeroIsGone
    this.open = refs.length
  }
}

class Question {
  readonly name: string
  readonly behind: LateCommand
  constructor(name: string, behind: LateCommand) {
    this.name = name
    this.behind = behind
  }
}

/** Commands, as they go to the shadow, that make their key where there is none, and whose answer need not tell; and what counts what it holds. An error to that (a key of another type) is a reason to copy it as well. */
const SIZE_AFTER: ReadonlyMap<string, string> = new Map([
  ['HSET', 'HLEN'],
  ['HMSET', 'HLEN'],
  ['HSETEX', 'HLEN'],
  ['HINCRBY', 'HLEN'],
  ['SADD', 'SCARD'],
  ['VADD', 'VCARD'],
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
])

/** Of these 0 is also what an empty key gives: a text without bytes and a stream without entries are there, and may have been made anew. */
const MAY_BE_EMPTY = new Set(['STRLEN', 'XLEN'])

/** Commands of several keys whose answer, the size of what they make or an OK, is the same without one of them. */
const MIXES = new Set(['ZUNIONSTORE', 'BITOP', 'PFMERGE'])
