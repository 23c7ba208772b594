import type { CommandSpec } from '../command/spec.ts'
import type { Route } from '../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/pipeline/in-flight.ts'
import type { SkipReason } from './tally.ts'

/** Who asked. Exactly one of the two is called for each read, once. */
export interface ReadListener {
  /** Both have answered: the primary's answer is `read.primary`, the other's `buf[start .. end)`, a view. */
  answered(read: AlignedRead, buf: Buffer, start: number, end: number): void
  dropped(read: AlignedRead, reason: SkipReason): void
}

/** Told of each step of a read, and takes it to the next one (`AlignedReads`). */
export interface ReadPath {
  /** The primary has answered (`read.primary`). */
  follow(read: AlignedRead): void
  /** The other one has answered, and `primary` is there already. */
  settled(read: AlignedRead, slot: InFlight, buf: Buffer, start: number, end: number): void
  lost(read: AlignedRead): void
}

/** One read on its way to the primary and then to the other store, so that both answer it at the same place of the one history. */
export class AlignedRead implements ReplyOwner {
  readonly #path: ReadPath
  readonly listener: ReadListener
  readonly spec: CommandSpec
  route: Route
  readonly database: number
  /** As the application names its keys. */
  readonly command: Buffer
  /** The primary's answer; null until it has come. */
  primary: Buffer | null = null
  /** Where and when the primary was asked. */
  lane = 0
  ticket = 0
  /** The listener has been told. */
  ended = false
  /** Ms that the primary took; -1: not to be compared. */
  primaryMs = -1
  /** Only the primary is asked: `answered` gets its answer. */
  readonly primaryOnly: boolean

  constructor(
    path: ReadPath,
    listener: ReadListener,
    spec: CommandSpec,
    route: Route,
    database: number,
    command: Buffer,
    primaryOnly = false,
  ) {
    this.#path = path
    this.listener = listener
    this.spec = spec
    this.route = route
    this.database = database
    this.command = command
    this.primaryOnly = primaryOnly
  }

  get bytes(): number {
    return this.command.length + (this.primary?.length ?? 0)
  }

  /** The same read for somebody else. */
  askedBy(listener: ReadListener): AlignedRead {
    return new AlignedRead(this.#path, listener, this.spec, this.route, this.database, this.command)
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (this.primary !== null) return this.#path.settled(this, slot, buf, start, end)
    this.primary = Buffer.from(buf.subarray(start, end))
    this.#path.follow(this)
  }

  lost(_slot: InFlight, _loss: Loss): void {
    this.#path.lost(this)
  }

  timedOut(): void {}

  /** The nodes of a cluster have read at several moments: as if somebody had written between them. */
  detached(): void {
    this.ticket = -1
  }
}
