import type { CircuitBreaker } from '../../base/circuit-breaker.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { KeyRef } from '../../mirror/keys/key-refs.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { planCommand, renameForPrimary } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { DataPath } from '../data-path.ts'
import type { Session } from '../session/session.ts'
import { gapsIn, isIll, nilsIn } from './read-gaps.ts'
import { mayReadShadow } from './shadow-reads.ts'
import { asResp3, type ReadForm } from './target-read-form.ts'

type FallbackReason = 'miss' | 'error' | 'timeout'

/** A read that waits in the shadow's queue, for so long as `readTimeout` of its route says. */
export interface WaitingRead {
  readonly route: Route
  /** By the coarse clock. */
  readonly startedMs: number
  fallBack(reason: 'timeout'): void
}

const parser = new CommandParser()

/** One read, from the target's queue to the client's answer. See `TargetReads`. */
export class TargetRead implements ReplyOwner, WaitingRead {
  readonly #path: DataPath
  readonly #session: Session
  readonly #spec: CommandSpec
  readonly route: Route
  readonly #frame: Buffer
  readonly #seq: number
  readonly startedMs: number
  readonly #waiting: Set<WaitingRead>
  readonly #database: number
  readonly #protocol: 2 | 3
  readonly #sampled: boolean
  readonly #form: ReadForm
  readonly #breaker: CircuitBreaker
  #stage: 'target' | 'source' | 'done' = 'target'
  /** What the target's answer lacked. */
  #gaps = 0
  /** Of an MGET: which of its keys. */
  #missing: ReadonlySet<number> | null = null

  constructor(
    path: DataPath,
    session: Session,
    spec: CommandSpec,
    route: Route,
    frame: Buffer,
    seq: number,
    waiting: Set<WaitingRead>,
    sampled: boolean,
    form: ReadForm,
    breaker: CircuitBreaker,
  ) {
    this.#breaker = breaker
    this.#form = form
    this.#sampled = sampled
    this.#path = path
    this.#session = session
    this.#spec = spec
    this.route = route
    this.#frame = frame
    this.#seq = seq
    this.startedMs = path.clock.nowMs
    this.#waiting = waiting
    this.#database = session.database
    this.#protocol = session.protocol
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const { state } = this.route
    const seconds = (this.#path.clock.nowMs - slot.queuedAtMs) / 1000
    if (slot.extra === SOURCE) {
      state.inFlight--
      state.primaryTimes.record(seconds)
      if (buf[start] === MINUS) state.primaryError++
      else state.primaryOk++
      if (this.#gaps > 0 && gapsIn(buf, start, end) < this.#gaps) this.#copyOver(buf, start, end)
      this.#answer(buf, start, end)
      return
    }
    state.shadowTimes.record(seconds)
    if (buf[start] === MINUS) state.shadowError++
    else state.shadowOk++
    if (this.#stage !== 'target') return // the deadline was faster
    if (buf[start] === MINUS && isIll(buf, start, end)) {
      this.#targetFailed()
    } else this.#targetAnswered()
    if (buf[start] === MINUS) return this.fallBack('error')
    this.#gaps = gapsIn(buf, start, end)
    if (this.#gaps > 0 && this.#spec.name === 'MGET') this.#missing = nilsIn(buf, start, end)
    if (this.#gaps > 0) this.fallBack('miss')
    else if (this.#isStale()) this.fallBack('error')
    else {
      this.#waiting.delete(this)
      state.inFlight--
      if (this.#form === 'same') this.#answer(buf, start, end)
      else {
        const frame = asResp3(this.#form, buf, start, end)
        this.#answer(frame, 0, frame.length)
      }
      if (this.#sampled) this.#compare()
    }
  }

  /** The client has its answer. Now the source is asked, and after it the target again: so both answers are from one place of history. */
  #compare(): void {
    const path = this.#path
    const source = path.primaryOf(this.route).shared(this.#database, 2)
    if (source.state !== 'up' || source.full) {
      path.comparer.count(this.route, 'shadow')
      return
    }
    const bytes = this.#forSource()
    const slot = source.push(new SourceProbe(path, this.#spec, this.route, this.#frame), bytes, 0, bytes.length)
    slot.database = this.#database
    slot.lane = source.lane
    slot.ticket = path.comparer.asked(parser, path.plan.positions, source.lane)
  }

  lost(slot: InFlight, loss: Loss): void {
    if (slot.extra === SOURCE) {
      this.route.state.inFlight--
      this.route.state.primaryLost++
      this.#answerError(loss.text)
    } else {
      this.route.state.shadowLost++
      if (this.#stage !== 'target') return
      this.#targetFailed()
      this.fallBack('error')
    }
  }

  timedOut(slot: InFlight): void {
    if (slot.extra !== SOURCE) return
    this.route.state.primaryTimeout++
    this.#answerError(`ERR Understudy: store '${this.route.primary.storeName}' did not answer in time`)
  }

  /** What the source's nodes have read at several moments only says which keys are copied, whole. */
  detached(): void {}

  fallBack(reason: FallbackReason): void {
    const { state } = this.route
    this.#waiting.delete(this)
    this.#stage = 'source'
    if (reason === 'miss') state.fallbackMiss++
    else if (reason === 'error') state.fallbackError++
    else {
      state.fallbackTimeout++
      this.#targetFailed()
    }
    const path = this.#path
    const bytes = this.#forSource()
    const slot = path.primaryOf(this.route).shared(this.#database, this.#protocol).push(this, bytes, 0, bytes.length)
    slot.route = this.route
    slot.extra = SOURCE
  }

  #targetAnswered(): void {
    if (!this.#breaker.succeeded()) return
    this.#path.log({ level: 'info', msg: 'the target answers reads again', fields: { route: this.route.name } })
  }

  #targetFailed(): void {
    if (!this.#breaker.failed(this.#path.clock.nowMs) || this.#breaker.pauseMs > FIRST_PAUSE_MS) return
    this.#path.log({
      level: 'warn',
      msg: 'the target fails reads one after the other; the source answers them for now',
      fields: { route: this.route.name },
    })
  }

  #forSource(): Buffer {
    const path = this.#path
    parser.parse(this.#frame, 0, this.#frame.length)
    planCommand(path.routes, this.#spec, parser, path.plan)
    return path.plan.renames ? renameForPrimary(path.routes, parser, path.plan) : this.#frame
  }

  /** The target is not what it was when the read was queued, or an effect before it has failed there meanwhile. */
  #isStale(): boolean {
    const { mirror, dirty } = this.#path
    if (!mayReadShadow(this.#path, this.route)) return true
    return dirty.size > 0 && this.#keys().some(({ rule, database, key }) => mirror.has(rule.route.name, database, key))
  }

  /** What the source has, by its answer, and the target lacked. */
  #copyOver(buf: Buffer, start: number, end: number): void {
    const missing = this.#missing
    const nowhere = missing === null ? null : nilsIn(buf, start, end)
    for (const [i, ref] of this.#keys().entries()) {
      if (missing === null || (missing.has(i) && !nowhere!.has(i))) this.#path.mirror.mark(ref, 'read-miss')
    }
  }

  #keys(): KeyRef[] {
    return this.#path.mirror.keysIn(this.#spec, this.#database, this.#frame, 0, this.#frame.length)
  }

  #answer(buf: Buffer, start: number, end: number): void {
    if (this.#stage === 'done') return
    this.#stage = 'done'
    this.#session.targetReadsOwed--
    this.#session.reply(this.#seq, buf, start, end)
  }

  #answerError(text: string): void {
    if (this.#stage === 'done') return
    this.#stage = 'done'
    this.#session.targetReadsOwed--
    this.#session.replyError(this.#seq, text)
  }
}

/** Asks the source a sampled read that the target has answered, for the comparer. Nobody waits for it. */
class SourceProbe implements ReplyOwner {
  readonly #path: DataPath
  readonly #spec: CommandSpec
  readonly #route: Route
  readonly #frame: Buffer

  constructor(path: DataPath, spec: CommandSpec, route: Route, frame: Buffer) {
    this.#path = path
    this.#spec = spec
    this.#route = route
    this.#frame = frame
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const { comparer } = this.#path
    comparer.sampled(
      this.#spec,
      this.#route,
      slot.database,
      this.#frame,
      0,
      this.#frame.length,
      buf,
      start,
      end,
      slot.lane,
      slot.ticket,
      this.#path.clock.nowMs - slot.queuedAtMs,
    )
  }

  lost(): void {
    this.#path.comparer.count(this.#route, 'shadow')
  }

  timedOut(): void {}

  /** The nodes of a cluster have read at several moments: as if somebody had written between them. */
  detached(slot: InFlight): void {
    slot.ticket = -1
  }
}

/** Of a target that fails: for so long it is not asked, the first time. */
export const FIRST_PAUSE_MS = 250

/** Marks the slot of the source's answer. */
const SOURCE = {}
