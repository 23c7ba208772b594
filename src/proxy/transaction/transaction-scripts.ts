import type { KnownScript } from '../../command/scripts/script-book.ts'
import type { Loading } from '../../upstream/pipeline/script-loads.ts'
import { noteScriptFlush } from '../scripts/script-calls.ts'
import type { Session } from '../session/session.ts'
import { Swallow } from '../session/swallow.ts'
import type { TransactionParts } from './transaction-parts.ts'

/**
 * The scripts that one transaction calls by SHA-1. One that arrives whole has them loaded ahead of its MULTI. On a connection of its own MULTI has been said by then: they are loaded on the shared connection, where that has
 * not brought them yet, and EXEC waits for its answers. Not for those of a cluster, of which every node owes one: there MULTI leaves with EXEC, and what is still being loaded goes ahead of it, to the one node that is concerned
 * (`ClusterTransaction`).
 */
export class TransactionScripts {
  readonly #session: Session
  readonly #called: KnownScript[] = []
  /** Those that EXEC waits for; null: nobody has looked yet. */
  #loadings: Loading[] | null = null
  #flushes = false

  constructor(session: Session) {
    this.#session = session
  }

  add(script: KnownScript): void {
    this.#called.push(script)
  }

  /** SCRIPT FLUSH is queued: until EXEC all stays as it is, and so it does if that executes nothing. */
  flush(): void {
    this.#flushes = true
  }

  /** EXEC has executed its commands, or may have. */
  executed(): void {
    if (this.#flushes) noteScriptFlush(this.#session.path)
  }

  /** Its keys are at another store now. */
  moved(): void {
    this.#loadings = null
  }

  /** The store has them, or is not to be given them. False: EXEC has to wait for room. */
  areAt(transaction: TransactionParts): boolean {
    const store = transaction.connection.store!
    const { database, protocol, user, path } = this.#session
    if (this.#loadings === null) {
      const pipeline = store.shared(database, protocol, user)
      // It may be in a pause between attempts while the transaction's own connection got through.
      if (pipeline.state === 'down') pipeline.connect()
      this.#loadings = this.#called.flatMap((script) => path.scriptLoads.ahead(pipeline, script) ?? [])
    }
    const waits = this.#loadings.filter(({ hasEnded }) => !hasEnded)
    if (store.cluster !== null) {
      const pipeline = transaction.open()
      for (const { bytes } of waits) pipeline.push(new Swallow(), bytes, 0, bytes.length)
      this.#loadings = []
      return true
    }
    for (const loading of waits) loading.isAwaited = true
    return waits.length === 0
  }

  /** EXEC's reply, a view. What a server turns out not to know is loaded again ahead of its next call. */
  answered(buf: Buffer, start: number, end: number): void {
    if (!buf.subarray(start, end).includes('-NOSCRIPT ')) return
    for (const script of this.#called) this.#session.path.scriptLoads.forget(script)
  }
}
