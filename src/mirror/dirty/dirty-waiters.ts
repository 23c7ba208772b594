import { type AckWaiter, acknowledge } from '../shadow/ack-waiter.ts'

/** Who waits for dirty keys to be copied (`mirror.mode: sync`), by the key's number: each for the marks up to the one that it made. */
export class DirtyWaiters {
  readonly #byId = new Map<number, Waiting[]>()

  /** Waits until the marks of the key up to `version` are settled. */
  add(id: number, version: number, waiter: AckWaiter): void {
    waiter.pending++
    const waiters = this.#byId.get(id)
    if (waiters === undefined) this.#byId.set(id, [{ waiter, version }])
    else waiters.push({ waiter, version })
  }

  has(id: number): boolean {
    return this.#byId.size > 0 && this.#byId.has(id)
  }

  /** The marks up to `version` are settled. */
  settle(id: number, version: number): void {
    const waiters = this.#byId.get(id)
    if (waiters === undefined) return
    const left = waiters.filter((one) => one.version > version)
    if (left.length > 0) this.#byId.set(id, left)
    else this.#byId.delete(id)
    for (const one of waiters) if (one.version <= version) acknowledge(one.waiter, true)
  }

  /** The key has left the set: it is clean (`ok`), or nothing will make it so. */
  end(id: number, ok: boolean): void {
    const waiters = this.#byId.get(id)
    if (waiters === undefined) return
    this.#byId.delete(id)
    for (const { waiter } of waiters) acknowledge(waiter, ok)
  }
}

interface Waiting {
  readonly waiter: AckWaiter
  readonly version: number
}
