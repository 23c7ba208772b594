import { MINUS } from '../../resp/bytes.ts'
import { authCommandOf, type StoreUser } from '../../upstream/connection/handshake.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'

/**
 * `password`: the client's. Makes an open connection to the store that user's (null: of the configuration), whose credentials have just been accepted elsewhere. Should the store refuse them here, the connection
 * is closed: nothing goes on with another's rights.
 */
export function changeUser(store: Store, pipeline: Pipeline, user: StoreUser | null, password: string): void {
  const bytes = authCommandOf(store.options.config, user, password)
  pipeline.push(new Changing(pipeline), bytes, 0, bytes.length)
}

class Changing implements ReplyOwner {
  readonly #pipeline: Pipeline

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  settle(_slot: InFlight, buf: Buffer, start: number): void {
    if (buf[start] !== MINUS) return
    queueMicrotask(() => this.#pipeline.close('the store does not let the user in any more'))
  }

  lost(): void {}

  timedOut(): void {}
}
