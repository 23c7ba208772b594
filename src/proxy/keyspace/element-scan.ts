import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { markedPage } from '../../routing/element-cursor.ts'
import { pageForShadow } from '../../routing/element-scan.ts'
import { planCommand, renameForPrimary } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { gather, pipelineTo } from '../forward/ask-stores.ts'
import { forwardPlanned } from '../forward/forward.ts'
import { mayReadShadow } from '../reads/shadow-reads.ts'
import type { WaitingRead } from '../reads/target-read.ts'
import type { Session } from '../session/session.ts'

/**
 * HSCAN, SSCAN and ZSCAN: a scan goes on at the store where it began (`element-cursor.ts`), also when a switch has made that the shadow.
 *
 *   cursor of the primary ───────────────────────────────────────────────────────▶ primary, as any read
 *   cursor of the shadow ─┬─ kept up since it was the primary, no write of ─▶ shadow's queue, ─┬─▶ client
 *                         │  the client's under way, key not known to differ   behind effects  └─ error, lost, late, in doubt by now ─┐
 *                         └─ any other ───────────────────────────────────────────────────────────────────────────────────────────────┴─▶ primary, from its beginning
 *
 * The shadow holds every element then that the primary holds, as of every write that has been acknowledged: the page waits behind their effects, in the queue of the mirror. A scan that begins again gives elements twice, which Redis allows.
 *
 * False: has to wait.
 */
export function elementScan(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const { path } = session
  const { plan } = path
  planCommand(path.routes, spec, view, plan)
  const pipeline = plan.elsewhere === null ? null : queueElsewhere(session, view, plan.route)
  if (pipeline === null) return forwardPlanned(session, view, spec)
  if (session.isHeld(view, spec)) return session.waitFor('hold')
  new ElsewherePage(session, view, spec, plan.route).ask(pipeline, pageForShadow(path.routes, view, plan.elsewhere!))
  return true
}

/** The mirror's own way to the shadow; null: the page cannot be had there. */
function queueElsewhere(session: Session, view: CommandView, route: Route): Pipeline | null {
  const { path, own, user, database } = session
  // What the client reads has to be remembered where it tracks; what it may read the mirror's connection does not know.
  if (route.shadow === null || own?.tracking || user !== null) return null
  // Their effects are not in the queue yet. A flush or a swap goes down every connection.
  if (session.writesOwed > 0 || path.tickets.sweeping || path.mirror.undeclared.mayOwe(route)) return null
  const key = view.buf.subarray(view.start[1]!, view.end[1]!)
  if (!holdsAll(session, route, key)) return null
  const pipeline = path.stores[route.shadow.store]!.shadows.to(database)
  // It may just be coming up, behind a switch: the page waits as its effects do.
  return pipeline.state === 'down' || pipeline.state === 'closed' || pipeline.full ? null : pipeline
}

/** The shadow holds of the key what the primary holds, once the effects on their way have arrived, and is the server that it was. */
function holdsAll({ path, database }: Session, route: Route, key: Buffer): boolean {
  return route.state.shadowKeptUp && mayReadShadow(path, route) && !path.mirror.has(route.name, database, key)
}

/** One page that the shadow is asked for. */
class ElsewherePage implements ReplyOwner, WaitingRead {
  readonly route: Route
  readonly startedMs: number
  readonly #session: Session
  readonly #spec: CommandSpec
  /** In force when it was asked for. */
  readonly #table: RouteTable
  readonly #command: Buffer
  readonly #key: Buffer
  readonly #seq: number
  /** It was answered, or is being asked for at the primary. */
  #isOver = false

  constructor(session: Session, view: CommandView, spec: CommandSpec, route: Route) {
    this.#session = session
    this.#spec = spec
    this.route = route
    this.startedMs = session.path.clock.nowMs
    this.#table = session.path.routes
    this.#command = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
    this.#key = Buffer.from(view.buf.subarray(view.start[1]!, view.end[1]!))
    this.#seq = session.order.assign()
  }

  ask(pipeline: Pipeline, bytes: Buffer): void {
    this.route.state.inFlight++
    this.#session.targetReadsOwed++
    this.#session.path.targetReads.began(this)
    pipeline.push(this, bytes, 0, bytes.length).route = this.route
    pipeline.hurry()
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (this.#isOver) return
    if (buf[start] === MINUS || this.#isInDoubt()) return this.fallBack()
    this.#end()
    const marked = markedPage(this.route.cursorMarks, buf, start, end, 'other')
    if (marked === null) this.#reply(buf, start, end)
    else this.#reply(marked, 0, marked.length)
  }

  lost(): void {
    if (!this.#isOver) this.fallBack()
  }

  /** Long over. */
  timedOut(): void {}

  /** Begins again at the primary. */
  fallBack(): void {
    this.#end()
    const session = this.#session
    const { routes, plan } = session.path
    parser.parse(this.#command, 0, this.#command.length)
    planCommand(routes, this.#spec, parser, plan)
    const { route } = plan
    const question = {
      pipeline: pipelineTo(session, route.primary.store),
      bytes: renameForPrimary(routes, parser, plan),
    }
    const done = ([frame]: readonly Buffer[]): void => {
      const page = markedPage(route.cursorMarks, frame!, 0, frame!.length) ?? frame!
      this.#reply(page, 0, page.length)
    }
    gather(session, [question], done, (text) => {
      this.#answered()
      session.replyError(this.#seq, text)
    })
  }

  /** An effect before it has failed, or the shadow is not what it was: a switch, a job or a restart may have come between. */
  #isInDoubt(): boolean {
    const session = this.#session
    return session.path.routes !== this.#table || !holdsAll(session, this.route, this.#key)
  }

  #end(): void {
    this.#isOver = true
    this.#session.path.targetReads.ended(this)
  }

  #reply(buf: Buffer, start: number, end: number): void {
    this.#answered()
    this.#session.reply(this.#seq, buf, start, end)
  }

  #answered(): void {
    this.route.state.inFlight--
    this.#session.targetReadsOwed--
  }
}

const parser = new CommandParser()
