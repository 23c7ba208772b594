import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { InFlight } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { DataPath } from './data-path.ts'
import type { Session } from './session.ts'

/**
 * The command before, for the next one of the same name in the same read of the same client: it goes the same way, and is not planned. What a plan depends on besides the keys (routes, switches, pauses,
 * what the session is in) changes between reads, or by a command of another name; either forgets this one.
 *
 *   GET a   planned, sent: remembered
 *   GET b   the same way
 *   DEL a   planned, sent: remembered
 *   SELECT  forgotten
 */
export class Repeat {
  #session: Session | null = null
  #spec: CommandSpec | null = null
  #pipeline: Pipeline | null = null
  #route: unknown = null
  #state: { inFlight: number } | null = null

  /** A read begins, or something happens that is no repetition. */
  forget(): void {
    this.#session = null
  }

  /** The planned command (`path.plan`) has been sent: the next one goes the same way, if that does not depend on its keys, and if nothing has to be done about it but to pass its reply on. */
  remember(session: Session, spec: CommandSpec | null, pipeline: Pipeline, slot: InFlight): void {
    if (spec === null || slot.flags !== 0 || isPeculiar(session) || !goesOneWay(session.path, spec)) return
    const { route } = session.path.plan
    this.#session = session
    this.#spec = spec
    this.#pipeline = pipeline
    this.#route = route
    this.#state = route.state
  }

  /** Sends a repetition. False: it is none, or has to wait; nothing was done. */
  send(session: Session, spec: CommandSpec | null, view: CommandView): boolean {
    if (this.#session !== session || this.#spec !== spec) return false
    const pipeline = this.#pipeline!
    if (pipeline.full) return false
    const slot = pipeline.push(session, view.buf, view.frameStart, view.frameEnd)
    slot.seq = session.order.assign()
    slot.spec = spec
    slot.route = this.#route
    slot.database = session.database
    this.#state!.inFlight++
    return true
  }
}

/** Somebody wants to look at each of its commands, or its next one has to wait for the reply to this one. */
function isPeculiar({ pin, own, replyMode, path }: Session): boolean {
  return pin !== null || own !== null || replyMode === 'skip' || path.pause !== null || path.sidesteps > 0
}

/** Whatever its keys are, its plan is the same: one route, no other names, nothing mirrored, compared, or asked elsewhere. */
function goesOneWay({ routes, largeKeys }: DataPath, spec: CommandSpec): boolean {
  const { trivial } = routes
  if (trivial === null || routes.awaitsCluster || largeKeys.count > 0) return false
  if (spec.handling !== 'forward' || spec.keyFinder !== 'plain' || spec.firstKey === 0) return false
  return trivial.shadow === null || (spec.readonly && !trivial.samples && !trivial.readsShadow)
}
