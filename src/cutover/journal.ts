import type { DatabaseSync } from 'node:sqlite'

/** What was decided about a route, and why: kept in `state.db` for whoever asks later. */
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
}
