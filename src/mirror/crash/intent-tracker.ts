import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'

/**
 * Tells when everything that had been sent to the primaries at a certain moment is done: answered, brought to the shadow and acknowledged there, or in the dirty set. It
 * counts no command: each pipeline answers in order, so it is enough that all has passed which was in it.
 *
 *   begin ─▶ primaries ─▶ primaries again ─▶ shadows ─▶ done: the dirty set as it is now has to be written, and nothing more is in doubt
 *            what was     questions asked    effects of
 *            in flight    on their replies   both
 *
 * Left out are commands that block (`Pipeline.blocks`): they may wait for ever, and whoever keeps the log notes them again.
 */
export class IntentTracker {
  readonly #stores: () => Iterable<Store>
  readonly #sweeping: () => boolean
  #stage: 'primaries' | 'questions' | 'shadows' | 'done' = 'done'
  #awaited: { readonly pipeline: Pipeline; readonly bytes: number }[] = []

  /** `stores`: all that may have something in flight. `sweeping`: a command that changes every key is on its way, which takes several steps. */
  constructor(stores: () => Iterable<Store>, sweeping: () => boolean) {
    this.#stores = stores
    this.#sweeping = sweeping
  }

  /** Only the shadows' answers are waited for: every write so far is known to the mirror. */
  get waitsForShadows(): boolean {
    return this.#stage === 'shadows'
  }

  begin(): void {
    this.#enter('primaries')
  }

  /** True: all that was in flight at `begin` is done. */
  advance(): boolean {
    for (;;) {
      if (this.#stage === 'done') return true
      if (!this.#passed()) return false
      if (this.#stage === 'primaries') this.#enter('questions')
      else if (this.#stage === 'questions') this.#enter('shadows')
      else if (this.#sweeping()) return false
      else this.#stage = 'done'
    }
  }

  #enter(stage: 'primaries' | 'questions' | 'shadows'): void {
    this.#stage = stage
    this.#awaited = []
    for (const store of this.#stores()) {
      const pipelines = stage === 'shadows' ? store.shadows.open() : store.clientPipelines()
      for (const pipeline of pipelines) {
        if (!pipeline.blocks && !pipeline.quiet) this.#awaited.push({ pipeline, bytes: pipeline.totalBytes })
      }
    }
  }

  #passed(): boolean {
    this.#awaited = this.#awaited.filter(
      ({ pipeline, bytes }) => pipeline.settledBytes < bytes && pipeline.state !== 'closed',
    )
    return this.#awaited.length === 0
  }
}
