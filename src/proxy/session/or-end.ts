import { MINUS } from '../../resp/bytes.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Session } from './session.ts'

/** Owns what a connection of the client's own has to agree to, for else the client would go on with what is not true any more (another database, a cache that nobody keeps right): then its connection ends. */
export class OrEnd implements ReplyOwner {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  settle(_slot: InFlight, buf: Buffer, start: number): void {
    if (buf[start] === MINUS) queueMicrotask(() => this.#session.end())
  }

  lost(): void {
    this.#session.end()
  }

  timedOut(): void {}
}
