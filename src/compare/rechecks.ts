import { PendingWork } from '../base/pending-work.ts'
import { printableKey } from '../base/printable-key.ts'
import { TokenBucket } from '../base/token-bucket.ts'
import { decodeReply } from '../resp/decode.ts'
import { isShadowAltered, type Route } from '../routing/route.ts'
import { coveredBy } from './acknowledgement.ts'
import type { AlignedRead, ReadListener } from './aligned-read.ts'
import type { AlignedReads } from './aligned-reads.ts'
import type { Comparer } from './comparer.ts'
import type { Difference } from './diff.ts'
import { EvictionWatch } from './eviction.ts'
import type { Finding, MismatchCause } from './finding.ts'
import { KeyCheck, type KeyVerdict } from './key-check.ts'
import { foldKey } from './key-pattern.ts'
import { replyNames } from './reply-names.ts'
import { shownAnswers } from './shown-answers.ts'
import type { SkipReason } from './tally.ts'

/**
 * Differences that are looked at again before anybody hears of them.
 *
 *   first look differs ─▶ 50 ms ─▶ the same read again, aligned ─▶ 250 ms ─▶ again ─▶ 1 s ─▶ again ─▶ its keys as a whole (`KeyCheck`) ─▶ verdict
 *                                     │ equal                                                              │ about to expire on one side
 *                                     ▼                                                                    ▼
 *                                  transient                                                            transient
 *
 * Reads that show the same difference meanwhile join it, and share its verdict: so a rate is a share of reads, and nothing is asked twice.
 */
export class Rechecks {
  readonly #reads: AlignedReads
  readonly #comparer: Comparer
  /** By database and command. */
  readonly #entries = new Map<string, Recheck>()
  readonly #waiting: Recheck[] = []
  /** Confirmed, if the primary does not tell by then that a script has written their keys. */
  readonly #untold = new PendingWork()
  readonly #bucket = new TokenBucket(RECHECKS_PER_SECOND, RECHECKS_PER_SECOND / 10)
  readonly #evictions: EvictionWatch

  constructor(reads: AlignedReads, comparer: Comparer) {
    this.#reads = reads
    this.#comparer = comparer
    this.#evictions = new EvictionWatch(reads.context)
  }

  /** A first look has shown a difference. */
  begin(read: AlignedRead): void {
    const name = `${read.database} ${read.command.toString('latin1')}`
    const known = this.#entries.get(name)
    if (known !== undefined) {
      known.count++
      return
    }
    if (this.#entries.size >= MAX_ENTRIES) return this.#comparer.count(read.route, 'busy')
    const recheck = new Recheck(this, name, read)
    this.#entries.set(name, recheck)
    this.#comparer.tallyOf(read.route.state).rechecking++
    this.#later(recheck)
  }

  /** Called on the clock's tick: sends what is due. */
  run(nowMs: number): void {
    this.#untold.run()
    for (let i = 0; i < this.#waiting.length; ) {
      const recheck = this.#waiting[i]!
      if (recheck.dueMs > nowMs) {
        i++
        continue
      }
      if (!this.#bucket.take(nowMs)) return
      this.#waiting[i] = this.#waiting[this.#waiting.length - 1]!
      this.#waiting.pop()
      recheck.toldBefore = this.#reads.mirror.told.count
      this.#reads.ask(recheck.read)
    }
  }

  answered(recheck: Recheck, buf: Buffer, start: number, end: number): void {
    const { read } = recheck
    const outcome = this.#comparer.compare(read, buf, start, end)
    if (outcome === null) return this.#again(recheck, 'busy')
    const { difference } = outcome
    if (difference === null) return this.#end(recheck, () => this.#comparer.verdict(read, 'transient', recheck.count))
    if (this.#reads.isKnown(read)) return this.#drop(recheck, 'dirty')
    if (recheck.attempt < RECHECK_AFTER_MS.length) return this.#later(recheck)
    recheck.difference = difference
    recheck.shadow = Buffer.from(buf.subarray(start, end))
    this.#checkKeys(recheck, this.#reads.keysIn(read).slice(0, MAX_KEYS_CHECKED), [])
  }

  dropped(recheck: Recheck, reason: SkipReason): void {
    if (reason === 'disturbed') this.#again(recheck, reason)
    else this.#drop(recheck, reason)
  }

  /** Tells of a difference that is not looked at again. */
  reportNow(read: AlignedRead, difference: Difference, cause: MismatchCause | null, shadow: Buffer): void {
    this.#report(read, difference, cause, { key: this.#reads.keysIn(read)[0]!, lackingOn: null }, shadow, 1)
  }

  #later(recheck: Recheck): void {
    recheck.dueMs = this.#reads.context.clock.nowMs + RECHECK_AFTER_MS[recheck.attempt]!
    recheck.attempt++
    this.#waiting.push(recheck)
  }

  /** The same attempt once more. */
  #again(recheck: Recheck, reason: SkipReason): void {
    if (++recheck.disturbances > MAX_DISTURBANCES) return this.#drop(recheck, reason)
    recheck.dueMs = this.#reads.context.clock.nowMs
    this.#waiting.push(recheck)
  }

  #drop(recheck: Recheck, reason: SkipReason): void {
    this.#end(recheck, () => this.#comparer.count(recheck.read.route, reason, recheck.count))
  }

  #end(recheck: Recheck, verdict: () => void): void {
    this.#entries.delete(recheck.name)
    this.#comparer.tallyOf(recheck.read.route.state).rechecking--
    verdict()
  }

  // --- the verdict

  /** One key after the other, until one differs. */
  #checkKeys(recheck: Recheck, keys: readonly Buffer[], seen: readonly KeyVerdict[]): void {
    const [key, ...rest] = keys
    if (key === undefined) return this.#conclude(recheck, seen)
    const { read } = recheck
    new KeyCheck(this.#reads, read.route, read.database, key, (verdict) => {
      if (verdict.outcome === 'differs') this.#conclude(recheck, [verdict])
      else this.#checkKeys(recheck, rest, [...seen, verdict])
    }).start()
  }

  #conclude(recheck: Recheck, verdicts: readonly KeyVerdict[]): void {
    const { read } = recheck
    const differing = verdicts.find(({ outcome }) => outcome === 'differs')
    const isScript = read.spec.compare?.kind === 'script'
    if (verdicts.some(({ expiring, gone }) => expiring || (gone && isLack(recheck.difference!))))
      return this.#end(recheck, () => this.#comparer.verdict(read, 'transient', recheck.count))
    // A script may answer what it likes: only keys that differ are proof.
    if (isScript && differing === undefined) return this.#drop(recheck, 'script')
    if (differing?.lackingOn == null) {
      const isSeen = !SHOW_MORE.has(read.spec.name)
      const isSame = isSeen && verdicts.length > 0 && verdicts.every(({ outcome }) => outcome === 'same')
      return this.#confirm(recheck, differing, isSame ? 'same-data' : null)
    }
    this.#evictions.mayHaveEvicted(read.route, read.database, differing.lackingOn, differing.hadExpiry, (evicted) =>
      this.#confirm(recheck, differing, evicted ? 'eviction' : null),
    )
  }

  /** What differs may be the doing of a script that the primary has not told yet. */
  #confirm(recheck: Recheck, differing: KeyVerdict | undefined, cause: MismatchCause | null): void {
    const isTold = this.#reads.mirror.catchUp(recheck.read.route)
    this.#untold.after(isTold, () => this.#told(recheck, differing, cause))
  }

  #told(recheck: Recheck, differing: KeyVerdict | undefined, cause: MismatchCause | null): void {
    const { read, difference, shadow } = recheck
    // A job has begun meanwhile: its keys are not to be brought back.
    if (isShadowAltered(read.route)) return this.#drop(recheck, 'altered')
    if (this.#reads.areToldSince(recheck.toldBefore, read)) return this.#drop(recheck, 'dirty')
    this.#end(recheck, () => {
      // The route may have been switched while its keys were looked at: `read.route` is the one of the answers.
      const found = differing ?? { key: this.#reads.keysIn(read)[0]!, lackingOn: null }
      const acknowledged = this.#report(read, difference!, cause, found, shadow!, recheck.count)
      this.#comparer.verdict(read, acknowledged ? 'acknowledged' : 'mismatched', recheck.count)
    })
  }

  /** Gives whether it is acknowledged. */
  #report(
    read: AlignedRead,
    difference: Difference,
    cause: MismatchCause | null,
    { key, lackingOn }: Pick<KeyVerdict, 'key' | 'lackingOn'>,
    shadow: Buffer,
    count: number,
  ): boolean {
    const route: Route = read.route
    const names = replyNames(this.#reads.context.routes, read.spec, this.#reads.keysIn(read))
    const shown = shownAnswers(
      read.spec,
      this.#reads.argsOf(read),
      names.ofPrimary(decodeReply(read.primary!, 0, read.primary!.length)),
      names.ofShadow(decodeReply(shadow, 0, shadow.length)),
      route.config.compare,
    )
    const atMs = Date.now()
    const known = {
      route: route.name,
      pattern: foldKey(printableKey(key)),
      command: read.spec.name,
      class: difference.class,
    }
    const acknowledged = coveredBy(this.#comparer.acknowledgements, known, atMs) !== undefined
    const finding: Finding = {
      route: route.name,
      phase: route.phase,
      command: read.spec.name,
      database: read.database,
      key,
      class: difference.class,
      cause,
      lackingOn,
      detail: difference.detail,
      paths: difference.paths ?? [],
      ...shown,
      count,
      acknowledged,
      atMs,
    }
    this.#comparer.report(finding, route)
    return acknowledged
  }
}

/** A difference on its way to a verdict. */
class Recheck implements ReadListener {
  readonly #rechecks: Rechecks
  readonly name: string
  readonly read: AlignedRead
  attempt = 0
  /** How often writes came across. */
  disturbances = 0
  dueMs = 0
  /** How many keys the primary had told before the latest look. */
  toldBefore = 0
  /** Reads that showed it. */
  count = 1
  /** Of the last look, with the shadow's answer. */
  difference: Difference | null = null
  shadow: Buffer | null = null

  constructor(rechecks: Rechecks, name: string, first: AlignedRead) {
    this.#rechecks = rechecks
    this.name = name
    this.read = first.askedBy(this)
  }

  answered(_read: AlignedRead, buf: Buffer, start: number, end: number): void {
    this.#rechecks.answered(this, buf, start, end)
  }

  dropped(_read: AlignedRead, reason: SkipReason): void {
    this.#rechecks.dropped(this, reason)
  }
}

/** Of a key that has gone from both sides since, it was a moment that one had let it go before the other. */
function isLack(difference: Difference): boolean {
  return difference.class === 'missing' || difference.class === 'extra'
}

/** Reads of times of hash fields and of consumer groups, which the look at a key as a whole leaves out. */
const SHOW_MORE: ReadonlySet<string> = new Set(['HTTL', 'HPTTL', 'HEXPIRETIME', 'HPEXPIRETIME', 'XPENDING'])
/** Spaced out, so that what is merely late has come by then. */
const RECHECK_AFTER_MS = [50, 250, 1_000]
const MAX_ENTRIES = 10_000
/** Each costs the primary a read. */
const RECHECKS_PER_SECOND = 1_000
/** At one a tick: two seconds of writes by others without a gap. */
const MAX_DISTURBANCES = 100
const MAX_KEYS_CHECKED = 16
