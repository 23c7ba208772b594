import { UnderstudyError } from '../../base/errors.ts'
import { refusalOf, silent } from './refusals.ts'

/** A store could not be asked, or refuses everything for now: whatever was asked is to be asked again. */
export class StoreLost extends Error {
  /** What is shown meanwhile. */
  readonly shown: string

  /** `text`: what it says, or what is wrong with it; `reason`: why there is no connection to it. */
  constructor(store: string, text: string, reason: string | null = null) {
    super(text)
    const refusal = refusalOf(text)
    this.shown = refusal === null ? silent(store, reason) : `store '${store}' ${refusal}`
  }
}

/** A store does not let the job into a database, and will not: it has fewer of them, most likely. */
export class DatabaseRefused extends UnderstudyError {
  constructor(store: string, database: number, text: string) {
    super('STORE_UNREACHABLE', `store '${store}' refuses database ${database} (${text})`)
  }
}

/** The reason for a key of such a database; throws anything else. */
export function refusedDatabase(error: unknown): string {
  if (error instanceof DatabaseRefused) return error.message
  throw error
}
