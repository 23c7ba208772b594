import { hashBytes } from '../base/hash.ts'
import type { Config, Phase, RouteConfig } from '../config/config.ts'
import { serverOf } from '../config/keyspace.ts'
import type { KeyPattern } from '../config/patterns/pattern.ts'
import type { KeyRename } from '../config/patterns/rename.ts'
import { COMMAND_DURATION_BOUNDS } from '../observability/bounds.ts'
import { Histogram } from '../observability/histogram.ts'
import { type CursorMarks, marksOf } from './element-cursor.ts'

/** One end of a route in its present role. */
export interface End {
  /** Index in the table's `stores`. */
  readonly store: number
  readonly storeName: string
  /** The database of the server that this is, whatever the store is called (`keyspaceOf`). */
  readonly keyspace: string
}

/**
 * A route as one generation of the table knows it: immutable. What has to outlive a generation (what is in flight, whether commands are held,
 * counters) is in `state`, shared by all generations of a route of that name.
 */
export interface Route {
  readonly index: number
  readonly name: string
  readonly phase: Phase
  readonly primary: End
  readonly shadow: End | null
  /** `read-target`: reads are answered by the shadow, and by the primary when it cannot. */
  readonly readsShadow: boolean
  /** False: no key at all is sampled. */
  readonly samples: boolean
  /** A key is sampled when its hash is below this, 0 .. 2^32: so 1 % is inside 5 %. */
  readonly sampleBelow: number
  /** Keys that are sampled whatever their hash says, and never; empty where nothing is compared. */
  readonly always: readonly KeyPattern[]
  readonly never: readonly KeyPattern[]
  /** Of the scans of its keys' elements. */
  readonly cursorMarks: CursorMarks
  readonly config: RouteConfig
  readonly state: RouteState
}

/** A key pattern of a route with what becomes of a key that matches it, per role. Null: the name stays. */
export interface KeyRule {
  readonly route: Route
  readonly pattern: KeyPattern
  readonly primary: KeyRename | null
  readonly shadow: KeyRename | null
}

/** What of a route changes while it works. Plain numbers: the hot path adds to them, the metrics read them when they are scraped. */
export class RouteState {
  readonly name: string
  /** Commands sent to the primary whose replies are owed (those that block there are counted apart, see `proxy/blocking/blocking.ts`). */
  inFlight = 0
  /** New commands may have to wait: all of them (`switching`), or writes to `heldKeys`. One flag for both, so that the way of a command looks at one. */
  held = false
  /** A switch is under way. */
  switching = false
  /** Hashes of keys that are being copied while nobody writes to them. */
  readonly heldKeys = new Set<number>()
  /**
   * The shadow was the primary before, in this process, and has been kept up ever since: but for keys of which the mirror knows it holds what the primary holds (`kept-up.ts`). Not any more once the route has needed a verify, or a job has changed
   * keys there past the mirror.
   */
  shadowKeptUp = false
  /** A job has deleted keys of the source, or put some back there, past the mirror, and neither a backfill nor a verify without differences has come since (`Completeness.isSourceAltered`). */
  sourceAltered = false
  /** The shadow holds every key that the primary holds, but for dirty ones: the main thread has said so of the present ends (`Completeness.completeShadows`). */
  shadowComplete = false

  // Commands by role and outcome.
  primaryOk = 0
  primaryError = 0
  /** Of them, those that say nothing about the store (`proxy/forward/ordinary-error.ts`). */
  primaryOrdinaryError = 0
  /** Of the others, how many had which code (`proxy/forward/error-codes.ts`). */
  readonly primaryErrorCodes: Map<string, number> = new Map()
  primaryTimeout = 0
  primaryLost = 0
  shadowOk = 0
  shadowError = 0
  shadowTimeout = 0
  shadowLost = 0

  readonly primaryTimes: Histogram = new Histogram(COMMAND_DURATION_BOUNDS)
  readonly shadowTimes: Histogram = new Histogram(COMMAND_DURATION_BOUNDS)

  // Mirror.
  backlogCommands = 0
  backlogBytes = 0
  applied = 0
  failed = 0
  copied = 0
  dirtied = 0
  dropped = 0
  /** Keys whose writes were held for a copy, how often the copy was not read in time, and for how long in all. */
  keyHolds = 0
  keyHoldsInVain = 0
  keyHeldMs = 0
  /** Calls of scripts and functions that write to keys which they do not declare, or whose source has not been seen. */
  undeclared = 0

  // Compare.
  compared = 0
  matched = 0
  mismatched = 0
  transient = 0
  skipped = 0

  /** Commands that the cluster at the other end would answer CROSSSLOT, by name: how many, and when the last one came (the coarse clock's ms). */
  readonly crossSlots: Map<string, { readonly count: number; readonly lastMs: number }> = new Map()

  fallbackMiss = 0
  fallbackError = 0
  fallbackTimeout = 0
  fallbackOpen = 0

  constructor(name: string) {
    this.name = name
  }

  holdAll(): void {
    this.switching = true
    this.held = true
  }

  /** Before a job begins to, and when what it did is made good. */
  setSourceAltered(isAltered: boolean): void {
    if (isAltered && !this.sourceAltered) this.shadowKeptUp = false
    this.sourceAltered = isAltered
  }

  releaseAll(): void {
    this.switching = false
    this.held = this.heldKeys.size > 0
  }

  holdKey(hash: number): void {
    this.heldKeys.add(hash)
    this.held = true
  }

  releaseKey(hash: number): void {
    this.heldKeys.delete(hash)
    this.held = this.switching || this.heldKeys.size > 0
  }
}

/** Which end has which role in a phase (`1-product.md`, the table of phases). */
export function rolesOf(phase: Phase): { primary: 'source' | 'target'; shadow: 'source' | 'target' | null } {
  switch (phase) {
    case 'passthrough':
      return { primary: 'source', shadow: null }
    case 'mirror':
    case 'shadow':
    case 'read-target':
      return { primary: 'source', shadow: 'target' }
    case 'switched':
      return { primary: 'target', shadow: 'source' }
    case 'done':
      return { primary: 'target', shadow: null }
  }
}

/** That the shadow lacks keys, or has others, was a job's intention: comparing with it says nothing. */
export function isShadowAltered({ state, phase }: Route): boolean {
  return state.sourceAltered && rolesOf(phase).shadow === 'source'
}

/** The same in every sidecar of one configuration, and after a restart. */
export function cursorMarksOf({ phase, source, target }: RouteConfig, stores: Config['stores']): CursorMarks {
  const [from, to] = [source, target ?? source].map(({ store }) => {
    const config = stores[store]
    return Buffer.from(config === undefined ? store : serverOf(config))
  })
  const { source: atSource, target: atTarget } = marksOf(
    hashBytes(from!, 0, from!.length),
    hashBytes(to!, 0, to!.length),
  )
  if (from!.equals(to!)) return { primary: atSource, other: 0, plainIsOther: false }
  return rolesOf(phase).primary === 'source'
    ? { primary: atSource, other: atTarget, plainIsOther: false }
    : { primary: atTarget, other: atSource, plainIsOther: true }
}

/** Phases in which sampled reads are compared. */
export function comparesIn(phase: Phase): boolean {
  return phase === 'shadow' || phase === 'read-target' || phase === 'switched'
}

/** Whether reads of the key `buf[start .. end)` are compared; `hash`: of the key, so that every sidecar and both directions look at the same keys. */
export function isSampled(route: Route, hash: number, buf: Buffer, start: number, end: number): boolean {
  const { always, never } = route
  for (let i = 0; i < never.length; i++) if (never[i]!.matches(buf, start, end)) return false
  if (hash < route.sampleBelow) return true
  for (let i = 0; i < always.length; i++) if (always[i]!.matches(buf, start, end)) return true
  return false
}
