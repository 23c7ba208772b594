import type { CommandSpec } from '../command/spec.ts'
import { CommandParser } from '../resp/command-parser.ts'
import type { CommandView } from '../resp/command-view.ts'
import { markedPage } from '../routing/element-cursor.ts'
import { pageForShadow } from '../routing/element-scan.ts'
import { planCommand, renameForPrimary } from '../routing/plan.ts'
import type { Route } from '../routing/route.ts'
import type { Store } from '../upstream/store.ts'
import { gather, pipelineTo } from './ask-stores.ts'
import { forward } from './forward.ts'
import type { Session } from './session.ts'

/**
 * HSCAN, SSCAN and ZSCAN: a scan goes on at the store where it began (`element-cursor.ts`), also when a switch has made that the shadow.
 *
 *   cursor of the primary ──────────────────────────────────────────────▶ primary, as any read
 *   cursor of the shadow ─┬─ up, and the key is equal there ─▶ shadow ─┬─▶ client
 *                         │                                            └─ error, lost, not in time, differs by now ─┐
 *                         └─ any other ─────────────────────────────────────────────────────────────────────────────┴─▶ primary, from its beginning
 *
 * A scan that begins again gives elements twice, which Redis allows; it never leaves one out.
 *
 * False: has to wait.
 */
export function elementScan(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const { path } = session
  const { plan } = path
  planCommand(path.routes, spec, view, plan)
  if (plan.elsewhere === null || !mayGoOnElsewhere(session, view, plan.route)) return forward(session, view, spec)
  if (session.isHeld(view, spec)) return session.waitFor('hold')
  new ElsewherePage(session, view, spec, plan.route).ask(pageForShadow(path.routes, view, plan.elsewhere))
  return true
}

function mayGoOnElsewhere(session: Session, view: CommandView, route: Route): boolean {
  // What the client reads has to be remembered where it tracks.
  if (route.shadow === null || session.own?.tracking) return false
  const key = view.buf.subarray(view.start[1]!, view.end[1]!)
  return isEqualThere(session, route, key) && !pipelineTo(session, route.shadow.store).full
}

/** The shadow has the key as the primary has it, and is the server that it was. */
function isEqualThere({ path, database, user }: Session, { name, shadow }: Route, key: Buffer): boolean {
  const { storeName, store } = shadow!
  if (path.dirty.needsVerify(name) || path.mirror.has(name, database, key) || path.identity.isUnsure(storeName))
    return false
  // A client's own login does not ask which server it is: one that was restarted has to be met by another connection before it is believed.
  return user === null || isMet(path.stores[store]!)
}

function isMet(store: Store): boolean {
  for (const { state, options } of store.sharedPipelines())
    if (state === 'up' && options.identity.user === null) return true
  return false
}

/** One page that the shadow is asked for. */
class ElsewherePage {
  readonly #session: Session
  readonly #spec: CommandSpec
  readonly #route: Route
  readonly #command: Buffer
  readonly #key: Buffer
  readonly #seq: number

  constructor(session: Session, view: CommandView, spec: CommandSpec, route: Route) {
    this.#session = session
    this.#spec = spec
    this.#route = route
    this.#command = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
    this.#key = Buffer.from(view.buf.subarray(view.start[1]!, view.end[1]!))
    this.#seq = session.order.assign()
  }

  ask(bytes: Buffer): void {
    const session = this.#session
    const again = (): void => this.#beginAgain()
    const done = ([frame]: readonly Buffer[]): void => {
      if (!isEqualThere(session, this.#route, this.#key)) return again()
      this.#reply(markedPage(this.#route.cursorMarks, frame!, 0, frame!.length, 'other') ?? frame!)
    }
    gather(session, [{ pipeline: pipelineTo(session, this.#route.shadow!.store), bytes }], done, again)
  }

  #beginAgain(): void {
    const session = this.#session
    const { routes, plan } = session.path
    parser.parse(this.#command, 0, this.#command.length)
    planCommand(routes, this.#spec, parser, plan)
    const { route } = plan
    const question = {
      pipeline: pipelineTo(session, route.primary.store),
      bytes: renameForPrimary(routes, parser, plan),
    }
    const done = ([frame]: readonly Buffer[]): void =>
      this.#reply(markedPage(route.cursorMarks, frame!, 0, frame!.length) ?? frame!)
    gather(session, [question], done, (text) => session.replyError(this.#seq, text))
  }

  #reply(frame: Buffer): void {
    this.#session.reply(this.#seq, frame, 0, frame.length)
  }
}

const parser = new CommandParser()
