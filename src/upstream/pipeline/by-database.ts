import type { Pipeline } from './pipeline.ts'

/** Databases beyond these are few and rarely used. */
const LOW = 16

/** Pipelines by the client's database: an array for the usual ones, because every command looks its pipeline up. */
export class ByDatabase {
  readonly #low: (Pipeline | undefined)[] = []
  readonly #high = new Map<number, Pipeline>()

  get(database: number): Pipeline | undefined {
    return database < LOW ? this.#low[database] : this.#high.get(database)
  }

  set(database: number, pipeline: Pipeline): void {
    if (database < LOW) this.#low[database] = pipeline
    else this.#high.set(database, pipeline)
  }

  /** The low ones stay, closed, so that it can be said why. */
  forget(database: number, pipeline: Pipeline): void {
    if (this.#high.get(database) === pipeline) this.#high.delete(database)
  }

  *all(): Generator<Pipeline> {
    for (const pipeline of this.#low) if (pipeline !== undefined) yield pipeline
    yield* this.#high.values()
  }
}
