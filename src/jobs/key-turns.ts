export interface KeyTurn {
  /** Resolves when those who came before have ended; undefined: there are none. */
  readonly begin: Promise<void> | undefined
  /** May be called more than once. */
  end(): void
}

/** Lets those who write the same key do it one after the other, in the order in which they took their turns. */
export class KeyTurns {
  readonly #last = new Map<string, Promise<void>>()

  take(place: string): KeyTurn {
    const begin = this.#last.get(place)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last.set(place, promise)
    const end = (): void => {
      if (this.#last.get(place) === promise) this.#last.delete(place)
      resolve()
    }
    return { begin, end }
  }
}
