import type { Log } from '../observability/log.ts'
import { errorFields } from '../observability/log-error.ts'
import { diskTrouble } from '../state/database.ts'

const AGAIN_MS = 1_000

/**
 * Writes to `state.db` of what is so already, whether its disk takes them or not: in their order, and again each second until it does. What must not be decided on rows that are not
 * those of now asks `settle` first.
 */
export class OwedWrites {
  readonly #log: Log
  readonly #owed: (() => void)[] = []
  #again: NodeJS.Timeout | null = null
  /** The log has said so. */
  #said = false

  constructor(log: Log) {
    this.#log = log
  }

  /** `work` is done whole or not at all, and may be done much later: it takes with it what it needs. */
  write(work: () => void): void {
    this.#owed.push(work)
    this.#try()
  }

  /** Throws what the database throws as long as something is not written. */
  settle(): void {
    const error = this.#try()
    if (error !== null) throw error
  }

  /** The last try, before the database is closed. */
  stop(): void {
    const error = this.#try()
    if (this.#again !== null) clearTimeout(this.#again)
    this.#again = null
    if (error !== null)
      this.#log.error('state.db never took what was decided last: the next start does not know of it', {
        error: diskTrouble(error)!.message,
      })
  }

  /** Gives what is in the way; null: nothing is owed any more. */
  #try(): unknown {
    while (this.#owed.length > 0) {
      try {
        this.#owed[0]!()
      } catch (error) {
        const trouble = diskTrouble(error)
        if (trouble !== null) {
          this.#later(trouble.message)
          return error
        }
        this.#log.error('something could not be written to state.db', errorFields(error))
      }
      this.#owed.shift()
    }
    if (this.#said) this.#log.info('state.db has what was decided meanwhile')
    this.#said = false
    return null
  }

  #later(why: string): void {
    if (!this.#said)
      this.#log.warn(
        'what was decided cannot be written to state.db; it is tried again each second, and until then no other change is made',
        { error: why },
      )
    this.#said = true
    this.#again ??= setTimeout(() => {
      this.#again = null
      this.#try()
    }, AGAIN_MS).unref()
  }
}
