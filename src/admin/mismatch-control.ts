import type { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import { keyOfPrintable, printableKey } from '../base/printable-key.ts'
import type { Acknowledgement } from '../compare/acknowledgement.ts'
import { acknowledgementView, type KnownAcknowledgement } from '../compare/acknowledgements.ts'
import type { Finding } from '../compare/finding.ts'
import type { MismatchFilter, MismatchKey } from '../compare/mismatch.ts'
import { MismatchStore } from '../compare/mismatch-store.ts'
import type { Config } from '../config/config.ts'
import type { Log } from '../observability/log.ts'
import { rolesOf } from '../routing/route.ts'
import type { AcknowledgementView, AcknowledgeRequest, Mismatch, MismatchAccess } from './control.ts'

/**
 * The comparer's findings on the main thread: recorded, listed, acknowledged. The data path is told what is acknowledged, because what it counts as
 * a mismatch is what the rates are made of.
 */
export class MismatchControl implements MismatchAccess {
  readonly #log: Log
  readonly #tell: (acknowledgements: readonly Acknowledgement[]) => void
  #store: MismatchStore | null = null
  #config: Config
  #failed = false
  /** Reads that differed since the last line about them, by route, command and class. */
  readonly #said = new Map<string, { atMs: number; since: number }>()

  constructor(config: Config, log: Log, tell: (acknowledgements: readonly Acknowledgement[]) => void) {
    this.#config = config
    this.#log = log
    this.#tell = tell
  }

  get #opened(): MismatchStore {
    if (this.#store === null) throw new UnderstudyError('INTERNAL', 'the state database is not open')
    return this.#store
  }

  open(database: DatabaseSync): void {
    this.#store = new MismatchStore(database)
    this.#store.sweep(Date.now())
  }

  /** A configuration has come into force. */
  configure(config: Config): void {
    this.#config = config
    this.#opened.acknowledgements.configure(config.routes.flatMap(configuredAcknowledgements))
    this.#tell(this.#opened.acknowledgements.standing(Date.now()))
  }

  /** A finding of the data path, recorded; null when the database cannot take it (a full disk), which is said once. */
  record(finding: Finding): Mismatch | null {
    this.#say(finding)
    try {
      const mismatch = this.#opened.add(finding)
      this.#failed = false
      return mismatch
    } catch (error) {
      if (!this.#failed)
        this.#log.error('a mismatch could not be recorded in state.db; the counters go on', {
          error: error instanceof Error ? error.message : String(error),
        })
      this.#failed = true
      return null
    }
  }

  /** One line a minute for what is probably one cause: a store that has lost its data would fill the log otherwise. */
  #say({ route, command, class: of, count, acknowledged, atMs }: Finding): void {
    if (acknowledged) return
    const name = `${route} ${command} ${of}`
    let said = this.#said.get(name)
    if (said === undefined) this.#said.set(name, (said = { atMs: Number.NEGATIVE_INFINITY, since: 0 }))
    said.since += count
    // Later than now: the clock was set back since, and nothing would be said until it has come so far again.
    if (atMs >= said.atMs && atMs - said.atMs < SAY_EVERY_MS) return
    this.#log.warn('mismatch confirmed', { route, command, class: of, count: said.since })
    said.atMs = atMs
    said.since = 0
  }

  /** Since the process started: what the metric shows. */
  totals(route: string): ReturnType<MismatchStore['totals']> {
    return this.#opened.totals(route)
  }

  async list(query: MismatchFilter): Promise<Mismatch[]> {
    this.#refuseUnknown(query.route)
    return this.#opened.list(query, Date.now())
  }

  async keys(query: MismatchFilter): Promise<Iterable<MismatchKey>> {
    this.#refuseUnknown(query.route)
    return this.#opened.keys(query, Date.now())
  }

  /** Keys of a route that were found to differ, by the application's names, with the end that was the primary then; those that are acknowledged too. */
  keysOf(route: string): { database: number; key: Buffer; primary: 'source' | 'target' }[] {
    return [...this.#opened.keys({ route }, Date.now())].map(({ database, key, phase }) => ({
      database,
      key: keyOfPrintable(key),
      primary: rolesOf(phase).primary,
    }))
  }

  /** Keys that are equal on both sides, by the application's names: what was found of them before `sinceMs` is over. */
  mended(route: string, database: number, keys: readonly Buffer[], sinceMs: number): void {
    this.#opened.mended(route, database, keys.map(printableKey), sinceMs, Date.now())
  }

  /** How many differences of a route are listed that nobody has mended or acknowledged. */
  unresolved(route: string): number {
    return this.#opened
      .list({ route, acknowledged: false, limit: UNRESOLVED_LIMIT }, Date.now())
      .filter(({ cause }) => cause !== 'baseline').length
  }

  async acknowledgements(): Promise<AcknowledgementView[]> {
    return this.#opened.acknowledgements.standing(Date.now()).map(acknowledgementView)
  }

  async acknowledge(request: AcknowledgeRequest): Promise<AcknowledgementView> {
    const view = this.#opened.acknowledgements.make(this.#wanted(request), request.reason, Date.now())
    this.#tell(this.#opened.acknowledgements.standing(Date.now()))
    return view
  }

  async revoke(id: number): Promise<void> {
    if (!this.#opened.acknowledgements.revoke(id))
      throw new UnderstudyError('NOT_FOUND', `there is no acknowledgement ${id}`)
    this.#tell(this.#opened.acknowledgements.standing(Date.now()))
  }

  #isConfigured(route: string): boolean {
    return this.#config.routes.some(({ name }) => name === route)
  }

  /** No findings because of a misspelt name would look like no findings. A route that was taken out may still have some. */
  #refuseUnknown(route: string | undefined): void {
    if (route === undefined || this.#isConfigured(route)) return
    if (this.#opened.list({ route, limit: 1 }, Date.now()).length === 0) throw noSuchRoute(route)
  }

  #wanted({ mismatch, route, pattern, command, class: of, until }: AcknowledgeRequest): Acknowledgement {
    const untilMs = until ?? null
    if (untilMs !== null && untilMs <= Date.now())
      throw new UnderstudyError('USAGE', `${new Date(untilMs).toISOString()} is past: give a time to come, or none`)
    if (mismatch !== undefined) {
      const found = this.#opened.byId(mismatch, Date.now())
      if (found === undefined) throw new UnderstudyError('NOT_FOUND', `there is no mismatch ${mismatch}`)
      return { route: found.route, pattern: found.pattern, command: found.command, class: found.class, untilMs }
    }
    if (route === undefined) throw new UnderstudyError('USAGE', 'body: give mismatch, or route')
    if (!this.#isConfigured(route)) throw noSuchRoute(route)
    return { route, pattern: pattern ?? null, command: command?.toUpperCase() ?? null, class: of ?? null, untilMs }
  }
}

const SAY_EVERY_MS = 60_000
/** As many as are kept. */
const UNRESOLVED_LIMIT = 2_000

function noSuchRoute(route: string): UnderstudyError {
  return new UnderstudyError('NOT_FOUND', `no route is called '${route}'`)
}

function configuredAcknowledgements({ name, compare }: Config['routes'][number]): KnownAcknowledgement[] {
  return compare.acknowledge.map((known) => ({ ...known, id: null, route: name, createdMs: null }))
}
