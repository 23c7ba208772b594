import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { arityFits } from './arity.ts'

/** `PFCOUNT` writes the count it has cached into the value; the others that a replica would see are writes in the table. */
const WRITES_TOO: ReadonlySet<string> = new Set(['PFCOUNT'])

/**
 * CLIENT PAUSE: the clients of Understudy wait, all of them or those that write (redis.io, "CLIENT PAUSE"). Other clients of the store do not, for the pause is not
 * the store's. Of several, the longest time and the stricter mode hold.
 */
export class ClientPause {
  #untilMs = 0
  #all = false

  /** `all`: every command waits; else those that write. */
  begin(untilMs: number, all: boolean, nowMs: number): void {
    this.#all = all || (this.#all && this.#untilMs > nowMs)
    this.#untilMs = Math.max(untilMs, this.#untilMs)
  }

  /** The pause is over by itself. */
  isOver(nowMs: number): boolean {
    return nowMs >= this.#untilMs
  }

  /** `writesQueued`: the command is the EXEC of a transaction with a write in it. */
  holds(view: CommandView, spec: CommandSpec | null, writesQueued: boolean): boolean {
    if (spec !== null && !arityFits(spec, view.argc)) return false
    if (this.#all) return true
    if (spec === null) return false
    return spec.write || WRITES_TOO.has(spec.name) || (spec.name === 'EXEC' && writesQueued)
  }
}
