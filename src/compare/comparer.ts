import { hashBytes } from '../base/hash.ts'
import { TokenBucket } from '../base/token-bucket.ts'
import { findKeys, KeyPositions, rewriteKeys } from '../command/keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandParser } from '../resp/command-parser.ts'
import type { CommandView } from '../resp/command-view.ts'
import { decodeReply } from '../resp/decode.ts'
import type { Reply } from '../resp/reply.ts'
import type { Route, RouteState } from '../routing/route.ts'
import type { RouteTable } from '../routing/route-table.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { type Acknowledgement, coveredBy } from './acknowledgement.ts'
import { compareReplies, type Difference } from './diff.ts'
import type { Finding } from './finding.ts'
import { foldKey, printableKey } from './key-pattern.ts'
import { maskReply, revealReply } from './mask.ts'
import { RouteTally, type SkipReason, type Verdict } from './tally.ts'

export interface ComparerContext {
  readonly clock: { readonly nowMs: number }
  readonly routes: RouteTable
  readonly stores: readonly Store[]
}

/** What the mirror knows, as far as it matters here. */
export interface MirrorView {
  /** The key is known to differ, or to be about to be made equal: its difference is no news. */
  has(route: string, database: number, key: Buffer): boolean
  /** A ticket for a read that leaves on `lane`, -1: writes of another lane are in flight. */
  look(hash: number, lane: number): number
  /** What the ticket still is when no write of another lane has come between. */
  traffic(hash: number, lane: number): number
  /** The primary's pipeline that the key's writes go down. */
  primaryPipeline(route: Route, database: number, hash: number): Pipeline
}

/**
 * Asks the shadow the sampled reads of clients, at the same place of the one history, and compares the answers.
 *
 *   primary's reply arrives ─▶ the same read joins the shadow's queue, behind every effect that came before it
 *   shadow's reply arrives  ─▶ equal bytes, or equal after normalising: match
 *                              else: re-check, up to three times, spaced out; equal then: transient
 *                                                                           still different: confirmed ─▶ onFinding
 *
 * A re-check sends the same read through the primary's pipeline again, so it too is answered at one place of history. A read that writes of another connection came across has
 * no place in that history: it is dropped, or asked again. Samples may be dropped (counted `skipped`): never a write, and never at a client's cost.
 */
export class Comparer {
  readonly context: ComparerContext
  readonly mirror: MirrorView
  readonly onFinding: (finding: Finding, route: Route) => void
  acknowledgements: readonly Acknowledgement[] = []
  readonly #tallies = new Map<RouteState, RouteTally>()
  readonly #waiting: Sample[] = []
  /** Commands that are being re-checked: the same difference seen again meanwhile is not followed up twice. */
  readonly #rechecked = new Set<string>()
  readonly #rechecks = new TokenBucket(RECHECKS_PER_SECOND, RECHECKS_PER_SECOND / 10)
  readonly #parser = new CommandParser()
  readonly #positions = new KeyPositions()
  /** Bytes of primary's replies kept for samples under way. */
  #keptBytes = 0

  constructor(context: ComparerContext, mirror: MirrorView, onFinding: (finding: Finding, route: Route) => void) {
    this.context = context
    this.mirror = mirror
    this.onFinding = onFinding
  }

  /** The counts of a route, kept over reloads. */
  tallyOf(state: RouteState): RouteTally {
    let tally = this.#tallies.get(state)
    if (tally === undefined) this.#tallies.set(state, (tally = new RouteTally()))
    return tally
  }

  /** A sample of the route is dropped. */
  dropped(state: RouteState, reason: SkipReason): void {
    state.skipped++
    this.tallyOf(state).skipped[reason]++
  }

  /** A sampled read leaves for the primary on `lane`. Gives its ticket, for `sampled`. */
  asked(view: CommandView, positions: KeyPositions, lane: number): number {
    let ticket = 0
    for (let i = 0; i < positions.count; i++) {
      const one = this.mirror.look(hashOf(view, positions, i), lane)
      if (one === -1) return -1
      ticket += one
    }
    return ticket
  }

  /**
   * A sampled read's reply has come from the primary: `bytes[start .. end)` is the application's command. `lane`, `ticket`: where it was asked and what `asked` gave; lane 0 where nobody
   * looked, so that a write of another connection may show as a difference until it is re-checked.
   */
  sampled(
    spec: CommandSpec,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    reply: Buffer,
    from: number,
    to: number,
    lane = 0,
    ticket = 0,
  ): void {
    const size = end - start + to - from
    if (ticket === -1) return this.dropped(route.state, 'disturbed')
    if (size > MAX_SAMPLE_BYTES) return this.dropped(route.state, 'large')
    if (this.#keptBytes + size > MAX_KEPT_BYTES) return this.dropped(route.state, 'busy')
    const sample = new Sample(this, spec, route, database, Buffer.from(bytes.subarray(start, end)))
    sample.primary = Buffer.from(reply.subarray(from, to))
    sample.lane = lane
    sample.ticket = ticket
    this.ask(sample)
  }

  /** The primary has answered: queues the sample's read for the shadow. */
  ask(sample: Sample): void {
    const { route } = sample
    const view = this.#parse(sample.command)
    findKeys(sample.spec, view, this.#positions)
    if (route.shadow === null || this.#positions.count === 0) return this.skip(sample, 'moved')
    if (sample.lane !== 0 && this.#traffic(view, sample.lane) !== sample.ticket) return this.#askAgain(sample)
    const shadow = this.context.stores[route.shadow.store]!.shadow(sample.database)
    if (shadow.state !== 'up') return this.skip(sample, 'shadow')
    if (shadow.full) return this.skip(sample, 'busy')
    if (this.#isKnown(sample)) return this.skip(sample, 'dirty')
    const bytes = this.#renamed(view, route)
    if (bytes === null) return this.skip(sample, 'split')
    this.#keptBytes += sample.bytes
    shadow.push(sample, bytes, 0, bytes.length).route = route
  }

  /** The shadow has answered. */
  answered(sample: Sample, buf: Buffer, start: number, end: number): void {
    this.#keptBytes -= sample.bytes
    const difference = this.#difference(sample, buf, start, end)
    if (difference === null) {
      this.#count(sample, sample.attempt === 0 ? 'matched' : 'transient')
      this.#end(sample)
      return
    }
    // A write before it failed on the shadow: that is known by now, and being mended.
    if (this.#isKnown(sample)) return this.skip(sample, 'dirty')
    if (sample.attempt < RECHECK_AFTER_MS.length) {
      this.#recheckLater(sample)
      return
    }
    this.#report(sample, difference, buf, start, end)
    this.#end(sample)
  }

  skip(sample: Sample, reason: SkipReason): void {
    this.dropped(sample.route.state, reason)
    this.#end(sample)
  }

  #count({ route, spec }: Sample, verdict: Verdict): void {
    const { state } = route
    state.compared++
    if (verdict === 'matched') state.matched++
    else if (verdict === 'transient') state.transient++
    else if (verdict === 'mismatched') state.mismatched++
    this.tallyOf(state).count(spec.name, verdict, 1, this.context.clock.nowMs)
  }

  lost(sample: Sample): void {
    this.#keptBytes -= sample.bytes
    this.skip(sample, 'shadow')
  }

  /** Called on the clock's tick: sends the re-checks that are due. */
  run(nowMs: number): void {
    for (let i = 0; i < this.#waiting.length; ) {
      const sample = this.#waiting[i]!
      if (sample.dueMs > nowMs) {
        i++
        continue
      }
      if (!this.#rechecks.take(nowMs)) return
      this.#waiting[i] = this.#waiting[this.#waiting.length - 1]!
      this.#waiting.pop()
      this.#recheck(sample)
    }
  }

  #recheckLater(sample: Sample): void {
    if (sample.attempt === 0) {
      const { name } = sample
      if (this.#rechecked.has(name) || this.#waiting.length >= MAX_WAITING) return this.skip(sample, 'busy')
      this.#rechecked.add(name)
    }
    sample.dueMs = this.context.clock.nowMs + RECHECK_AFTER_MS[sample.attempt]!
    sample.attempt++
    this.#waiting.push(sample)
  }

  /** Reads again on the primary; `ask` follows when it has answered. */
  #recheck(sample: Sample): void {
    const { routes } = this.context
    const view = this.#parse(sample.command)
    findKeys(sample.spec, view, this.#positions)
    const positions = this.#positions
    if (positions.count === 0) return this.skip(sample, 'moved')
    const arg = positions.index[0]!
    const { route } = routes.find(view.buf, view.start[arg]!, view.end[arg]!)
    // A switch or a reload came between: what was seen then says nothing about now.
    if (route.primary.store !== sample.route.primary.store || route.phase !== sample.route.phase)
      return this.skip(sample, 'moved')
    sample.route = route
    const primary = this.mirror.primaryPipeline(route, sample.database, hashOf(view, positions, 0))
    if (primary.state !== 'up' || primary.full) return this.skip(sample, 'shadow')
    const bytes = rewriteKeys(
      view,
      positions,
      (buf, from, to) => routes.find(buf, from, to).primary?.apply(buf, from, to) ?? null,
    )
    sample.primary = null
    sample.lane = primary.lane
    sample.ticket = this.asked(view, positions, primary.lane)
    primary.push(sample, bytes, 0, bytes.length)
  }

  /** Writes of another connection came across the read: a re-check is tried again, a first look is not worth it. */
  #askAgain(sample: Sample): void {
    if (sample.attempt === 0 || ++sample.disturbances > MAX_DISTURBANCES) return this.skip(sample, 'disturbed')
    sample.dueMs = this.context.clock.nowMs
    this.#waiting.push(sample)
  }

  #end(sample: Sample): void {
    if (sample.attempt > 0) this.#rechecked.delete(sample.name)
  }

  /** For the keys in `#positions`. */
  #traffic(view: CommandView, lane: number): number {
    let now = 0
    for (let i = 0; i < this.#positions.count; i++) now += this.mirror.traffic(hashOf(view, this.#positions, i), lane)
    return now
  }

  /** Whether the mirror knows one of the keys to differ. */
  #isKnown(sample: Sample): boolean {
    const { routes } = this.context
    const view = this.#parse(sample.command)
    findKeys(sample.spec, view, this.#positions)
    for (let i = 0; i < this.#positions.count; i++) {
      const arg = this.#positions.index[i]!
      const from = view.start[arg]!
      const to = view.end[arg]!
      const { route } = routes.find(view.buf, from, to)
      if (this.mirror.has(route.name, sample.database, view.buf.subarray(from, to))) return true
    }
    return false
  }

  #difference(sample: Sample, buf: Buffer, start: number, end: number): Difference | null {
    const primary = sample.primary!
    if (primary.length === end - start && primary.compare(buf, start, end) === 0) return null
    const { compare } = sample.route.config
    return compareReplies(
      sample.spec,
      argsOf(this.#parse(sample.command)),
      decodeReply(primary, 0, primary.length),
      decodeReply(buf, start, end),
      {
        ttlToleranceMs: compare.ttlToleranceMs,
        ignoreJson: compare.ignoreJson,
      },
    )
  }

  #report(sample: Sample, difference: Difference, buf: Buffer, start: number, end: number): void {
    const { route } = sample
    const view = this.#parse(sample.command)
    findKeys(sample.spec, view, this.#positions)
    const arg = this.#positions.index[0]!
    const key = Buffer.from(view.buf.subarray(view.start[arg]!, view.end[arg]!))
    const atMs = Date.now()
    const known = {
      route: route.name,
      pattern: foldKey(printableKey(key)),
      command: sample.spec.name,
      class: difference.class,
    }
    const acknowledged = coveredBy(this.acknowledgements, known, atMs) !== undefined
    this.#count(sample, acknowledged ? 'acknowledged' : 'mismatched')
    const show: (reply: Reply) => string = route.config.compare.reveal === 'values' ? revealReply : maskReply
    this.onFinding(
      {
        route: route.name,
        phase: route.phase,
        command: sample.spec.name,
        database: sample.database,
        key,
        class: difference.class,
        cause: null,
        detail: difference.detail,
        paths: [],
        count: 1,
        acknowledged,
        primary: show(decodeReply(sample.primary!, 0, sample.primary!.length)),
        shadow: show(decodeReply(buf, start, end)),
        atMs,
      },
      route,
    )
  }

  /** The read with the shadow's names; null when its keys lie on several shadows. */
  #renamed(view: CommandView, route: Route): Buffer | null {
    const { routes } = this.context
    if (routes.trivial !== null) return view.buf
    for (let i = 0; i < this.#positions.count; i++) {
      const arg = this.#positions.index[i]!
      const other = routes.find(view.buf, view.start[arg]!, view.end[arg]!).route
      if (other.shadow?.store !== route.shadow?.store) return null
    }
    return rewriteKeys(
      view,
      this.#positions,
      (buf, from, to) => routes.find(buf, from, to).shadow?.apply(buf, from, to) ?? null,
    )
  }

  #parse(bytes: Buffer): CommandView {
    this.#parser.parse(bytes, 0, bytes.length)
    return this.#parser
  }
}

/** One sampled read on its way: first to the shadow, and for a re-check to the primary and the shadow again. */
class Sample implements ReplyOwner {
  readonly #comparer: Comparer
  readonly spec: CommandSpec
  route: Route
  readonly database: number
  readonly command: Buffer
  /** The primary's answer; null while it is asked again. */
  primary: Buffer | null = null
  /** Where and when the primary was asked. */
  lane = 0
  ticket = 0
  attempt = 0
  /** How often writes came across a re-check. */
  disturbances = 0
  dueMs = 0

  constructor(comparer: Comparer, spec: CommandSpec, route: Route, database: number, command: Buffer) {
    this.#comparer = comparer
    this.spec = spec
    this.route = route
    this.database = database
    this.command = command
  }

  /** The same for the same read of the same key. */
  get name(): string {
    return `${this.database} ${this.command.toString('latin1')}`
  }

  get bytes(): number {
    return this.command.length + (this.primary?.length ?? 0)
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (this.primary === null) {
      this.primary = Buffer.from(buf.subarray(start, end))
      this.#comparer.ask(this)
    } else this.#comparer.answered(this, buf, start, end)
  }

  lost(_slot: InFlight, _loss: Loss): void {
    if (this.primary === null) this.#comparer.skip(this, 'shadow')
    else this.#comparer.lost(this)
  }

  timedOut(): void {}
}

function hashOf(view: CommandView, positions: KeyPositions, i: number): number {
  const arg = positions.index[i]!
  return hashBytes(view.buf, view.start[arg]!, view.end[arg]!)
}

function argsOf(view: CommandView): Buffer[] {
  const args: Buffer[] = []
  for (let i = 0; i < view.argc; i++) args.push(Buffer.from(view.buf.subarray(view.start[i]!, view.end[i]!)))
  return args
}

/** Spaced out, so that what is merely late has come by then. */
const RECHECK_AFTER_MS = [50, 250, 1_000]
const MAX_WAITING = 10_000
/** Each costs the primary a read. */
const RECHECKS_PER_SECOND = 1_000
const MAX_DISTURBANCES = 20
const MAX_SAMPLE_BYTES = 1024 * 1024
const MAX_KEPT_BYTES = 64 * 1024 * 1024
