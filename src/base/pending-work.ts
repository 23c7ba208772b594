interface Pending {
  readonly isOver: () => boolean
  readonly then: () => void
}

/** What goes on when something is over that nobody tells: `run` looks, on the clock's tick. */
export class PendingWork {
  #pending: Pending[] = []

  /** `isOver`: null, if it is over already. */
  after(isOver: (() => boolean) | null, then: () => void): void {
    if (isOver === null) then()
    else this.#pending.push({ isOver, then })
  }

  run(): void {
    if (this.#pending.length === 0) return
    const pending = this.#pending
    this.#pending = []
    for (const one of pending) {
      if (one.isOver()) one.then()
      else this.#pending.push(one)
    }
  }
}
