import { arityFits } from '../../command/arity.ts'
import { asksReplicas } from '../../command/blocked-reply.ts'
import type { ReadOnlyScripts } from '../../command/scripts/read-only-scripts.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Session } from '../session/session.ts'

/** Writes for the mirror; for the server they change no key. */
const LOADS: ReadonlySet<string> = new Set(['SCRIPT LOAD', 'SCRIPT FLUSH'])

/**
 * CLIENT PAUSE: the clients of Understudy wait here, all of them or those that write (redis.io, "CLIENT PAUSE"). Of several, the longest time and the stricter mode hold. What the stores are told of it:
 * `StorePause`.
 */
export class ClientPause {
  #untilMs = 0
  #all = false
  /** Clients whose EXEC is to begin a pause: until it is answered nobody else writes. */
  readonly #preparing = new Set<Session>()
  /** Every SCRIPT command is one that may write, and no script says that it does not: servers before 7.0. */
  readonly #scriptsWrite: boolean

  constructor(scriptsWrite: boolean) {
    this.#scriptsWrite = scriptsWrite
  }

  get untilMs(): number {
    return this.#untilMs
  }

  get isPrepared(): boolean {
    return this.#preparing.size > 0
  }

  /** `all`: every command waits; else those that write. The function takes it back. */
  begin(untilMs: number, all: boolean, nowMs: number): () => void {
    const [beforeMs, allBefore] = [this.#untilMs, this.#all]
    this.#all = all || (this.#all && this.#untilMs > nowMs)
    this.#untilMs = Math.max(untilMs, this.#untilMs)
    return () => {
      this.#untilMs = beforeMs
      this.#all = allBefore
    }
  }

  /** The pause is over by itself. */
  isOver(nowMs: number): boolean {
    return nowMs >= this.#untilMs
  }

  /** It is over; writes wait still, while a transaction prepares the next. */
  end(): void {
    this.#untilMs = 0
    this.#all = false
  }

  prepare(session: Session, nowMs: number): void {
    if (this.isOver(nowMs)) this.end()
    this.#preparing.add(session)
  }

  /** What the client has prepared is done, or has come to nothing. */
  prepared(session: Session): void {
    this.#preparing.delete(session)
  }

  isPreparedBy(session: Session): boolean {
    return this.#preparing.has(session)
  }

  /** `writesQueued`: the command is the EXEC of a transaction with a write in it. `scripts`: a call of one of them is a read. */
  holds(view: CommandView, spec: CommandSpec | null, writesQueued: boolean, scripts: ReadOnlyScripts): boolean {
    if (spec !== null && !arityFits(spec, view.argc)) return false
    if (this.#all) return true
    if (spec === null) return false
    if (this.#scriptsWrite && (spec.write || spec.name.startsWith('SCRIPT'))) return true
    if (spec.write) return !LOADS.has(spec.name) && !scripts.isCalled(spec, view)
    return spec.name === 'EXEC' && writesQueued
  }
}

/** The command waits for the end of CLIENT PAUSE. Call while there is one (`DataPath.pause`). */
export function isPaused(session: Session, view: CommandView, spec: CommandSpec | null): boolean {
  const { pause, readOnlyScripts, storePause } = session.path
  if (pause!.isPreparedBy(session)) return false
  // What is published before it (`StoreWait`) a store that pauses would hold.
  if (spec !== null && asksReplicas(spec) && session.pin === null && !storePause.isQuiet) return true
  let writesQueued = false
  for (let pin = session.pin; pin !== null; pin = pin.outer) if (pin.queuesWrites === true) writesQueued = true
  return pause!.holds(view, spec, writesQueued, readOnlyScripts)
}
