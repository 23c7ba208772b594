import { TokenBucket } from '../base/token-bucket.ts'
import type { KeyPositions } from '../command/keys.ts'
import { asReadOnlyCall } from '../command/scripts/read-only-script.ts'
import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { decodeReply } from '../resp/decode.ts'
import { isShadowAltered, type Route, type RouteState } from '../routing/route.ts'
import type { Acknowledgement } from './acknowledgement.ts'
import { AlignedRead, type ReadListener } from './aligned-read.ts'
import { AlignedReads, type ComparerContext, type MirrorView } from './aligned-reads.ts'
import { compareAnswers, type Outcome } from './diff.ts'
import type { Finding } from './finding.ts'
import { Rechecks } from './rechecks.ts'
import { replyNames } from './reply-names.ts'
import { RouteTally, type SkipReason, type Verdict } from './tally.ts'

/**
 * Asks the shadow the sampled reads of clients, at the same place of the one history (`AlignedReads`), and compares the answers.
 *
 *   primary's reply arrives ─▶ the same read joins the shadow's queue, behind every effect that came before it
 *   shadow's reply arrives  ─▶ equal bytes, or equal after normalising: match
 *                              else: looked at again, up to three times, spaced out (`Rechecks`)
 *                                      equal then: transient
 *                                      still different: confirmed ─▶ onFinding
 *
 * Every sample has one end: one of the verdicts, or dropped for a reason. Samples may be dropped, never a write, and never at a client's cost.
 */
export class Comparer implements ReadListener {
  readonly #reads: AlignedReads
  readonly #rechecks: Rechecks
  readonly #context: ComparerContext
  readonly #onFinding: (finding: Finding, route: Route) => void
  readonly #tallies = new Map<RouteState, RouteTally>()
  readonly #timed = new TokenBucket(TIMED_PER_SECOND, TIMED_PER_SECOND / 10)
  readonly #noted = new TokenBucket(NOISE_PER_SECOND, NOISE_PER_SECOND)
  /** Bytes that may still be decoded before the next tick: comparing must not take the thread from the clients. */
  #decodeBytes = DECODE_BYTES_PER_TICK
  acknowledgements: readonly Acknowledgement[] = []

  constructor(context: ComparerContext, mirror: MirrorView, onFinding: (finding: Finding, route: Route) => void) {
    this.#context = context
    this.#onFinding = onFinding
    this.#reads = new AlignedReads(context, mirror)
    this.#rechecks = new Rechecks(this.#reads, this)
    this.#reads.onTimed = ({ route, primaryMs }, shadowMs) => {
      const tally = this.tallyOf(route.state)
      tally.primaryTimes.record(primaryMs / 1000)
      tally.shadowTimes.record(shadowMs / 1000)
    }
  }

  /** The counts of a route, kept over reloads. */
  tallyOf(state: RouteState): RouteTally {
    let tally = this.#tallies.get(state)
    if (tally === undefined) this.#tallies.set(state, (tally = new RouteTally()))
    return tally
  }

  /** A sampled read leaves for the primary on `lane`. Gives its ticket, for `sampled`. */
  asked(view: CommandView, positions: KeyPositions, lane: number): number {
    return this.#reads.ticket(view, positions, lane)
  }

  /** The same for the keys' hashes. */
  askedFor(hashes: readonly number[], lane: number): number {
    return this.#reads.ticketOf(hashes, lane)
  }

  /**
   * A sampled read's reply has come from the primary: `bytes[start .. end)` is the application's command. `lane`, `ticket`: where it was asked and what `asked` gave. `primaryMs`: how
   * long it took; -1: not to be compared.
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
    lane: number,
    ticket: number,
    primaryMs: number,
  ): void {
    if (isShadowAltered(route) && !route.config.compare.baseline) return this.count(route, 'altered')
    if (ticket === -1) return this.count(route, 'disturbed')
    // A cluster cannot answer it at all, and that says nothing about the keys.
    if (reply[from] === MINUS && reply.toString('latin1', from, from + CROSSSLOT.length) === CROSSSLOT)
      return this.count(route, 'split')
    const size = end - start + to - from
    if (size > MAX_SAMPLE_BYTES) return this.count(route, 'large')
    if (!this.#reads.hasRoomFor(size)) return this.count(route, 'busy')
    const frame = Buffer.from(bytes.subarray(start, end))
    // Sent as FCALL, perhaps: the other store need not have the same function, and must not be written to.
    const command = spec.name === 'FCALL_RO' ? asReadOnlyCall(frame) : frame
    const read = new AlignedRead(this.#reads, this, spec, route, database, command)
    read.primary = Buffer.from(reply.subarray(from, to))
    read.lane = lane
    read.ticket = ticket
    this.tallyOf(route.state).underWay++
    // A second question to the primary would be compared with what was asked for by then: nothing is known of that.
    if (route.config.compare.baseline) return this.#reads.ask(read)
    if (primaryMs >= 0 && this.#timed.take(this.#context.clock.nowMs)) read.primaryMs = primaryMs
    this.#reads.follow(read)
  }

  /** Called on the clock's tick. */
  run(nowMs: number): void {
    this.#decodeBytes = DECODE_BYTES_PER_TICK
    this.#rechecks.run(nowMs)
  }

  // --- a first look

  answered(read: AlignedRead, buf: Buffer, start: number, end: number): void {
    this.tallyOf(read.route.state).underWay--
    const outcome = this.compare(read, buf, start, end)
    if (outcome === null) return this.count(read.route, 'busy')
    if (read.route.config.compare.baseline) return this.#baseline(read, outcome, buf, start, end)
    if (outcome.difference === null) return this.verdict(read, outcome.ignored ? 'ignored' : 'matched', 1)
    if (outcome.notThere) return this.count(read.route, 'script')
    // A write before it failed on the shadow: that is known by now, and being mended.
    if (this.#reads.isKnown(read)) return this.count(read.route, 'dirty')
    this.#rechecks.begin(read)
  }

  dropped(read: AlignedRead, reason: SkipReason): void {
    this.tallyOf(read.route.state).underWay--
    this.count(read.route, reason)
  }

  // --- for the re-checks

  /** null: too much was decoded in this tick already. */
  compare(read: AlignedRead, buf: Buffer, start: number, end: number): Outcome | null {
    const primary = read.primary!
    if (primary.length === end - start && primary.compare(buf, start, end) === 0) return SAME
    this.#decodeBytes -= primary.length + end - start
    if (this.#decodeBytes < 0) return null
    const { compare } = read.route.config
    const args = this.#reads.argsOf(read)
    const names = replyNames(this.#context.routes, read.spec, this.#reads.keysIn(read))
    return compareAnswers(
      read.spec,
      args,
      names.ofPrimary(decodeReply(primary, 0, primary.length)),
      names.ofShadow(decodeReply(buf, start, end)),
      compare,
    )
  }

  /** A sample has come to its end. `count`: of reads that showed the same. */
  verdict({ route, spec }: AlignedRead, verdict: Verdict, count: number): void {
    const { state } = route
    state.compared += count
    if (verdict === 'matched' || verdict === 'ignored') state.matched += count
    else if (verdict === 'transient') state.transient += count
    else if (verdict === 'mismatched') state.mismatched += count
    this.tallyOf(state).count(spec.name, verdict, count, this.#context.clock.nowMs)
  }

  /** `count` samples of the route are dropped. */
  count({ state }: Route, reason: SkipReason, count = 1): void {
    state.skipped += count
    this.tallyOf(state).skipped[reason] += count
  }

  report(finding: Finding, route: Route): void {
    this.#onFinding(finding, route)
  }

  #baseline(read: AlignedRead, { difference }: Outcome, buf: Buffer, start: number, end: number): void {
    const { baseline } = this.tallyOf(read.route.state)
    baseline.compared++
    if (difference === null) return
    baseline.differed++
    if (this.#noted.take(this.#context.clock.nowMs)) {
      this.#rechecks.reportNow(read, difference, 'baseline', Buffer.from(buf.subarray(start, end)))
    }
  }
}

const SAME: Outcome = { difference: null, ignored: false, notThere: false }
const CROSSSLOT = '-CROSSSLOT '
const MAX_SAMPLE_BYTES = 1024 * 1024
/** 100 MB a second, of answers that are not equal byte by byte. */
const DECODE_BYTES_PER_TICK = 2 * 1024 * 1024
/** Reads whose time on both sides is compared: their question to the shadow leaves at once, which costs a system call. */
const TIMED_PER_SECOND = 200
/** Baseline findings told to the main thread; all are counted. */
const NOISE_PER_SECOND = 20
