import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { argsOf } from '../../resp/command-view.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'
import type { Route } from '../../routing/route.ts'
import { changesFunctions } from '../../routing/server-wide.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyReason } from '../dirty/dirty-key.ts'
import { applicationBytes } from '../effects/settled-command.ts'
import type { KeyRef, KeyRefs } from '../keys/key-refs.ts'
import { type AckWaiter, acknowledge } from './ack-waiter.ts'
import { isLate } from './late-writes.ts'
import { differs, hasError, isReadOnly, movedNothing, NO_ANSWER } from './shadow-answers.ts'
import { MAX_WAITING } from './shadow-backlog.ts'
import type { ShadowDoubts } from './shadow-doubts.ts'
import { byShadow, callsUnderWay, type Item, Unit } from './shadow-unit.ts'

/**
 * The way of effects to the shadow: bounded in bytes and number, acknowledged one by one.
 *
 *   push ─▶ the shadow's pipeline ─┬─ the answer that the primary gave: acknowledged
 *     │                            ├─ another number: the keys are dirty, for the shadow had something else
 *     │                            └─ an error, or lost: the keys are dirty
 *     └─ no room: the keys are dirty
 *
 * A command that reads one key and writes another (RENAME, SUNIONSTORE, LMOVE) brings over what the shadow has, so when one of its keys was dirty by then, all
 * are; and when a blocking command waits for one of them, for what that takes may not be known yet.
 */
export class ShadowQueue implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #doubts: ShadowDoubts
  readonly #refs: KeyRefs
  /** While a transaction's effects are gathered: they leave as one unit. */
  #gathered: Item[] | null = null
  readonly #isAsked: (key: KeyRef | null) => boolean

  /** `isAsked`: whether the primary is being asked what a write has left of the key; null: of any. */
  constructor(context: DataPathContext, doubts: ShadowDoubts, refs: KeyRefs, isAsked: (key: KeyRef | null) => boolean) {
    this.#context = context
    this.#doubts = doubts
    this.#refs = refs
    this.#isAsked = isAsked
  }

  /**
   * Queues one command, `bytes[start .. end)`, as the shadow understands it. `original`: the application's bytes, where those are others. `answer`: the primary's integer
   * reply by `integerHash`, where the shadow's has to be the same, or NO_ANSWER.
   */
  push(
    spec: CommandSpec,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    original: Buffer | null,
    answer: number,
    waiter: AckWaiter | null,
  ): void {
    const { state, shadow, config } = route
    if (shadow === null) return
    const store = this.#context.stores[shadow.store]!
    // As the application wrote it.
    const frame = original ?? bytes
    const from = original === null ? start : 0
    const to = original === null ? end : original.length
    if (end - start > store.maxBulkBytes) {
      // The store would close the connection, and take along all that is on it. The copy goes by pieces.
      this.#doubts.markAll(spec, route, database, frame, from, to, 'shadow-error', waiter)
      return
    }
    if (this.#context.copies.rebuilding && this.#goesToRebuild(spec, database, frame, from, to, waiter)) return
    if (hasSeveralKeys(spec) && this.#isAsked(null)) this.#markIfAsked(spec, database, frame, from, to)
    if (this.#gathered !== null) {
      this.#gathered.push({ spec, route, database, bytes: Buffer.from(bytes.subarray(start, end)), original, answer })
      return
    }
    const pipeline = store.shadows.to(database)
    if (state.backlogBytes + end - start > config.mirror.backlogBytes || pipeline.ring.length >= MAX_WAITING) {
      state.dropped++
      this.#doubts.markAll(spec, route, database, frame, from, to, 'backlog-full', waiter)
      return
    }
    if (spec.firstKey === 0 && changesFunctions(spec)) this.#doubtCalls(store, pipeline)
    const slot = pipeline.push(this, bytes, start, end)
    slot.route = route
    slot.spec = spec
    slot.database = database
    slot.original = original
    slot.extra = waiter
    slot.seq = answer
    if (waiter !== null) {
      waiter.pending++
      pipeline.hurry()
    }
    state.backlogCommands++
    state.backlogBytes += end - start
  }

  /**
   * What `effects` pushes leaves as one MULTI ... EXEC per shadow, so that the shadow too shows all of a transaction or nothing of it.
   */
  asOneUnit(effects: () => void, waiter: AckWaiter | null): void {
    const gathered: Item[] = []
    this.#gathered = gathered
    try {
      effects()
    } finally {
      this.#gathered = null
    }
    for (const items of byShadow(gathered)) this.#pushUnit(items, waiter)
  }

  #pushUnit(items: readonly Item[], waiter: AckWaiter | null): void {
    const [{ spec, route, database, bytes, original, answer }] = items as [Item]
    if (items.length === 1) return this.push(spec, route, database, bytes, 0, bytes.length, original, answer, waiter)
    const { state, shadow, config } = route
    const unit = new Unit(items, waiter)
    const frames = unit.frames()
    const store = this.#context.stores[shadow!.store]!
    const pipeline = store.shadows.to(database)
    if (state.backlogBytes + frames.length > config.mirror.backlogBytes || pipeline.ring.length >= MAX_WAITING) {
      state.dropped++
      for (const item of items) this.#markItem(item, 'backlog-full', waiter)
      return
    }
    if (items.some((item) => changesFunctions(item.spec))) this.#doubtCalls(store, pipeline)
    const slot = pipeline.push(this, frames, 0, frames.length)
    slot.route = route
    slot.database = database
    slot.replies = items.length + 2
    slot.extra = unit
    if (waiter !== null) {
      waiter.pending++
      pipeline.hurry()
    }
    state.backlogCommands++
    state.backlogBytes += frames.length
  }

  /** The primary has executed it before it is asked what an earlier write has left of one of its keys: the other key is to have that, and not what the shadow holds now. */
  #markIfAsked(spec: CommandSpec, database: number, bytes: Buffer, start: number, end: number): void {
    const refs = this.#refs.in(spec, database, bytes, start, end)
    if (refs.some((ref) => this.#isAsked(ref))) for (const ref of refs) this.#doubts.mark(ref, 'state-copy', null)
  }

  /** A write to a key that is being rebuilt is the rebuild's; one to several keys cannot be split, so they are copied after it. `bytes`: the application's. */
  #goesToRebuild(
    spec: CommandSpec,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    waiter: AckWaiter | null,
  ): boolean {
    const { copies } = this.#context
    const keys = this.#refs.in(spec, database, bytes, start, end)
    const rebuilds = keys.flatMap(({ key }) => copies.rebuildsOf(database, key))
    if (rebuilds.length === 0) return false
    this.#doubts.script(spec, bytes, start, end)
    if (keys.length === 1) {
      const args = argsIn(bytes, start, end)
      for (const rebuild of rebuilds) rebuild.effect(spec.name, args, waiter)
    } else {
      for (const rebuild of rebuilds) rebuild.abandon()
      for (const ref of keys) this.#doubts.mark(ref, 'state-copy', waiter)
    }
    return true
  }

  // --- the shadow's answers

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const { state } = slot.route as Route
    if (slot.extra instanceof Unit) {
      this.#settleUnit(slot, slot.extra, buf, start, end)
      return
    }
    if (buf[start] === MINUS) {
      this.#doubts.refused(slot, buf, start, end)
      this.#markSlot(slot, 'shadow-error')
      if (changesFunctions(slot.spec)) this.#doubtCallsBehind(slot)
      this.#finish(slot, false)
      return
    }
    state.shadowOk++
    const spec = slot.spec!
    if (spec.firstKey === 0) {
      const { bytes, start: from, end: to } = applicationBytes(slot)
      this.#doubts.keylessDone(spec, slot.route as Route, bytes, from, to)
    }
    if (slot.seq !== NO_ANSWER && differs(spec, slot.seq, buf, start, end)) this.#markSlot(slot, 'shadow-differs')
    else if (hasSeveralKeys(spec) && movedNothing(spec, buf, start)) this.#markSlot(slot, 'shadow-differs')
    else if (hasSeveralKeys(spec) && this.#doubts.areAny) {
      const { bytes, start: from, end: to } = applicationBytes(slot)
      const keys = this.#refs.in(spec, slot.database, bytes, from, to)
      if (this.#doubts.areIn(spec, keys, bytes, from, to))
        for (const ref of keys) this.#doubts.mark(ref, 'shadow-differs', null)
      else this.#doubts.executed(spec, keys, slot.extra as AckWaiter | null)
    }
    if (isLate(slot.queuedAtMs, this.#context.clock)) {
      const { bytes, start: from, end: to } = applicationBytes(slot)
      this.#doubts.lateWrites.look(spec, slot.database, bytes, from, to, slot.seq)
    }
    this.#finish(slot, true)
  }

  #settleUnit(slot: InFlight, unit: Unit, buf: Buffer, start: number, end: number): void {
    const { state } = slot.route as Route
    const failed = buf[start] === MINUS || (slot.replies === 0 && hasError(buf, start, end))
    if (failed) {
      this.#doubts.scriptsMayBeGone()
      if (isReadOnly(buf, start)) this.#doubts.replaced(slot.route as Route)
      state.shadowError++
      for (const item of unit.items) this.#markItem(item, 'shadow-error', null)
      if (unit.items.some(({ spec }) => changesFunctions(spec))) this.#doubtCallsBehind(slot)
    } else state.shadowOk++
    if (slot.replies > 0) return
    if (!failed) {
      const late = isLate(slot.queuedAtMs, this.#context.clock)
      const offsets = elementOffsets(buf, start, end)!
      for (const [i, item] of unit.items.entries()) {
        const frame = item.original ?? item.bytes
        this.#doubts.keylessDone(item.spec, item.route, frame, 0, frame.length)
        const keys = this.#refs.in(item.spec, item.database, frame, 0, frame.length)
        const [from, to] = [offsets[i]!, offsets[i + 1]!]
        const another =
          (item.answer !== NO_ANSWER && differs(item.spec, item.answer, buf, from, to)) ||
          movedNothing(item.spec, buf, from)
        if (another || this.#doubts.areIn(item.spec, keys, frame, 0, frame.length)) {
          for (const ref of keys) this.#doubts.mark(ref, 'shadow-differs', null)
          continue
        }
        this.#doubts.executed(item.spec, keys, unit.waiter)
        if (late) this.#doubts.lateWrites.look(item.spec, item.database, frame, 0, frame.length, item.answer)
      }
    }
    this.#finish(slot, !failed)
  }

  lost(slot: InFlight, _loss: Loss): void {
    ;(slot.route as Route).state.shadowLost++
    this.#doubts.scriptsMayBeGone()
    if (slot.extra instanceof Unit) for (const item of slot.extra.items) this.#markItem(item, 'shadow-down', null)
    else this.#markSlot(slot, 'shadow-down')
    this.#finish(slot, false, false)
  }

  timedOut(slot: InFlight): void {
    ;(slot.route as Route).state.shadowTimeout++
  }

  /** `refused`: the shadow has said no; without an answer it has not, and its keys are dirty. */
  #finish(slot: InFlight, applied: boolean, refused = !applied): void {
    const { state } = slot.route as Route
    state.backlogCommands--
    state.backlogBytes -= slot.end - slot.start
    state.shadowTimes.record((this.#context.clock.nowMs - slot.queuedAtMs) / 1000)
    if (applied) state.applied++
    if (refused) state.failed++
    acknowledge(slot.extra instanceof Unit ? slot.extra.waiter : (slot.extra as AckWaiter | null), applied)
  }

  // --- calls of functions beside changes of these

  /** A change is about to be sent to the store as a primary: calls that are run again on it may come behind it. */
  functionsChanging(store: Store): void {
    for (const pipeline of store.shadows.open()) this.#markCalls(pipeline)
  }

  /** A change is about to leave on `own`: calls on other connections may meet it ahead of them. */
  #doubtCalls(store: Store, own: Pipeline): void {
    for (const pipeline of store.shadows.open()) if (pipeline !== own) this.#markCalls(pipeline)
  }

  /** A change was refused: what was sent behind it meets the functions of before. */
  #doubtCallsBehind({ route, database }: InFlight): void {
    const store = this.#context.stores[(route as Route).shadow!.store]
    for (const pipeline of store?.shadows.open() ?? [])
      if (pipeline === store?.shadows.to(database)) this.#markCalls(pipeline)
  }

  #markCalls(pipeline: Pipeline): void {
    for (const call of callsUnderWay(pipeline, this))
      if ('owner' in call) this.#markSlot(call, 'shadow-differs')
      else this.#markItem(call, 'shadow-differs', null)
  }

  #markSlot(slot: InFlight, reason: DirtyReason): void {
    const { bytes, start, end } = applicationBytes(slot)
    this.#doubts.markAll(slot.spec, slot.route as Route, slot.database, bytes, start, end, reason, null)
  }

  #markItem({ spec, route, database, original, bytes }: Item, reason: DirtyReason, waiter: AckWaiter | null): void {
    const frame = original ?? bytes
    this.#doubts.markAll(spec, route, database, frame, 0, frame.length, reason, waiter)
  }
}

function argsIn(bytes: Buffer, start: number, end: number): Buffer[] {
  parser.parse(bytes, start, end)
  return argsOf(parser)
}

const parser = new CommandParser()

function hasSeveralKeys(spec: CommandSpec): boolean {
  return spec.keyFinder !== 'plain' || spec.lastKey !== spec.firstKey
}
