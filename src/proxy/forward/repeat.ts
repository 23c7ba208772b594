import { hashBytes } from '../../base/hash.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { goesAsSent, mayJoin } from '../../mirror/shadow/shadow-runs.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import { type InFlight, TOGETHER } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPath } from '../data-path.ts'
import type { Session } from '../session/session.ts'
import { MIRRORED } from './marks.ts'

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
  #route: Route | null = null
  /** Its place in the pipeline, which the next one may share. */
  #slot: InFlight | null = null
  /** It is mirrored: its key is noted, and its ticket taken. */
  #mirrored = false

  /** A read begins, or something happens that is no repetition. */
  forget(): void {
    this.#session = null
  }

  /** The planned command (`path.plan`) has been sent: the next one goes the same way, if that does not depend on its keys, and if nothing has to be done about it but to pass its reply on. */
  remember(session: Session, spec: CommandSpec | null, pipeline: Pipeline, slot: InFlight): void {
    const { flags } = slot
    if (spec === null || (flags !== 0 && (flags & TOGETHER) === 0)) return
    if (isPeculiar(session) || !goesOneWay(session.path, spec, flags !== 0)) return
    this.#session = session
    this.#spec = spec
    this.#pipeline = pipeline
    this.#route = session.path.plan.route
    this.#mirrored = flags !== 0
    this.#slot = slot
  }

  /** Sends a repetition. False: it is none, or has to wait; nothing was done. */
  send(session: Session, spec: CommandSpec | null, view: CommandView): boolean {
    if (this.#session !== session || this.#spec !== spec) return false
    const pipeline = this.#pipeline!
    const route = this.#route!
    if (pipeline.full) return false
    if (this.#mirrored && (route.state.held || !goesAsSent(spec!, view.argc))) return false
    if (this.#joins(session, pipeline, route, view)) return true
    const slot = pipeline.push(session, view.buf, view.frameStart, view.frameEnd)
    slot.seq = session.order.assign()
    slot.spec = spec
    slot.route = route
    slot.database = session.database
    this.#slot = slot
    route.state.inFlight++
    if (this.#mirrored) {
      session.writesOwed++
      markWrite(session, slot, view, pipeline)
    }
    return true
  }

  /** Sends it in the place of the one before. False: it needs its own, and nothing was done. */
  #joins(session: Session, pipeline: Pipeline, route: Route, view: CommandView): boolean {
    const { order, path } = session
    const slot = this.#slot!
    const { buf, frameStart, frameEnd } = view
    if (this.#mirrored && !(path.tickets.mayBeShared(slot) && mayJoin(slot, frameEnd - frameStart))) return false
    if (!pipeline.join(slot, session, order.taken, buf, frameStart, frameEnd)) return false
    order.assign()
    route.state.inFlight++
    if (this.#mirrored) {
      session.writesOwed++
      // Each has its own: whoever wants to know looks at the bytes.
      slot.keyHash = 0
      const { firstKey } = slot.spec!
      path.intents?.noteHashed(session.database, buf, view.start[firstKey]!, view.end[firstKey]!)
    }
    return true
  }
}

/** What `sendPlanned` does about a mirrored write of one key. */
function markWrite({ path, database }: Session, slot: InFlight, view: CommandView, pipeline: Pipeline): void {
  const { buf, start, end } = view
  const { firstKey } = slot.spec!
  const from = start[firstKey]!
  const to = end[firstKey]!
  slot.flags = MIRRORED | TOGETHER
  slot.lane = pipeline.lane
  slot.keyHash = path.intents === null ? hashBytes(buf, from, to) : path.intents.noteHashed(database, buf, from, to)
  slot.ticket = path.tickets.enterPushed(slot.keyHash, pipeline)
}

/** Somebody wants to look at each of its commands, or its next one has to wait for the reply to this one. */
function isPeculiar({ pin, own, replyMode, path }: Session): boolean {
  return pin !== null || own !== null || replyMode === 'skip' || path.pause !== null || path.sidesteps > 0
}

/** Whatever its keys are, its plan is the same: one route, no other names, nothing compared, or asked elsewhere; `mirrored` as the one before. */
function goesOneWay({ routes, largeKeys }: DataPath, spec: CommandSpec, mirrored: boolean): boolean {
  const { trivial } = routes
  if (trivial === null || routes.awaitsCluster || largeKeys.count > 0) return false
  if (spec.handling !== 'forward' || spec.keyFinder !== 'plain' || spec.firstKey === 0) return false
  return mirrored || trivial.shadow === null || (spec.readonly && !trivial.samples && !trivial.readsShadow)
}
