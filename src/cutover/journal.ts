import type { DatabaseSync } from 'node:sqlite'
import { inTransaction } from '../state/database.ts'
import type { OwedWrites } from './owed-writes.ts'

/** What was decided, and why: kept in `state.db` for whoever asks later. */
export class Journal {
  readonly #database: DatabaseSync
  readonly #owed: OwedWrites

  constructor(database: DatabaseSync, owed: OwedWrites) {
    this.#database = database
    this.#owed = owed
  }

  /** A phase that was entered although gates were closed. */
  forced(
    route: string,
    detail: { from: string; to: string; reason: string; closedGates: readonly string[] },
    nowMs: number,
  ): void {
    this.#owed.write(() => this.#insert('forced', route, detail, nowMs))
  }

  /** A configuration whose steps were not taken. The last one is kept, for a start that finds it in the file. */
  refused(configHash: string, reason: string, nowMs: number): void {
    this.#owed.write(() =>
      inTransaction(this.#database, () => {
        this.#forgetRefused()
        this.#insert('refused', '', { configHash, reason }, nowMs)
      }),
    )
  }

  /** A configuration is in force: what was refused before is not what was decided last. */
  entered(): void {
    this.#owed.write(() => this.#forgetRefused())
  }

  /** Why that configuration was refused; null: it is not the one that was refused last, or another came in force since. */
  whyRefused(configHash: string): string | null {
    const row = this.#database.prepare(`SELECT detail FROM journal WHERE kind = 'refused'`).get()
    if (row === undefined) return null
    const refused = JSON.parse(String(row['detail'])) as { configHash: string; reason: string }
    return refused.configHash === configHash ? refused.reason : null
  }

  #forgetRefused(): void {
    this.#database.exec(`DELETE FROM journal WHERE kind = 'refused'`)
  }

  #insert(kind: 'forced' | 'refused', route: string, detail: object, nowMs: number): void {
    this.#database
      .prepare('INSERT INTO journal (at, kind, route, detail) VALUES (?, ?, ?, ?)')
      .run(nowMs, kind, route, JSON.stringify(detail))
  }
}
