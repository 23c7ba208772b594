/** One client's log-in at a store. */
export interface WaitingLogin {
  /** Coarse clock: when it began to wait. */
  readonly sinceMs: number
  /** So many ms it may wait; 0: for ever. */
  readonly patienceMs: number
  /** Its client is gone. */
  readonly isGone: boolean
  /** Its turn has come. `LoginQueue.ended` follows, whatever becomes of it. */
  start(): void
  /** Its turn has not come in time. */
  late(): void
}

/**
 * Log-ins that may open a connection to a store. Only a few do at once, whatever clients try; the others wait for their turn in the order in which they came. A client has one at a time, so one that
 * guesses passwords without end does not keep another from its turn for longer than any client does.
 */
export class LoginQueue {
  #underWay = 0
  /** In order. Bounded by the number of clients. */
  readonly #waiting = new Set<WaitingLogin>()

  add(login: WaitingLogin): void {
    this.#waiting.add(login)
    this.#startNext()
  }

  /** One that was started has come to its end. */
  ended(): void {
    this.#underWay--
    this.#startNext()
  }

  tick(nowMs: number): void {
    for (const login of this.#waiting) {
      if (login.isGone) this.#waiting.delete(login)
      else if (login.patienceMs > 0 && nowMs - login.sinceMs >= login.patienceMs) {
        this.#waiting.delete(login)
        login.late()
      }
    }
  }

  #startNext(): void {
    for (const login of this.#waiting) {
      if (this.#underWay >= AT_ONCE) return
      this.#waiting.delete(login)
      if (login.isGone) continue
      this.#underWay++
      login.start()
    }
  }
}

const AT_ONCE = 16
