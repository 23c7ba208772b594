import { CircuitBreaker } from '../../base/circuit-breaker.ts'
import { findKeys, KeyPositions, rewriteKeys } from '../../command/keys.ts'
import { repliesWithKeys } from '../../command/reply-keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { OverlapTable } from '../../mirror/keys/overlap.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Plan } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPath } from '../data-path.ts'
import type { Session } from '../session/session.ts'
import { isSampledRead } from './sampled-reads.ts'
import { mayReadShadow } from './shadow-reads.ts'
import { FIRST_PAUSE_MS, TargetRead, type WaitingRead } from './target-read.ts'
import { readForm } from './target-read-form.ts'

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
  readonly #overlap: OverlapTable
  /** Under way, oldest first. */
  readonly #waiting = new Set<WaitingRead>()
  readonly #positions = new KeyPositions()
  readonly #breakers = new WeakMap<Store, CircuitBreaker>()

  constructor(path: DataPath, overlap: OverlapTable) {
    this.#path = path
    this.#overlap = overlap
  }

  /** Takes the read; false when the target cannot be asked, and the source answers as usual. */
  read(session: Session, view: CommandView, spec: CommandSpec, plan: Plan): boolean {
    const { route } = plan
    const path = this.#path
    if (route.shadow === null || repliesWithKeys(spec)) return false
    // Of a command with several keys (SUNION, EXISTS) the answer does not tell whether the target lacks one; MGET's does.
    if ((plan.positions.count > 1 && spec.name !== 'MGET') || plan.positions.patternCount > 0) return false
    // A flush or a swap is on its way down every connection, this one's among them.
    if (this.#overlap.sweeping) return false
    if (this.#isDoubtful(spec, route) || !this.#isCurrent(view, plan, session.database)) return false
    const form = readForm(spec, view, session.protocol)
    if (form === null) return false
    const store = path.stores[route.shadow.store]!
    const pipeline = store.shadows.to(session.database)
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

  /** Another read that waits in a shadow's queue: it falls back when it takes too long, unless it has `ended` before. */
  began(read: WaitingRead): void {
    this.#waiting.add(read)
  }

  ended(read: WaitingRead): void {
    this.#waiting.delete(read)
  }

  tick(nowMs: number): void {
    for (const read of this.#waiting) {
      // Each has its route's time: one that may take longer says nothing about those behind it.
      if (nowMs - read.startedMs < read.route.config.readTimeoutMs) continue
      read.fallBack('timeout')
    }
  }

  /** The target may be another server, keys may differ that nobody can name, or the functions that it calls. */
  #isDoubtful({ name }: CommandSpec, route: Route): boolean {
    const { dirty, routes } = this.#path
    if (!mayReadShadow(this.#path, route)) return true
    return name === 'FCALL_RO' && dirty.toVerify.hasCause(routes.fallback.name, 'functions')
  }

  /** Whether the target holds, or is about to hold before it reads this, what the source holds. */
  #isCurrent(view: CommandView, plan: Plan, database: number): boolean {
    const { mirror, routes, dirty } = this.#path
    for (let i = 0; i < plan.positions.count; i++) {
      const arg = plan.positions.index[i]!
      const from = view.start[arg]!
      const to = view.end[arg]!
      const { route } = routes.find(view.buf, from, to)
      if (dirty.toVerify.ofKeys(route.name) || mirror.undeclared.mayOwe(route)) return false
      if (mirror.has(route.name, database, view.buf.subarray(from, to))) return false
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

const BREAKER = { threshold: 5, firstPauseMs: FIRST_PAUSE_MS, maxPauseMs: 5_000, probes: 1 }
