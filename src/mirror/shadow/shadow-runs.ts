import type { CommandSpec } from '../../command/spec.ts'
import { COLON, HASH, MINUS } from '../../resp/bytes.ts'
import { COMPLETE, CommandParser } from '../../resp/command-parser.ts'
import type { Route } from '../../routing/route.ts'
import type { Chunk } from '../../upstream/pipeline/chunk.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyReason } from '../dirty/dirty-key.ts'
import type { MissingExpiries } from '../effects/missing-expiries.ts'
import { answerOf, changedNothing } from '../effects/settled-command.ts'
import { isLate } from './late-writes.ts'
import { integerHash, NO_ANSWER } from './shadow-answers.ts'
import { MAX_WAITING } from './shadow-backlog.ts'
import type { ShadowDoubts } from './shadow-doubts.ts'

/** Of one run. More would make one loss, or one copy of bytes, a long piece of work. */
const MAX_COMMANDS = 64
const MAX_BYTES = 16 * 1024

/** One command of a run: `buf[start .. end)`. */
type Visit = (spec: CommandSpec | null, buf: Buffer, start: number, end: number) => void

/**
 * Writes of one client whose replies have come together (`settleTogether`) go to the shadow together, where each is the very command that the primary got: their bytes lie one behind the other in the
 * primary's chunk, so they are one copy, one place in the shadow's ring, one entry in the books.
 *
 *   primary's chunk   [ ... | SET a | SET b | INCR c | ... ]
 *                           ^#start                  ^#end        take, take, take ─▶ send
 *   shadow's ring     [ ... | three replies | ... ]
 *
 * Each keeps its own fate: of an error, another number than the primary's, or a loss, its place among the replies tells the command, which is then found in the bytes. Everything out of the ordinary
 * (other names, a rebuild, no room, more than one key, somebody who waits) goes one by one through the `ShadowQueue`, at its place.
 */
export class ShadowRuns implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #doubts: ShadowDoubts
  readonly #expiries: MissingExpiries
  readonly #parser = new CommandParser()

  // What has been taken and not been sent.
  #count = 0
  #chunk: Chunk | null = null
  #start = 0
  #end = 0
  #database = 0
  #route: Route | null = null
  #pipeline: Pipeline | null = null
  /** A longer command would make the shadow close the connection. */
  #maxBytes = 0
  /** Of those taken; null: none of them tells. */
  #answers: number[] | null = null

  constructor(context: DataPathContext, doubts: ShadowDoubts, expiries: MissingExpiries) {
    this.#context = context
    this.#doubts = doubts
    this.#expiries = expiries
  }

  /**
   * Takes a write that goes to the shadow as it is (`goesAsSent`), if it can go in a run. `reply[at ..]` is the primary's answer, no error; no other connection has written to its key meanwhile. False:
   * it has to go by itself, behind a `send`.
   */
  take(slot: InFlight, reply: Buffer, at: number): boolean {
    if (slot.spec!.effect!.kind === 'as-sent-if-changed' && changedNothing(reply, at)) return true
    const { start, end } = slot
    if (!this.#goesOn(slot)) {
      this.send()
      if (!this.#begin(slot)) return false
    }
    if (end - start > this.#maxBytes) return false
    const answer = answerOf(reply, at)
    if (answer !== NO_ANSWER && this.#answers === null) this.#answers = new Array(this.#count).fill(NO_ANSWER)
    this.#answers?.push(answer)
    this.#count++
    this.#end = end
    const route = this.#route!
    if (mayKeepExpiry(slot.spec!) && !route.state.shadowComplete)
      this.#expiries.look(slot.spec!, route, slot.database, slot.chunk!.buf, start, end)
    return true
  }

  /** The same for the `slot.count` writes that share a place: their replies begin at `reply[at]`, and have `step` bytes each. */
  takeShared(slot: InFlight, reply: Buffer, at: number, step: number): boolean {
    const { start, end, count, spec } = slot
    // Each key is looked at.
    if (mayKeepExpiry(spec!) && this.#context.routes.trivial?.state.shadowComplete === false) return false
    const ifChanged = spec!.effect!.kind === 'as-sent-if-changed'
    let answered = this.#answers !== null
    for (let i = 0, from = at; i < count; i++, from += step) {
      if (ifChanged && changedNothing(reply, from)) return false
      if (reply[from] === COLON || reply[from] === HASH) answered = true
    }
    if (!this.#goesOn(slot)) {
      this.send()
      if (!this.#begin(slot)) return false
    }
    if (end - start > this.#maxBytes) return false
    if (answered) {
      this.#answers ??= new Array(this.#count).fill(NO_ANSWER)
      for (let i = 0; i < count; i++) this.#answers.push(answerOf(reply, at + i * step))
    }
    this.#count += count
    this.#end = end
    return true
  }

  /** What has been taken goes to the shadow. */
  send(): void {
    const count = this.#count
    if (count === 0) return
    const route = this.#route!
    const bytes = this.#end - this.#start
    const slot = this.#pipeline!.push(this, this.#chunk!.buf, this.#start, this.#end)
    slot.route = route
    slot.database = this.#database
    slot.seq = count
    slot.replies = count
    slot.extra = this.#answers
    route.state.backlogCommands += count
    route.state.backlogBytes += bytes
    this.#count = 0
    this.#chunk = null
    this.#route = null
    this.#pipeline = null
    this.#answers = null
  }

  /** It lies behind the last one taken. */
  #goesOn({ chunk, start, end, database, count }: InFlight): boolean {
    return (
      this.#count > 0 &&
      this.#count + count <= MAX_COMMANDS &&
      chunk === this.#chunk &&
      start === this.#end &&
      database === this.#database &&
      end - this.#start <= MAX_BYTES
    )
  }

  /** Whether a run can begin with it, as things are now. */
  #begin({ chunk, start, end, database }: InFlight): boolean {
    const { routes, copies, stores } = this.#context
    const route = routes.trivial
    if (route === null || route.shadow === null || copies.rebuilding) return false
    const store = stores[route.shadow.store]!
    const pipeline = store.shadows.to(database)
    const { backlogBytes } = route.state
    if (end - start > MAX_BYTES || backlogBytes + MAX_BYTES > route.config.mirror.backlogBytes) return false
    if (store.cluster !== null || pipeline.ring.length >= MAX_WAITING) return false
    this.#route = route
    this.#pipeline = pipeline
    this.#maxBytes = store.maxBulkBytes
    this.#database = database
    this.#chunk = chunk
    this.#start = start
    this.#end = start
    return true
  }

  // --- the shadow's answers: `slot.seq` is how many they are, `slot.replies` how many are missing

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const { state } = slot.route as Route
    const index = slot.seq - slot.replies - 1
    if (buf[start] === MINUS) {
      this.#doubts.refused(slot, buf, start, end)
      this.#mark(slot, index, index + 1, 'shadow-error')
      state.failed++
    } else {
      state.shadowOk++
      state.applied++
      const answer = slot.extra === null ? NO_ANSWER : (slot.extra as number[])[index]!
      if (answer !== NO_ANSWER && buf[start] === COLON && integerHash(buf, start) !== answer)
        this.#mark(slot, index, index + 1, 'shadow-differs')
      else if (isLate(slot.queuedAtMs, this.#context.clock)) this.#lookAt(slot, index, index + 1, answer)
    }
    state.backlogCommands--
    if (slot.replies === 0) this.#leave(slot, slot.seq)
  }

  /** Status replies tell no number. */
  settleSame(slot: InFlight, count: number): void {
    const { state } = slot.route as Route
    state.shadowOk += count
    state.applied += count
    state.backlogCommands -= count
    if (isLate(slot.queuedAtMs, this.#context.clock)) {
      const next = slot.seq - slot.replies
      this.#lookAt(slot, next - count, next, NO_ANSWER)
    }
    if (slot.replies === 0) this.#leave(slot, slot.seq)
  }

  lost(slot: InFlight, _loss: Loss): void {
    const { state } = slot.route as Route
    const { seq, replies } = slot
    state.shadowLost += replies
    state.backlogCommands -= replies
    this.#doubts.scriptsMayBeGone()
    this.#mark(slot, seq - replies, seq, 'shadow-down')
    this.#leave(slot, seq)
  }

  timedOut(slot: InFlight): void {
    ;(slot.route as Route).state.shadowTimeout += slot.replies
  }

  #leave(slot: InFlight, count: number): void {
    const { state } = slot.route as Route
    state.backlogBytes -= slot.end - slot.start
    state.shadowTimes.record((this.#context.clock.nowMs - slot.queuedAtMs) / 1000, count)
  }

  /** Marks the keys of the commands `from` up to `to` of a run. */
  #mark(slot: InFlight, from: number, to: number, reason: DirtyReason): void {
    this.#forEach(slot, from, to, (spec, buf, start, end) =>
      this.#doubts.markAll(spec, slot.route as Route, slot.database, buf, start, end, reason, null),
    )
  }

  /** They were executed late: `answer` is what each has answered. */
  #lookAt(slot: InFlight, from: number, to: number, answer: number): void {
    this.#forEach(slot, from, to, (spec, buf, start, end) =>
      this.#doubts.lateWrites.look(spec, slot.database, buf, start, end, answer),
    )
  }

  #forEach(slot: InFlight, from: number, to: number, visit: Visit): void {
    const { commands } = this.#context
    const { buf } = slot.chunk!
    const parser = this.#parser
    for (let i = 0, at = slot.start; i < to; i++) {
      if (parser.parse(buf, at, slot.end) !== COMPLETE) return
      const { next } = parser
      if (i >= from) visit(commands.lookup(parser) ?? null, buf, at, next)
      at = next
    }
  }
}

/** Whether so many bytes more still make one run of those that share a place. */
export function mayJoin({ start, end, count }: InFlight, bytes: number): boolean {
  return count < MAX_COMMANDS && end - start + bytes <= MAX_BYTES
}

/** Whether a write of `argc` arguments goes to the shadow as it is when it has changed something, and names one key and nothing else that could make more of it. */
export function goesAsSent(spec: CommandSpec, argc: number): boolean {
  const rule = spec.effect
  if (rule === null || rule.kind === 'never' || (rule.kind === 'compute' && rule.plainArgc !== argc)) return false
  return spec.handling === 'forward' && !spec.crossesDatabases && hasOneKey(spec) && argc > spec.firstKey
}

/** Of a command that goes in a run. The one that is computed otherwise is a `SET` of no more than key and value (`goesAsSent`): what it makes has no time to live on either side. */
function mayKeepExpiry({ effect }: CommandSpec): boolean {
  return effect!.kind !== 'compute'
}

/** However many arguments it has. */
function hasOneKey(spec: CommandSpec): boolean {
  return spec.keyFinder === 'plain' && spec.firstKey > 0 && spec.lastKey === spec.firstKey
}
