import { hashBytes, mix } from '../base/hash.ts'
import { findKeys, KeyPositions, rewriteKeys } from '../command/keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { CommandTable } from '../command/table.ts'
import { CommandParser } from '../resp/command-parser.ts'
import type { CommandView } from '../resp/command-view.ts'
import { isShadowAltered, type Route } from '../routing/route.ts'
import type { RouteTable } from '../routing/route-table.ts'
import type { InFlight } from '../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import type { AlignedRead, ReadPath } from './aligned-read.ts'
import { isArbitrary } from './normalise.ts'
import { isPassing } from './passing-errors.ts'
import type { SkipReason } from './tally.ts'

export interface ComparerContext {
  readonly clock: { readonly nowMs: number }
  readonly commands: CommandTable
  readonly routes: RouteTable
  readonly stores: readonly Store[]
}

/** What the mirror knows, as far as it matters here. */
/** `count`: how many have been told by now. */
interface ToldLately {
  readonly count: number
  hasSince(count: number, database: number, key: Buffer): boolean
}

export interface MirrorView {
  /** The key is known to differ, or to be about to be made equal: its difference is no news. */
  has(route: string, database: number, key: Buffer): boolean
  /** A ticket for a read that leaves on `lane`, -1: writes of another lane are in flight. */
  look(hash: number, lane: number): number
  /** What the ticket still is when no write of another lane has come between. */
  traffic(hash: number, lane: number): number
  /** A number that is the same at two moments only if nobody has written a key with this hash between them. Collisions make it change, too. */
  writes(hash: number): number
  /** Of keys that the primary tells as written, perhaps by a script that does not declare them: each is dirty from then on. */
  readonly told: ToldLately
  /** Whether the primary has told what such scripts have written by now, to be asked until it has; null: it has already. */
  catchUp(route: Route): (() => boolean) | null
  /** A read is about to be pushed on the shadow's pipeline: the script that it calls goes ahead of it. */
  loadForRead(spec: CommandSpec, view: CommandView, route: Route, shadow: Pipeline): void
  /** The primary's pipeline that the key's writes go down. */
  primaryPipeline(route: Route, database: number, hash: number): Pipeline
}

/**
 * Asks the primary and the shadow the same read at the same place of history:
 *
 *   primary's pipeline:  ... w1  read ...  w2
 *   shadow's pipeline:   ... w1' read' ... w2'      queued at the moment when the primary's answer arrives
 *
 * Writes of another connection have no place in this pipeline's history. A read that such a write came across (`ticket`) is dropped as `disturbed`: it
 * could differ without anything being wrong.
 *
 * In `baseline` both questions go to the primary, one behind the other: nothing of this pipeline comes between them.
 */
export class AlignedReads implements ReadPath {
  readonly context: ComparerContext
  readonly mirror: MirrorView
  readonly #parser = new CommandParser()
  readonly #positions = new KeyPositions()
  /** Bytes of primary's replies kept for reads under way. */
  #keptBytes = 0

  constructor(context: ComparerContext, mirror: MirrorView) {
    this.context = context
    this.mirror = mirror
  }

  /** No more can be kept. */
  hasRoomFor(bytes: number): boolean {
    return this.#keptBytes + bytes <= MAX_KEPT_BYTES
  }

  /** A read of the keys at `positions` leaves for the primary on `lane`. Gives its ticket. */
  ticket(view: CommandView, positions: KeyPositions, lane: number): number {
    let ticket = 0
    for (let i = 0; i < positions.count; i++) {
      const one = this.mirror.look(hashOf(view, positions, i), lane)
      if (one === -1) return -1
      ticket = mix(ticket, one)
    }
    return ticket
  }

  /** The same for the keys' hashes. */
  ticketOf(hashes: readonly number[], lane: number): number {
    let ticket = 0
    for (const hash of hashes) {
      const one = this.mirror.look(hash, lane)
      if (one === -1) return -1
      ticket = mix(ticket, one)
    }
    return ticket
  }

  /** Asks the primary; `follow` comes when it has answered. */
  ask(read: AlignedRead): void {
    const { context, mirror } = this
    const view = this.#keysOf(read)
    const positions = this.#positions
    if (positions.count === 0) return this.#drop(read, 'moved')
    const arg = positions.index[0]!
    const { route } = context.routes.find(view.buf, view.start[arg]!, view.end[arg]!)
    // A switch or a reload came between: what was seen then says nothing about now.
    const isOther =
      route.primary.store !== read.route.primary.store ||
      route.phase !== read.route.phase ||
      route.config.compare.baseline !== read.route.config.compare.baseline
    if (isOther || route.shadow === null) return this.#drop(read, 'moved')
    read.route = route
    const primary = mirror.primaryPipeline(route, read.database, hashOf(view, positions, 0))
    if (primary.state !== 'up' || primary.full) return this.#drop(read, 'shadow')
    const bytes = this.forPrimary(read)
    read.primary = null
    read.lane = primary.lane
    read.ticket = this.ticket(view, positions, primary.lane)
    read.ended = false
    primary.push(read, bytes, 0, bytes.length)
    if (route.config.compare.baseline && !read.primaryOnly) primary.push(read, bytes, 0, bytes.length)
  }

  /** The primary has answered (`read.primary`): asks the shadow. */
  follow(read: AlignedRead): void {
    const { route } = read
    const view = this.#keysOf(read)
    if (route.shadow === null || this.#positions.count === 0) return this.#drop(read, 'moved')
    if (this.#positions.patternCount > 0 || isArbitrary(read.spec, view)) return this.#drop(read, 'arbitrary')
    if (read.ticket === -1 || this.#traffic(view, read.lane) !== read.ticket) return this.#drop(read, 'disturbed')
    const primary = read.primary!
    if (isPassing(primary, 0, primary.length)) return this.#drop(read, 'busy')
    if (read.primaryOnly) return read.listener.answered(read, primary, 0, primary.length)
    if (route.config.compare.baseline) return
    const shadow = this.context.stores[route.shadow.store]!.shadows.to(read.database)
    if (shadow.state !== 'up') return this.#drop(read, 'shadow')
    const waiting = Math.max(shadow.ring.length, route.state.backlogCommands)
    if (shadow.full || waiting > MAX_QUEUED) return this.#drop(read, 'busy')
    if (this.isKnown(read)) return this.#drop(read, 'dirty')
    const bytes = this.#forShadow(view, route)
    if (bytes === null) return this.#drop(read, 'split')
    this.#keptBytes += read.bytes
    this.mirror.loadForRead(read.spec, view, route, shadow)
    shadow.push(read, bytes, 0, bytes.length).route = route
    // Waiting for company would count as the shadow's slowness.
    if (read.primaryMs >= 0) shadow.hurry()
  }

  /** The shadow has answered; in `baseline` the primary, again. */
  settled(read: AlignedRead, slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (read.ended) return
    if (read.route.config.compare.baseline) return this.#answeredTwice(read, buf, start, end)
    this.#keptBytes -= read.bytes
    // Also of what was asked before a job began.
    if (isShadowAltered(read.route)) return this.#drop(read, 'altered')
    if (isPassing(buf, start, end)) return this.#drop(read, 'busy')
    if (read.primaryMs >= 0) this.onTimed?.(read, this.context.clock.nowMs - slot.queuedAtMs)
    read.listener.answered(read, buf, start, end)
  }

  /** Told how long the shadow took for a read with `primaryMs`. */
  onTimed: ((read: AlignedRead, shadowMs: number) => void) | null = null

  lost(read: AlignedRead): void {
    if (read.ended) return
    if (read.primary !== null && !read.route.config.compare.baseline) this.#keptBytes -= read.bytes
    this.#drop(read, 'shadow')
  }

  #answeredTwice(read: AlignedRead, buf: Buffer, start: number, end: number): void {
    if (this.#traffic(this.#keysOf(read), read.lane) !== read.ticket) return this.#drop(read, 'disturbed')
    if (isPassing(buf, start, end)) return this.#drop(read, 'busy')
    read.listener.answered(read, buf, start, end)
  }

  #drop(read: AlignedRead, reason: SkipReason): void {
    read.ended = true
    read.listener.dropped(read, reason)
  }

  /** Whether the mirror knows one of the read's keys to differ. */
  isKnown(read: AlignedRead): boolean {
    const { routes } = this.context
    const view = this.#keysOf(read)
    for (let i = 0; i < this.#positions.count; i++) {
      const arg = this.#positions.index[i]!
      const from = view.start[arg]!
      const to = view.end[arg]!
      const { route } = routes.find(view.buf, from, to)
      if (this.mirror.has(route.name, read.database, view.buf.subarray(from, to))) return true
    }
    return false
  }

  /** Since `count` keys had been told the primary has told that one of the read's keys was written. */
  areToldSince(count: number, read: AlignedRead): boolean {
    return this.keysIn(read).some((key) => this.mirror.told.hasSince(count, read.database, key))
  }

  /** The read's arguments; copies. */
  argsOf(read: AlignedRead): Buffer[] {
    const view = this.#parse(read.command)
    const args: Buffer[] = []
    for (let i = 0; i < view.argc; i++) args.push(Buffer.from(view.buf.subarray(view.start[i]!, view.end[i]!)))
    return args
  }

  /** The application's keys in the read, none twice. */
  keysIn(read: AlignedRead): Buffer[] {
    const view = this.#keysOf(read)
    const keys = new Map<string, Buffer>()
    for (let i = 0; i < this.#positions.count; i++) {
      const arg = this.#positions.index[i]!
      const key = view.buf.subarray(view.start[arg]!, view.end[arg]!)
      keys.set(key.toString('latin1'), Buffer.from(key))
    }
    return [...keys.values()]
  }

  /** The read as the primary understands it. */
  forPrimary(read: AlignedRead): Buffer {
    const { routes } = this.context
    const view = this.#keysOf(read)
    if (routes.trivial !== null) return read.command
    return rewriteKeys(
      view,
      this.#positions,
      (buf, from, to) => routes.find(buf, from, to).primary?.apply(buf, from, to) ?? null,
    )
  }

  /** The read with the shadow's names; null when its keys lie on several shadows. */
  #forShadow(view: CommandView, route: Route): Buffer | null {
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

  /** For the keys in `#positions`. */
  #traffic(view: CommandView, lane: number): number {
    let now = 0
    for (let i = 0; i < this.#positions.count; i++)
      now = mix(now, this.mirror.traffic(hashOf(view, this.#positions, i), lane))
    return now
  }

  #keysOf(read: AlignedRead): CommandView {
    const view = this.#parse(read.command)
    findKeys(read.spec, view, this.#positions)
    return view
  }

  #parse(bytes: Buffer): CommandView {
    this.#parser.parse(bytes, 0, bytes.length)
    return this.#parser
  }
}

function hashOf(view: CommandView, positions: KeyPositions, i: number): number {
  const arg = positions.index[i]!
  return hashBytes(view.buf, view.start[arg]!, view.end[arg]!)
}

const MAX_KEPT_BYTES = 64 * 1024 * 1024
/** Commands that already wait for the shadow: beyond it, writes have the way to themselves. */
const MAX_QUEUED = 16 * 1024
