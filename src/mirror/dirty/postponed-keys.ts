import { BY_TURN, type DirtyTable, type IdList } from './dirty-table.ts'

/** Dirty keys that are not to be copied before a time, by their delay: those of one delay are due in the order in which they came, so that nothing has to be sorted. */
export class PostponedKeys {
  readonly #table: DirtyTable
  readonly #byDelay = new Map<number, IdList>()

  constructor(table: DirtyTable) {
    this.#table = table
  }

  add(id: number, nowMs: number, delayMs: number): void {
    let list = this.#byDelay.get(delayMs)
    if (list === undefined) this.#byDelay.set(delayMs, (list = { first: -1, last: -1 }))
    this.#table.append(list, BY_TURN, id)
    this.#table.setDueMs(id, nowMs + delayMs)
  }

  remove(id: number, delayMs: number): void {
    this.#table.unlink(this.#byDelay.get(delayMs)!, BY_TURN, id)
  }

  /** Takes out those whose time has come. */
  wake(nowMs: number, awake: (id: number) => void): void {
    for (const list of this.#byDelay.values()) {
      while (list.first !== -1 && this.#table.dueMs(list.first) <= nowMs) {
        const id = list.first
        this.#table.unlink(list, BY_TURN, id)
        awake(id)
      }
    }
  }
}
