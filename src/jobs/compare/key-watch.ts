import { shownCode } from '../../compare/classify.ts'
import { ErrorReply, type Reply } from '../../resp/reply.ts'
import type { EndKeys } from '../stores/end-keys.ts'
import type { StoreConnections } from '../stores/store-connection.ts'
import { Unsettled } from './answers.ts'

/**
 * Tells whether a key of one end was written while something else was done:
 *
 *   WATCH key ─▶ the work ─▶ MULTI EXISTS EXEC: executed ─▶ nobody has written it
 *                                               nil      ─▶ somebody has
 *
 * The server knows it of this very key, whoever writes and by whatever way. A connection that was lost meanwhile has watched nothing.
 */
export class KeyWatch {
  readonly #open: () => StoreConnections
  readonly #end: EndKeys
  readonly #signal: AbortSignal

  /** `open`: connections that nobody else uses, as a transaction of somebody else would end the watch. `signal`: aborted when nobody waits for answers any more. */
  constructor(end: EndKeys, open: () => StoreConnections, signal: AbortSignal) {
    this.#end = end
    this.#open = open
    this.#signal = signal
  }

  /** Does the work, and tells whether the key (application name) was written meanwhile, or nobody knows. Rejects with StoreLost, and with Unsettled where the store lets nobody watch. */
  async during<T>(database: number, key: Buffer, work: () => Promise<T>): Promise<{ done: T; written: boolean }> {
    this.#signal.throwIfAborted()
    const connections = this.#open()
    const close = (): void => connections.close()
    this.#signal.addEventListener('abort', close)
    try {
      const name = this.#end.nameOf(key)
      const connection = connections.to(this.#end.storeName, database)
      accepted('WATCH', await connection.ask(['WATCH', name]))
      const { generation } = connection
      const done = await work()
      const [, , executed] = await Promise.all([
        connection.ask(['MULTI']),
        connection.ask(['EXISTS', name]),
        connection.ask(['EXEC']),
      ])
      accepted('EXEC', executed)
      return { done, written: executed === null || connection.generation !== generation }
    } finally {
      this.#signal.removeEventListener('abort', close)
      close()
    }
  }
}

function accepted(command: string, reply: Reply): void {
  if (reply instanceof ErrorReply) throw new Unsettled(`a store answers ${command} with ${shownCode(reply)}`)
}
