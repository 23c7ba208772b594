import type { CommandSpec } from '../command/spec.ts'
import { DOLLAR, EQUALS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { planCommand } from '../routing/plan.ts'
import type { RouteState } from '../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { DataPath } from './data-path.ts'
import type { Session } from './session.ts'

/**
 * INFO is the primary's, with two numbers put right: the store knows the connections of Understudy and not the clients behind them (`connected_clients`, as CLIENT LIST has them here), and nothing of
 * those that CLIENT PAUSE holds here, which count as its blocked ones (`blocked_clients`).
 */
export function infoCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const { path, own } = session
  planCommand(path.routes, spec, view, path.plan)
  const { route } = path.plan
  if (session.isHeld(route)) return session.waitFor('switch')
  const store = path.primaryOf(route)
  const pipeline = own === null ? store.shared(session.database, session.protocol, session.user) : own.to(store)
  if (pipeline.full) return session.noRoom(pipeline)
  pipeline.push(new Info(session, session.order.assign(), route.state), view.buf, view.frameStart, view.frameEnd)
  route.state.inFlight++
  return true
}

class Info implements ReplyOwner {
  readonly #session: Session
  readonly #seq: number
  readonly #state: RouteState
  #answered = false

  constructor(session: Session, seq: number, state: RouteState) {
    this.#session = session
    this.#seq = seq
    this.#state = state
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#state.inFlight--
    this.#say(withClients(buf.subarray(start, end), this.#session.path))
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#state.inFlight--
    this.#say(Buffer.from(`-${loss.text}\r\n`))
  }

  timedOut(): void {
    this.#say(Buffer.from('-ERR Understudy: the store did not answer in time\r\n'))
  }

  #say(frame: Buffer): void {
    if (this.#answered) return
    this.#answered = true
    this.#session.reply(this.#seq, frame, 0, frame.length)
  }
}

/** A bulk or verbatim string with a new length; anything else as it is. */
function withClients(frame: Buffer, { sessions, pause }: DataPath): Buffer {
  if (frame[0] !== DOLLAR && frame[0] !== EQUALS) return frame
  const from = frame.indexOf('\n') + 1
  const held = pause === null ? 0 : [...sessions].filter((client) => client.waiting === 'pause').length
  const text = frame
    .toString('latin1', from, frame.length - 2)
    .replace(/^connected_clients:\d+/m, `connected_clients:${sessions.size}`)
    .replace(/^blocked_clients:(\d+)/m, (_, count) => `blocked_clients:${Number(count) + held}`)
  return Buffer.from(`${String.fromCharCode(frame[0])}${text.length}\r\n${text}\r\n`, 'latin1')
}
