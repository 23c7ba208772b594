export interface CircuitBreakerOptions {
  /** Failures in a row after which it opens. */
  readonly threshold: number
  readonly firstPauseMs: number
  readonly maxPauseMs: number
  /** Tries that are let through when a pause is over. */
  readonly probes: number
}

/**
 * Stops work that keeps failing, and lets a few tries through now and then to see whether it works again.
 *
 *   closed ──failures in a row──▶ open ──pause over──▶ half open ──success──▶ closed
 *                                   ▲                     │
 *                                   └── failure, the next pause is twice as long
 *
 * Time comes in, in ms.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions
  #state: 'closed' | 'open' | 'half-open' = 'closed'
  #failures = 0
  #pauseMs = 0
  #untilMs = 0
  #probesLeft = 0

  constructor(options: CircuitBreakerOptions) {
    this.#options = options
  }

  get state(): 'closed' | 'open' | 'half-open' {
    return this.#state
  }

  /** The pause that it makes, or made last. */
  get pauseMs(): number {
    return this.#pauseMs
  }

  /** Whether one more try may begin; it counts as begun. */
  allows(nowMs: number): boolean {
    if (this.#state === 'closed') return true
    if (nowMs >= this.#untilMs) {
      this.#state = 'half-open'
      this.#probesLeft = this.#options.probes
      // Probes that end in neither success nor failure are followed by others.
      this.#untilMs = nowMs + this.#pauseMs
    }
    return this.#state === 'half-open' && this.#probesLeft-- > 0
  }

  /** True: it was not closed before. */
  succeeded(): boolean {
    const wasClosed = this.#state === 'closed'
    this.#state = 'closed'
    this.#failures = 0
    this.#pauseMs = 0
    return !wasClosed
  }

  /** True: it opens. Tries that were under way when it opened change nothing. */
  failed(nowMs: number): boolean {
    const { threshold, firstPauseMs, maxPauseMs } = this.#options
    if (this.#state === 'open') return false
    this.#failures++
    if (this.#state === 'closed' && this.#failures < threshold) return false
    this.#pauseMs = this.#pauseMs === 0 ? firstPauseMs : Math.min(maxPauseMs, this.#pauseMs * 2)
    this.#untilMs = nowMs + this.#pauseMs
    this.#state = 'open'
    return true
  }
}
