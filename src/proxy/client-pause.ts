import type { ReadOnlyScripts } from '../command/read-only-scripts.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { arityFits } from './arity.ts'
import type { Session } from './session.ts'

/** Writes for the mirror; for the server they change no key. */
const LOADS: ReadonlySet<string> = new Set(['SCRIPT LOAD', 'SCRIPT FLUSH'])

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

  /** `writesQueued`: the command is the EXEC of a transaction with a write in it. `scripts`: a call of one of them is a read. */
  holds(view: CommandView, spec: CommandSpec | null, writesQueued: boolean, scripts: ReadOnlyScripts): boolean {
    if (spec !== null && !arityFits(spec, view.argc)) return false
    if (this.#all) return true
    if (spec === null) return false
    if (spec.write) return !LOADS.has(spec.name) && !scripts.isCalled(spec, view)
    return spec.name === 'EXEC' && writesQueued
  }
}

/** The command waits for the end of CLIENT PAUSE. Call while there is one (`DataPath.pause`). */
export function isPaused(session: Session, view: CommandView, spec: CommandSpec | null): boolean {
  let writesQueued = false
  for (let pin = session.pin; pin !== null; pin = pin.outer) if (pin.queuesWrites === true) writesQueued = true
  const { pause, readOnlyScripts } = session.path
  return pause!.holds(view, spec, writesQueued, readOnlyScripts)
}
