import { encodeOwn } from '../../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { Session } from '../session/session.ts'

const PING = encodeOwn(['PING'])

/** The connection that takes one store's invalidations of one client for another. It speaks RESP3, in which the server pushes them without a subscription. */
export class Redirection {
  readonly store: Store
  readonly #pipeline: Pipeline

  /** `ready`: told when it can be named to the server, or why it never will. */
  constructor(
    session: Session,
    store: Store,
    onPush: (buf: Buffer, start: number, end: number) => void,
    ready: (failure: string | null) => void,
  ) {
    this.store = store
    this.#pipeline = store.dedicated.borrow(0, 3, session.user)
    this.#pipeline.onPush = onPush
    const owner: ReplyOwner = {
      settle: () => {
        // Nobody would keep the client's cache right from then on.
        this.#pipeline.onClosed = () => session.end()
        queueMicrotask(() => ready(null))
      },
      lost: (_slot: InFlight, loss: Loss) => ready(loss.text),
      timedOut: () => {},
    }
    this.#pipeline.push(owner, PING, 0, PING.length)
  }

  /** Of this connection at the store. */
  get clientId(): number {
    return this.#pipeline.clientId
  }

  close(): void {
    this.store.dedicated.discard(this.#pipeline)
  }
}
