import { append } from '../../base/append.ts'
import type { Debtor, Place } from './reply-places.ts'
import type { NodeAddress, Redirect } from './topology.ts'

/** What tells commands of one slot apart that must not overtake each other. */
export interface Footprint {
  /** Of its key; 0: it has several, or nobody knows. */
  readonly keyHash: number
  readonly writes: boolean
}

/**
 * What a command has to do with WATCH on a connection of its own: it is one; or it is the transaction that needs what is watched, and is executed there and nowhere else.
 */
export type WatchRole = 'none' | 'watches' | 'needs'

/** One command on its way to a node, or several that stay together (a transaction), until it is answered or lost. */
export class Sent {
  /** In the order in which they came from the pipeline. */
  readonly seq: number
  /** Negative: it goes to a node and not to a slot. */
  readonly slot: number
  readonly footprint: Footprint
  /** Its replies, of which the last one counts. */
  readonly replies: number
  readonly place: Place
  readonly part: number
  /** When it came. */
  readonly sinceMs: number
  readonly role: WatchRole
  /** A view into the pipeline's bytes until `keep`. */
  bytes: Buffer
  /** When it was sent last. */
  sentMs: number
  /** Since when it is refused wherever it is sent; null: it is not, or has not been. */
  refusedMs: number | null = null
  /** How often that was. */
  refusals = 0
  /** Where a node has sent it; null: to the owner of its slot. */
  redirect: Redirect | null = null
  /** What it is answered if it must not be sent again. */
  refusal: Buffer | null = null
  #kept = false

  constructor(
    seq: number,
    slot: number,
    footprint: Footprint,
    bytes: Buffer,
    replies: number,
    place: Place,
    part: number,
    sinceMs: number,
    role: WatchRole = 'none',
  ) {
    this.seq = seq
    this.slot = slot
    this.footprint = footprint
    this.bytes = bytes
    this.replies = replies
    this.place = place
    this.part = part
    this.sinceMs = sinceMs
    this.sentMs = sinceMs
    this.role = role
  }

  /** It outlives the bytes that it was made of. */
  keep(): void {
    if (!this.#kept) this.bytes = Buffer.from(this.bytes)
    this.#kept = true
  }

  /** A node has not executed it. Gives for how long none has: what a node has let wait before (a blocking command whose slot moves away) was refused by none until then. */
  refused(nowMs: number): number {
    if (this.refusedMs === null || nowMs - this.sentMs > HELD_MS) {
      this.refusedMs = nowMs
      this.refusals = 0
    }
    this.refusals++
    return nowMs - this.refusedMs
  }

  /** Their order makes a difference. */
  conflictsWith({ footprint }: Sent): boolean {
    const { keyHash, writes } = this.footprint
    if (!writes && !footprint.writes) return false
    return keyHash === 0 || footprint.keyHash === 0 || keyHash === footprint.keyHash
  }
}

/** What is under way and what waits of the commands of one slot. There is one as long as there is something. */
export class SlotFlow implements Debtor {
  /** Commands that a node has and has not answered. */
  underWay = 0
  /** Those among them that went where a node had pointed. */
  redirected = 0
  /** What is under way went to this one, or was redirected from there. */
  node: NodeAddress | undefined = undefined
  /** Not executed, and to be sent again when nothing is under way. */
  readonly again: Sent[] = []
  /** What came meanwhile, and goes behind that. */
  readonly waiting: Sent[] = []
  timer: NodeJS.Timeout | null = null

  lags(nowMs: number): boolean {
    const oldest = this.again[0] ?? this.waiting[0]
    return oldest !== undefined && nowMs - oldest.sinceMs > LAG_MS
  }

  /** A command has been executed: those before it that were not, and whose order to it makes a difference, must not be executed any more. Takes them out. */
  overtakenBy(executed: Sent): Sent[] {
    if (this.again.length === 0) return []
    const overtaken = this.again.filter((command) => command.seq < executed.seq && command.conflictsWith(executed))
    for (const command of overtaken) this.again.splice(this.again.indexOf(command), 1)
    return overtaken
  }

  /**
   * What is to be sent now, in order. Commands that go to different nodes are executed in any order: one whose order to those before it makes a difference, and what comes behind it, waits for them.
   */
  take(): Sent[] {
    const all = [...this.again.splice(0), ...this.waiting.splice(0)].sort((one, other) => one.seq - other.seq)
    const moved = all.find(({ redirect }) => redirect?.kind === 'MOVED')?.redirect ?? null
    // The others of the slot go where the first one was sent, until the topology says so, too.
    if (moved !== null) for (const command of all) command.redirect ??= moved
    const everywhere = new Set<string>()
    const ofSeveralKeys = new Set<string>()
    const byKey = new Map<number, string>()
    const goesAlong = ({ footprint: { keyHash }, redirect }: Sent): boolean => {
      const to = redirect === null ? '' : `${redirect.kind} ${redirect.host} ${redirect.port}`
      if (keyHash === 0 ? !isOnly(to, everywhere) : !isOnly(to, ofSeveralKeys)) return false
      if ((byKey.get(keyHash) ?? to) !== to) return false
      everywhere.add(to)
      if (keyHash === 0) ofSeveralKeys.add(to)
      else byKey.set(keyHash, to)
      return true
    }
    const stops = all.findIndex((command) => !goesAlong(command))
    if (stops !== -1) append(this.waiting, all.splice(stops))
    return all
  }
}

/** There is nothing else in the set. */
function isOnly(name: string, names: ReadonlySet<string>): boolean {
  return names.size === 0 || (names.size === 1 && names.has(name))
}

/** A refusal that comes later is that of a node which had let the command wait. */
const HELD_MS = 500
/** A node that has owed an answer for so long keeps nobody else waiting. */
export const LAG_MS = 30
