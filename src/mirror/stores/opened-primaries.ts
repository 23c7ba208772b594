import type { Route } from '../../routing/route.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from '../context.ts'

/** A store that has refused a connection for good is asked for another one after so long. */
const REFUSED_MS = 5_000

/** Connections to primaries that dirty keys wait for. */
export class OpenedPrimaries {
  readonly #context: DataPathContext
  /** By store and database, and since when: until they are up. */
  readonly #opening = new Map<string, { readonly pipeline: Pipeline; readonly atMs: number }>()

  constructor(context: DataPathContext) {
    this.#context = context
  }

  /** The primary's pipeline that clients share, on its way up. One that was refused lately (the user may not SELECT the database, say) is left closed: nobody waits for it, as a client would who is to hear the store's own words. */
  open({ store, storeName }: Route['primary'], database: number): Pipeline {
    const { nowMs } = this.#context.clock
    const name = nameOf(storeName, database)
    const opening = this.#opening.get(name)
    if (opening?.pipeline.state === 'closed' && nowMs - opening.atMs < REFUSED_MS) return opening.pipeline
    const pipeline = this.#context.stores[store]!.shared(database, 2)
    if (pipeline.state === 'idle') pipeline.connect()
    if (pipeline.state === 'up') this.#opening.delete(name)
    else if (opening?.pipeline !== pipeline) this.#opening.set(name, { pipeline, atMs: nowMs })
    return pipeline
  }

  /**
   * The primary has no such database, in its own words, so that nobody can have written there: keys of it are dirty where a SELECT might have succeeded (in a transaction that was lost, or whose script writes keys that it does not declare). It is asked for each time
   * that there are some: it may be another server by then. A user without the right to the database may not be the only one.
   */
  hasNone(primary: string, database: number): boolean {
    const name = nameOf(primary, database)
    const opened = this.#opening.get(name)?.pipeline
    const hasNone = database !== 0 && opened?.state === 'closed' && opened.error?.startsWith('ERR ') === true
    if (hasNone) this.#opening.delete(name)
    return hasNone
  }
}

function nameOf(store: string, database: number): string {
  return `${store} ${database}`
}
