/** Allows `perSecond` on average and `burst` at once. Time comes in, so that it can be tested without waiting. */
export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #lastMs: number | null = null

  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1000
    this.#burst = burst
    this.#tokens = burst
  }

  take(nowMs: number): boolean {
    if (this.#lastMs !== null) this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#lastMs) * this.#perMs)
    this.#lastMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
