import type { DataPathContext } from './context.ts'
import type { DirtySet } from './dirty-set.ts'
import type { IntentLog } from './intent-log.ts'

interface Writing {
  readonly database: number
  /** The application's names. */
  readonly keys: readonly Buffer[]
}

/**
 * Keys that a job writes on their primary by a connection of its own (an import, a restore), of which the mirror sees nothing.
 *
 *   begin ─▶ in the intent log, in each of its segments ─▶ the job writes, and has them copied ─▶ end: dirty, those that have not been copied
 *
 * So whatever becomes of the job between its write and its copy, nobody has to look for these keys: after a crash they are dirty as those are that clients were writing.
 */
export class JobWrites {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  /** Null: nothing is noted. */
  readonly #log: () => IntentLog | null
  readonly #underWay = new Map<number, Writing>()
  #last = 0

  constructor(context: DataPathContext, dirty: DirtySet, log: () => IntentLog | null) {
    this.#context = context
    this.#dirty = dirty
    this.#log = log
  }

  /** The keys may be written from the moment that this returns; gives the number for `end`. They are kept until then. */
  begin(database: number, keys: readonly Buffer[]): number {
    const writing = { database, keys }
    this.#underWay.set(++this.#last, writing)
    const log = this.#log()
    if (log !== null) {
      note(log, writing)
      log.flush()
    }
    return this.#last
  }

  /** Nobody writes them any more. `doubtful`: those of which it is not known that they are as they were, or have been copied since. */
  end(number: number, doubtful: readonly Buffer[]): void {
    const writing = this.#underWay.get(number)
    if (writing === undefined) return
    this.#underWay.delete(number)
    this.#mark(writing.database, doubtful)
  }

  /** A new segment of the log begins. */
  noteAgain(log: IntentLog): void {
    for (const writing of this.#underWay.values()) note(log, writing)
  }

  /** The process ends, and with it the log. */
  stop(): void {
    for (const [number, { keys }] of [...this.#underWay]) this.end(number, keys)
  }

  #mark(database: number, keys: readonly Buffer[]): void {
    const { routes, clock } = this.#context
    for (const key of keys) {
      const { route } = routes.find(key, 0, key.length)
      if (route.shadow !== null) this.#dirty.mark(route, database, key, 'state-copy', clock.nowMs)
    }
  }
}

function note(log: IntentLog, { database, keys }: Writing): void {
  for (const key of keys) log.noteKey(database, key, 0, key.length)
}
