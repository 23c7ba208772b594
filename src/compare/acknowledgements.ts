import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { MismatchClass } from '../config/config.ts'
import { type Acknowledgeable, type Acknowledgement, coveredBy } from './acknowledgement.ts'
import type { AcknowledgementView } from './mismatch.ts'

/** An acknowledgement with what people want to know of it. */
export type KnownAcknowledgement = Acknowledgement & {
  /** null: of the configuration file. */
  readonly id: number | null
  readonly reason: string
  readonly createdMs: number | null
}

/**
 * What is known to differ and is to be ignored: what people have acknowledged over HTTP, which stands in `state.db` and survives a restart, and what the configuration file acknowledges, which is
 * given anew by `configure`. Times are of the wall clock.
 */
export class Acknowledgements {
  #configured: readonly KnownAcknowledgement[] = []
  /** What stands in the table. */
  #made: readonly KnownAcknowledgement[] = []
  readonly #select: StatementSync
  readonly #insert: StatementSync
  readonly #delete: StatementSync
  readonly #deletePast: StatementSync

  constructor(database: DatabaseSync) {
    this.#select = database.prepare('SELECT * FROM acknowledgements ORDER BY id')
    this.#insert = database.prepare(
      'INSERT INTO acknowledgements (route, pattern, command, class, until_ms, reason, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)',
    )
    this.#delete = database.prepare('DELETE FROM acknowledgements WHERE id = ?')
    this.#deletePast = database.prepare('DELETE FROM acknowledgements WHERE until_ms < ?')
    this.#read()
  }

  /** Those of the configuration file. */
  configure(acknowledgements: readonly KnownAcknowledgement[]): void {
    this.#configured = acknowledgements
  }

  /** Every one that holds at `nowMs`: the file's first. */
  standing(nowMs: number): KnownAcknowledgement[] {
    return [...this.#configured, ...this.#made].filter(({ untilMs }) => untilMs === null || untilMs > nowMs)
  }

  /** The first that covers `found` at `nowMs`; undefined: none does. */
  covering(found: Acknowledgeable, nowMs: number): KnownAcknowledgement | undefined {
    return coveredBy([...this.#configured, ...this.#made], found, nowMs)
  }

  make(known: Acknowledgement, reason: string, nowMs: number): AcknowledgementView {
    const { route, pattern, command, class: of, untilMs } = known
    const { lastInsertRowid } = this.#insert.run(route, pattern, command, of, untilMs, reason, nowMs)
    this.#read()
    return acknowledgementView({ ...known, id: Number(lastInsertRowid), reason, createdMs: nowMs })
  }

  /** False: there is none of this number. */
  revoke(id: number): boolean {
    const found = this.#delete.run(id).changes > 0
    this.#read()
    return found
  }

  /** Lets those go whose time was over before `oldestMs`. */
  sweep(oldestMs: number): void {
    this.#deletePast.run(oldestMs)
  }

  #read(): void {
    const rows = this.#select.all() as unknown as AcknowledgementRow[]
    this.#made = rows.map(acknowledgementOf)
  }
}

export function acknowledgementView(known: KnownAcknowledgement): AcknowledgementView {
  const { id, route, pattern, command, class: of, untilMs, reason, createdMs } = known
  const until = untilMs === null ? null : isoTime(untilMs)
  const createdAt = createdMs === null ? null : isoTime(createdMs)
  return { id, route, pattern, command, class: of, until, reason, createdAt }
}

interface AcknowledgementRow {
  id: number
  route: string
  pattern: string | null
  command: string | null
  class: MismatchClass | null
  until_ms: number | null
  reason: string
  created_ms: number
}

function acknowledgementOf(row: AcknowledgementRow): KnownAcknowledgement {
  const { id, route, pattern, command, class: of, until_ms: untilMs, reason, created_ms: createdMs } = row
  return { id, route, pattern, command, class: of, untilMs, reason, createdMs }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
