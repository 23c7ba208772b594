import { COLON, ZERO } from '../resp/bytes.ts'
import type { InFlight, ReplyOwner } from '../upstream/in-flight.ts'

/** Owns commands whose replies no client reads. `onAnswer`: told, after the reply has left the ring, when one came; `true` for the integer 0. */
export class Swallow implements ReplyOwner {
  readonly #onAnswer: ((zero: boolean) => void) | null

  constructor(onAnswer: ((zero: boolean) => void) | null = null) {
    this.#onAnswer = onAnswer
  }

  settle(_slot: InFlight, buf: Buffer, start: number): void {
    const onAnswer = this.#onAnswer
    if (onAnswer === null) return
    const zero = buf[start] === COLON && buf[start + 1] === ZERO
    queueMicrotask(() => onAnswer(zero))
  }

  lost(): void {}

  timedOut(): void {}
}
