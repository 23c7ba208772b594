import type { DatabaseSync } from 'node:sqlite'

/** What was decided, and why: kept in `state.db` for whoever asks later. */
export class Journal {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** A phase that was entered although gates were closed. */
  forced(
    route: string,
    detail: { from: string; to: string; reason: string; closedGates: readonly string[] },
    nowMs: number,
  ): void {
    this.#database
      .prepare(`INSERT INTO journal (at, kind, route, detail) VALUES (?, 'forced', ?, ?)`)
      .run(nowMs, route, JSON.stringify(detail))
  }

  /** A configuration whose steps were not taken. The last one is kept, for a start that finds it in the file. */
  refused(configHash: string, reason: string, nowMs: number): void {
    this.#database.exec(`DELETE FROM journal WHERE kind = 'refused'`)
    this.#database
      .prepare(`INSERT INTO journal (at, kind, route, detail) VALUES (?, 'refused', '', ?)`)
      .run(nowMs, JSON.stringify({ configHash, reason }))
  }

  /** Why that configuration was refused; null: it is not the one that was refused last. */
  whyRefused(configHash: string): string | null {
    const row = this.#database.prepare(`SELECT detail FROM journal WHERE kind = 'refused'`).get()
    if (row === undefined) return null
    const refused = JSON.parse(String(row['detail'])) as { configHash: string; reason: string }
    return refused.configHash === configHash ? refused.reason : null
  }
}
