/**
 * Delays between attempts: doubling from `firstMs` to `maxMs`, each drawn from the upper half of its range ("equal jitter"), so that
 * many sidecars do not come back at the same moment. `reset` after a success.
 */
export class Backoff {
  readonly #firstMs: number
  readonly #maxMs: number
  readonly #random: () => number
  #attempt = 0

  constructor(firstMs: number, maxMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#random = random
  }

  nextMs(): number {
    const ceiling = Math.min(this.#maxMs, this.#firstMs * 2 ** this.#attempt)
    this.#attempt = Math.min(this.#attempt + 1, 30)
    return Math.round(ceiling / 2 + (this.#random() * ceiling) / 2)
  }

  reset(): void {
    this.#attempt = 0
  }
}
