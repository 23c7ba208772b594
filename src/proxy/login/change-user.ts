import { PLUS } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { authCommandOf, type StoreUser } from '../../upstream/connection/handshake.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'

/**
 * `password`: the client's. Makes an open connection to the store that user's (null: of the configuration), whose credentials have just been accepted elsewhere. Should the store refuse them here, the connection
 * is closed: nothing goes on with another's rights.
 */
export function changeUser(store: Store, pipeline: Pipeline, user: StoreUser | null, password: string): void {
  const bytes = loginOf(store, user, password)
  pipeline.push(new Changing(pipeline), bytes, 0, bytes.length).replies = 2
  pipeline.user = user
}

/**
 * AUTH, and behind it what everybody may say. Since 7.2 a server says nothing at all to an AUTH that it refuses while something before it has not left: a reply that nobody waits for here, an invalidation, a message. Then the first
 * answer is that of HELLO, and no OK; without it the next command's reply would be taken for that of AUTH, and each one behind it for the one before.
 */
export function loginOf(store: Store, user: StoreUser | null, password: string): Buffer {
  return Buffer.concat([authCommandOf(store.options.config, user, password), HELLO])
}

export const LET_IN_NO_MORE = 'the store does not let the user in any more'

class Changing implements ReplyOwner {
  readonly #pipeline: Pipeline

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  settle({ replies }: InFlight, buf: Buffer, start: number): void {
    if (replies > 0 && buf[start] !== PLUS) this.#pipeline.close(LET_IN_NO_MORE)
  }

  lost(): void {}

  timedOut(): void {}
}

const HELLO = encodeOwn(['HELLO'])
