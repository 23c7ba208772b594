import type { CoarseClock } from '../base/clock.ts'
import { isInStoresWords } from './connection/connect-error.ts'
import { ByDatabase } from './pipeline/by-database.ts'
import type { Pipeline } from './pipeline/pipeline.ts'

/** The mirror's pipelines to one store: one per database of the clients. */
export class ShadowPipelines {
  readonly #clock: Pick<CoarseClock, 'nowMs'>
  readonly #open: (database: number) => Pipeline
  readonly #byDatabase = new ByDatabase()
  /** Those that the store has refused for good (it has fewer databases), and when: not opened again at once. */
  readonly #refused = new Map<number, { readonly pipeline: Pipeline; readonly atMs: number }>()

  constructor(clock: Pick<CoarseClock, 'nowMs'>, open: (database: number) => Pipeline) {
    this.#clock = clock
    this.#open = open
  }

  /** That of a client's database, opened on first use. */
  to(database: number): Pipeline {
    const found = this.#byDatabase.get(database)
    if (found !== undefined && found.state !== 'closed') return found
    const refused = this.#refused.get(database)
    if (refused !== undefined && this.#clock.nowMs - refused.atMs < REFUSED_MS) return refused.pipeline
    const made = this.#open(database)
    this.#byDatabase.set(database, made)
    return made
  }

  /** Why there is none to that database, in the store's words: it has fewer of them, most likely. Null: it has not said so, or lets it in again. */
  refusal(database: number): string | null {
    const error = this.#refused.get(database)?.pipeline.error ?? null
    return isInStoresWords(error) ? error : null
  }

  /** That of the store's usual database, if it was ever used. */
  get usual(): Pipeline | undefined {
    return this.#byDatabase.get(0)
  }

  /** As `open`, and those that are closed and kept for their error. */
  all(): Generator<Pipeline> {
    return this.#byDatabase.all()
  }

  *open(): Generator<Pipeline> {
    for (const pipeline of this.#byDatabase.all()) if (pipeline.state !== 'closed') yield pipeline
  }

  /** What is on its way down them is told as lost, and is not executed later. Who needs one opens a new one. */
  giveUp(reason: string): void {
    // Who is told of a loss may open another one, for what would have come behind it.
    for (let open = [...this.open()]; open.length > 0; open = [...this.open()])
      for (const pipeline of open) pipeline.close(reason, 'discarded')
    this.#refused.clear()
  }

  opened(database: number): void {
    this.#refused.delete(database)
  }

  closed(database: number, pipeline: Pipeline): void {
    this.#refused.set(database, { pipeline, atMs: this.#clock.nowMs })
    this.#byDatabase.forget(database, pipeline)
  }
}

const REFUSED_MS = 5_000
