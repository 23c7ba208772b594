import { CircuitBreaker } from '../base/circuit-breaker.ts'
import { findKeys, KeyPositions, rewriteKeys } from '../command/keys.ts'
import { repliesWithKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { KeyRef } from '../mirror/key-refs.ts'
import { MINUS } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { Plan } from '../routing/plan.ts'
import { planCommand, renameForPrimary } from '../routing/plan.ts'
import type { Route } from '../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Store } from '../upstream/store.ts'
import type { DataPath } from './data-path.ts'
import { gapsIn, isIll, nilsIn } from './read-gaps.ts'
import { isSampledRead } from './sampled-reads.ts'
import type { Session } from './session.ts'
import { asResp3, type ReadForm, readForm } from './target-read-form.ts'

type FallbackReason = 'miss' | 'error' | 'timeout'

/**
 * `read-target`: reads are answered by the target, and by the source when the target misses, errs or is slow.
 *
 *   read ─▶ target's queue, behind every effect ─┬─ hit ─▶ client
 *                                                └─ miss, error, deadline ─▶ source ─▶ client; a key that the source has is copied over
 *
 * A target that fails reads one after the other is not asked for a while (`base/circuit-breaker.ts`).
 *
 * The read stands in the mirror's own queue, so it sees every write that was acknowledged before it: a client reads its own writes (while writes of its own are
 * under way it is sent to the source, see `forward.ts`; so is a read of a key that the target is known not to have as it is). The copy is a state copy: it never brings a deleted key back, nor overwrites a newer value.
 */
export class TargetReads {
  readonly #path: DataPath
  /** Under way, oldest first. */
  readonly #waiting = new Set<TargetRead>()
  readonly #positions = new KeyPositions()
  readonly #breakers = new WeakMap<Store, CircuitBreaker>()

  constructor(path: DataPath) {
    this.#path = path
  }

  /** Takes the read; false when the target cannot be asked, and the source answers as usual. */
  read(session: Session, view: CommandView, spec: CommandSpec, plan: Plan): boolean {
    const { route } = plan
    const path = this.#path
    if (route.shadow === null || repliesWithKeys(spec)) return false
    // Of a command with several keys (SUNION, EXISTS) the answer does not tell whether the target lacks one; MGET's does.
    if ((plan.positions.count > 1 && spec.name !== 'MGET') || plan.positions.patternCount > 0) return false
    if (path.dirty.needsVerify(route.name) || !this.#isCurrent(view, plan, session.database)) return false
    const form = readForm(spec, view, session.protocol)
    if (form === null) return false
    const store = path.stores[route.shadow.store]!
    const pipeline = store.shadow(session.database)
    if (pipeline.state === 'idle') pipeline.connect()
    if (pipeline.state !== 'up' || pipeline.full) {
      route.state.fallbackError++
      return false
    }
    const bytes = this.#renamed(view, spec, route)
    if (bytes === null) return false
    const breaker = this.#breakerOf(store)
    if (!breaker.allows(path.clock.nowMs)) {
      route.state.fallbackOpen++
      return false
    }
    const frame = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
    const sampled = isSampledRead(path, spec, view)
    const read = new TargetRead(
      path,
      session,
      spec,
      route,
      frame,
      session.order.assign(),
      this.#waiting,
      sampled,
      form,
      breaker,
    )
    this.#waiting.add(read)
    session.targetReadsOwed++
    const slot = pipeline.push(read, bytes, 0, bytes.length)
    pipeline.hurry()
    slot.route = route
    route.state.inFlight++
    return true
  }

  /** Of a target that is ill, every read would cost its deadline: the source answers at once until single reads get through again. */
  #breakerOf(store: Store): CircuitBreaker {
    let breaker = this.#breakers.get(store)
    if (breaker === undefined) {
      breaker = new CircuitBreaker(BREAKER)
      this.#breakers.set(store, breaker)
    }
    return breaker
  }

  tick(nowMs: number): void {
    for (const read of this.#waiting) {
      if (nowMs - read.startedMs < read.route.config.readTimeoutMs) return
      read.fallBack('timeout')
    }
  }

  /** Whether the target holds, or is about to hold before it reads this, what the source holds. */
  #isCurrent(view: CommandView, plan: Plan, database: number): boolean {
    const { mirror, routes } = this.#path
    for (let i = 0; i < plan.positions.count; i++) {
      const arg = plan.positions.index[i]!
      const from = view.start[arg]!
      const to = view.end[arg]!
      if (mirror.has(routes.find(view.buf, from, to).route.name, database, view.buf.subarray(from, to))) return false
    }
    return true
  }

  #renamed(view: CommandView, spec: CommandSpec, route: Route): Buffer | null {
    const { routes } = this.#path
    if (routes.trivial !== null) return view.buf.subarray(view.frameStart, view.frameEnd)
    findKeys(spec, view, this.#positions)
    for (let i = 0; i < this.#positions.count; i++) {
      const arg = this.#positions.index[i]!
      const other = routes.find(view.buf, view.start[arg]!, view.end[arg]!).route
      if (!other.readsShadow || other.shadow?.store !== route.shadow?.store) return null
    }
    return rewriteKeys(
      view,
      this.#positions,
      (buf, from, to) => routes.find(buf, from, to).shadow?.apply(buf, from, to) ?? null,
    )
  }
}

const parser = new CommandParser()

class TargetRead implements ReplyOwner {
  readonly #path: DataPath
  readonly #session: Session
  readonly #spec: CommandSpec
  readonly route: Route
  readonly #frame: Buffer
  readonly #seq: number
  readonly startedMs: number
  readonly #waiting: Set<TargetRead>
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
    waiting: Set<TargetRead>,
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
    if (!this.#breaker.failed(this.#path.clock.nowMs) || this.#breaker.pauseMs > BREAKER.firstPauseMs) return
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

  /** An effect that was queued before the read has failed on the target meanwhile. */
  #isStale(): boolean {
    const { mirror, dirty } = this.#path
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
}

const BREAKER = { threshold: 5, firstPauseMs: 250, maxPauseMs: 5_000, probes: 1 }

/** Marks the slot of the source's answer. */
const SOURCE = {}
