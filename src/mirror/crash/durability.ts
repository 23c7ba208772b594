import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UnderstudyError } from '../../base/errors.ts'
import type { Config } from '../../config/config.ts'
import { keyspacesIn, routingOf } from '../../config/routing.ts'
import { diskTrouble } from '../../state/database.ts'
import type { Run } from '../../upstream/connection/own-connections.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import { hasDirtyDatabase } from '../dirty/dirty-database.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { DirtyStore } from '../dirty/dirty-store.ts'
import { areSamePlaces, functionPlacesOf, OF_FUNCTIONS } from '../functions/function-places.ts'
import { formerNamesIn, type WasCalled } from '../stores/known-stores.ts'
import { primariesOf, recoverLastRun } from './crash-recovery.ts'
import { FormerDoubts } from './former-doubts.ts'
import { IntentDoubts, messageOf } from './intent-doubts.ts'
import { IntentLog } from './intent-log.ts'
import { IntentTracker } from './intent-tracker.ts'
import { RunMarker } from './run-marker.ts'
import { LOG_LIMITS, type LogLimits, SegmentConversion } from './segment-conversion.ts'

export interface DurabilityParts {
  readonly stateDir: string
  readonly context: DataPathContext
  readonly dirty: DirtySet
  /** All that may have something in flight. */
  readonly stores: () => Iterable<Store>
  /** A command that changes every key is on its way to a shadow. */
  readonly sweeping: () => boolean
  /** Notes the keys of commands that wait at a store, perhaps for ever, and of jobs that write. */
  readonly noteBlocked: (log: IntentLog) => void
  /** False: nothing is noted, and after a crash every mirrored route needs a verify. */
  readonly logged: boolean
  readonly limits?: LogLimits
}

/**
 * What is known of unequal keys survives the process (invariants 4 and 5): the dirty set in `dirty.db`, the keys being written in the intent log.
 *
 *   command ─▶ noted ─▶ primary ─▶ reply ─┬─▶ effect ─▶ shadow acknowledges ─┬─▶ its segment is dropped
 *                                         └─▶ dirty ─▶ committed ────────────┘
 *
 * After a crash everything in the segments is dirty, with reason `crash`, before a client can connect. What cannot be written down (a full disk), or not be read again,
 * makes every mirrored route need a verify: said loudly, and clients are served on.
 */
export class Durability {
  /** Null: switched off. */
  readonly log: IntentLog | null
  /** Stores that were the primaries of the last run's mirrored routes, by route. */
  readonly formerPrimaries: ReadonlyMap<string, string>
  /** What the last run called its stores. */
  readonly wasCalled: WasCalled
  /** Between which places the last run mirrored functions; empty: some of what is in doubt may be of before these were changed; null: it did not, or did not say. */
  readonly formerFunctionPlaces: string | null
  /** What the last run's stores were (`keyspaceOf`), by their names. */
  readonly formerKeyspaces: ReadonlyMap<string, string>
  readonly #parts: DurabilityParts
  readonly #limits: LogLimits
  readonly #store: DirtyStore
  readonly #doubts: IntentDoubts
  readonly #marker: RunMarker
  readonly #tracker: IntentTracker
  readonly #former = new FormerDoubts()
  /** The marker is gone: what is in flight is not noted, or not all of it. */
  #incomplete = false
  #pass: { readonly upTo: number; readonly restores: boolean; made: number } | null = null
  #conversion: SegmentConversion | null = null

  /** Opens the files, and makes dirty what a crash has left in doubt. Throws STATE_UNUSABLE. */
  constructor(parts: DurabilityParts) {
    this.#parts = parts
    this.#limits = parts.limits ?? LOG_LIMITS
    const { stateDir, context, dirty } = parts
    this.#doubts = new IntentDoubts(context, dirty)
    const dir = join(stateDir, 'intent')
    // One without the other: somebody has removed a part of what was known.
    const parted = hasDirtyDatabase(stateDir) !== existsSync(dir)
    this.#store = new DirtyStore(stateDir, dirty, {
      damaged: (error, setAside) =>
        this.#doubts.verifyAll('the file of dirty keys is damaged and was set aside', error, setAside),
      failed: (error) => this.#degrade('dirty keys cannot be written to the state directory', error),
      recovered: () => this.#doubts.say('info', 'dirty keys are written to the state directory again'),
    })
    this.#marker = new RunMarker(dir)
    this.formerPrimaries = new Map([...this.#store.primaries].map(([name, end]) => [name, end.replace(/^\w+ /, '')]))
    this.wasCalled = formerNamesIn(this.#store.routing, routingOf(parts.context.routes.config))
    this.formerKeyspaces = keyspacesIn(this.#store.routing)
    this.formerFunctionPlaces = this.#store.primaries.get(OF_FUNCTIONS) ?? null
    try {
      if (parted) this.#doubts.verifyAll('a part of the state directory is missing', null)
      const recovery = { context, dirty, store: this.#store, marker: this.#marker, doubts: this.#doubts }
      const last = recoverLastRun(dir, recovery)
      this.#marker.started(parts.logged)
      this.log = parts.logged ? this.#newLog(dir, last + 1) : null
    } catch (error) {
      this.#store.close()
      if (error instanceof UnderstudyError) throw error
      throw new UnderstudyError('STATE_UNUSABLE', `${dir} cannot be used: ${messageOf(error)}`, { cause: error })
    }
    this.#tracker = new IntentTracker(parts.stores, parts.sweeping)
  }

  /** Whether what is in doubt would be known after a crash now. */
  get intact(): boolean {
    return !this.#incomplete
  }

  /**
   * These routes come in force now, before the next command, and those of before are in `context`: the next start is to find them. `lacking`: routes whose dirty keys are dropped with that, until `entered`; `rerouted`: pairs of which the second route gets keys of the first. Gives why they must not come in force, for that cannot
   * be written down; null: it is.
   */
  entering(
    config: Pick<Config, 'routes' | 'stores'>,
    lacking: readonly string[] = [],
    rerouted: readonly (readonly [from: string, to: string])[] = [],
  ): string | null {
    const { routes } = this.#parts.context
    const places = functionPlacesOf(routes.config)
    const moved = areSamePlaces(places, functionPlacesOf(config)) ? [] : [OF_FUNCTIONS]
    const over = [...lacking, ...moved]
    const former = this.#former.routesIn(config)
    const primaries = primariesOf(config, [...former, ...this.#former.heirs(rerouted), ...over])
    // They begin to be mirrored: nothing of them can be in doubt the other way round.
    if (places === '' && !former.has(OF_FUNCTIONS)) primaries.delete(OF_FUNCTIONS)
    const error = this.#store.replaceRoutes(primaries, routingOf(config), performance.now())
    if (error !== null) return diskTrouble(error)?.message ?? `dirty.db cannot be written (${error.message})`
    this.#former.inherit(rerouted)
    this.#former.begin(over, routes, this.log)
    return null
  }

  /** They are in force, and no command has gone by them yet: what that has put in doubt is written down as well. */
  entered(): void {
    this.#former.dropped(this.#store)
    this.#store.flush(performance.now(), 0)
  }

  /** What this run's connections are called at the stores, and those of earlier ones. */
  get run(): Run {
    return this.#store.run
  }

  /** `run_id` of the stores of mirrored routes, as the last run knew them. */
  get storeRuns(): ReadonlyMap<string, string> {
    return this.#store.storeRuns
  }

  /** The last failover of those behind Sentinels, as the last run knew it. */
  get storeEpochs(): ReadonlyMap<string, number> {
    return this.#store.storeEpochs
  }

  setStoreRuns(runs: ReadonlyMap<string, string>, epochs: ReadonlyMap<string, number>): void {
    this.#store.setStoreRuns(runs, epochs)
  }

  /** How many keys shadows had evicted, as the last run knew it. */
  get evictedKeys(): ReadonlyMap<string, number> {
    return this.#store.evictedKeys
  }

  setEvictedKeys(counts: ReadonlyMap<string, number>): void {
    this.#store.setEvictedKeys(counts)
  }

  tick(nowMs: number): void {
    this.log?.tick(nowMs)
    this.#store.flush(nowMs)
    this.#advance()
    this.#settleFormer()
  }

  /** Nothing is in flight any more. */
  stop(): void {
    const kept = this.#store.flushAll(performance.now())
    // What the segments hold is acknowledged or in the file. If it is not, they are for the next start to read.
    if (kept) this.log?.end()
    this.#settleFormer()
    this.#store.flushAll(performance.now())
    this.#store.close()
    if (!kept) return
    try {
      this.#marker.stopped()
    } catch (error) {
      this.#doubts.say('error', 'the end of this run could not be noted: the next one will ask for a verify', error)
    }
  }

  /** Of which nothing is on disk any more, they are copied in their direction again. */
  #settleFormer(): void {
    if (!this.#former.settle(this.log, this.#store)) return
    const { config } = this.#parts.context.routes
    this.#store.setRoutes(primariesOf(config, this.#former.routesIn(config)), routingOf(config))
  }

  // --- segments that are done

  #advance(): void {
    const { log } = this
    const healthy = !this.#store.failing && !(log?.failing ?? false)
    if (this.#pass === null) {
      const closed = log?.closed.at(-1)
      const restores = this.#incomplete && healthy
      if (closed === undefined && !restores) return
      // What stands in every segment has to be on disk before the one before is dropped.
      log?.flush()
      this.#pass = { upTo: closed?.number ?? -1, restores, made: -1 }
      this.#tracker.begin()
    }
    const pass = this.#pass
    if (pass.made === -1) {
      if (!this.#tracker.advance()) return this.#relieve()
      pass.made = this.#store.made
    }
    if (!this.#store.holds(pass.made)) return this.#bound()
    log?.drop(pass.upTo)
    this.#pass = null
    this.#conversion = null
    if (pass.restores && healthy) this.#restore()
  }

  /** A shadow that is down holds segments up: what they name is written to the dirty set instead, a little in every tick. */
  #relieve(): void {
    const { log } = this
    if (log === null) return
    this.#bound()
    if (this.#conversion === null) {
      const oldest = log.closed[0]
      if (oldest === undefined || log.closedBytes < this.#limits.convertBytes || !this.#tracker.waitsForShadows) return
      if (oldest.number > this.#pass!.upTo) {
        // All that this pass was for is dirty by now: the next one is for what has come since.
        this.#pass = null
        return
      }
      try {
        this.#conversion = new SegmentConversion(log, oldest.number)
      } catch (error) {
        this.#doubts.verifyAll('a part of the intent log cannot be read', error)
        log.drop(oldest.number)
        return
      }
    }
    const conversion = this.#conversion
    if (conversion.made === -1) {
      if (!conversion.advance(this.#doubts.marking('shadow-down', this.#former.overIn(conversion.number)))) return
      if (!conversion.whole) this.#doubts.verifyAll('a part of the intent log is damaged', null)
      conversion.made = this.#store.made
    }
    if (!this.#store.holds(conversion.made)) return
    log.drop(conversion.number)
    this.#conversion = null
  }

  /** The log never takes more of the disk than this. */
  #bound(): void {
    const { log } = this
    if (log === null || log.closedBytes < this.#limits.maxBytes) return
    this.#degrade('the intent log has become too large', null)
    log.drop(Number.POSITIVE_INFINITY)
    this.#conversion = null
  }

  // --- when something cannot be written or read

  #newLog(dir: string, firstNumber: number): IntentLog {
    const log: IntentLog = new IntentLog(dir, firstNumber, {
      failed: (error) => this.#degrade('the intent log cannot be written', error),
      recovered: () => this.#doubts.say('info', 'the intent log is written again'),
      segmentBegan: () => this.#parts.noteBlocked(log),
    })
    return log
  }

  /** From now on a crash would leave something in doubt that nobody knows of. */
  #degrade(what: string, error: unknown): void {
    this.#doubts.verifyAll(`${what}; clients are served, but a crash now would lose what is being mirrored`, error)
    this.#incomplete = true
    try {
      this.#marker.broken()
    } catch (cause) {
      this.#doubts.say(
        'error',
        'the state directory can neither be written nor cleaned: after a crash nobody will know',
        cause,
      )
    }
  }

  /** All is noted again, and what was not stands in the file as routes to verify. */
  #restore(): void {
    try {
      this.#marker.started(this.#parts.logged)
      this.#incomplete = false
    } catch {
      // Tried again with the next pass.
    }
  }
}
