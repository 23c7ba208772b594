import type { InFlight, ReplyOwner } from '../upstream/in-flight.ts'

/** Owns commands whose replies nobody reads. `onAnswer`: told, after the reply has left the ring, when one came. */
export class Swallow implements ReplyOwner {
  readonly #onAnswer: (() => void) | null

  constructor(onAnswer: (() => void) | null = null) {
    this.#onAnswer = onAnswer
  }

  settle(_slot: InFlight): void {
    if (this.#onAnswer !== null) queueMicrotask(this.#onAnswer)
  }

  lost(): void {}

  timedOut(): void {}
}
