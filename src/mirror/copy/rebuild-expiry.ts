import { command } from '../../command/effects/building.ts'
import type { Args } from '../../command/effects.ts'
import type { RebuildEnds } from './rebuild-ends.ts'

/** When the primary's key expires that is being rebuilt: read beside each piece, for it may pass between two of them. */
export class RebuildExpiry {
  readonly #ends: RebuildEnds
  /** What was asked for: of a server that does not tell when, how long it is until then. */
  #absolute = true
  /** ms since the epoch, by the primary's clock; -1: never. Between two pieces the earliest that it has been. */
  atMs = -1

  constructor(ends: RebuildEnds) {
    this.#ends = ends
  }

  read(): Args {
    this.#absolute = !this.#ends.primaryRefuses('PEXPIRETIME')
    return command(this.#absolute ? 'PEXPIRETIME' : 'PTTL', this.#ends.onPrimary)
  }

  /** The answer. False: the key may have expired since the last piece and come back, which no write tells. */
  take(answer: number): boolean {
    const nowMs = this.#ends.primaryNowMs()
    if (this.atMs >= 0 && this.atMs <= nowMs + CLOCK_MS) return false
    this.atMs = answer >= 0 && !this.#absolute ? nowMs + answer : answer
    return true
  }

  /** A write to the key between two pieces. True: it is about the time of expiry alone. */
  isChangedBy(name: string, args: Args): boolean {
    if (name === 'PEXPIREAT') {
      const atMs = Math.max(0, Number(args[2]))
      if (this.atMs < 0 || atMs < this.atMs) this.atMs = atMs
    }
    return OF_TIME.has(name)
  }

  /** The pieces are read anew. */
  restart(): void {
    this.atMs = -1
  }
}

/** How far clocks may be apart. */
const CLOCK_MS = 1_000
const OF_TIME: ReadonlySet<string> = new Set(['PEXPIREAT', 'PERSIST', 'EXPIREAT', 'EXPIRE', 'PEXPIRE'])
