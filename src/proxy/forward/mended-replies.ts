import type { CommandSpec } from '../../command/spec.ts'
import { DOLLAR, EQUALS, MINUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeCommand, encodeReply } from '../../resp/encode.ts'
import type { Reply } from '../../resp/reply.ts'
import { planCommand } from '../../routing/plan.ts'
import type { RouteState } from '../../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Store } from '../../upstream/store.ts'
import { histogramsAsked } from '../clients/local-calls.ts'
import type { DataPath } from '../data-path.ts'
import { scriptExists } from '../scripts/script-exists.ts'
import { textArg, wordArg } from '../session/arguments.ts'
import { isMalformed } from '../session/malformed.ts'
import type { Session } from '../session/session.ts'

/**
 * Answers of the primary that are put right, because it knows the connections of Understudy and not the clients behind them:
 *
 *   INFO                `connected_clients` are those that CLIENT LIST has here, and those that CLIENT PAUSE holds here count as blocked (`blocked_clients`); Understudy's own tracking of keys does not
 *                       count (`tracking_clients`, `tracking_total_prefixes`)
 *   SLOWLOG GET         a slow command's client is the one that sent it; what Understudy asks for itself is left out
 *   COMMANDLOG GET      the same, of Valkey
 *   CONFIG SET          is answered when what HELLO tells is known anew, if it is about that
 *   ACL LOG             a log-in that was refused has the name of the command that clients send, not Understudy's own spelling
 *   SCRIPT EXISTS       is asked of every primary in use (`scriptExists`)
 *   LATENCY HISTOGRAM   what was answered here is added; CONFIG RESETSTAT forgets it
 */
export function mendedCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (spec.name === 'SCRIPT EXISTS') return scriptExists(session, view)
  const { path, own } = session
  planCommand(path.routes, spec, view, path.plan)
  const { route } = path.plan
  if (session.isHeld(view, spec)) return session.waitFor('hold')
  const store = path.primaryOf(route)
  const pipeline = own === null ? store.shared(session.database, session.protocol, session.user) : own.to(store)
  if (pipeline.full) return session.noRoom(pipeline)
  const mended = new Mended(session, session.order.assign(), route.state, mendingOf(session, view, spec, store))
  if (changesGreeting(view, spec)) mended.before = (answer) => path.server.learnGreeting(store.shared(0, 2), answer)
  const entries = slowEntriesAsked(view, spec)
  if (entries === null) pipeline.push(mended, view.buf, view.frameStart, view.frameEnd)
  else {
    const count = entries < 0 ? -1 : 2 * entries + MORE_ENTRIES
    const bytes = encodeCommand([...spec.name.split(' '), count, ...(view.argc > 3 ? [textArg(view, 3)] : [])])
    pipeline.push(mended, bytes, 0, bytes.length)
  }
  route.state.inFlight++
  return true
}

/** What becomes of the reply, given as a view; it may give the same. */
type Mending = (frame: Buffer) => Buffer

function mendingOf(session: Session, view: CommandView, { name }: CommandSpec, store: Store): Mending {
  const { path, protocol } = session
  const decoded = (mend: (reply: Reply) => Reply) => (frame: Buffer) => {
    if (frame[0] === MINUS) return frame
    try {
      return encodeReply(mend(decodeReply(frame, 0, frame.length)), protocol)
    } catch (error) {
      if (!isMalformed(error)) throw error
      return frame
    }
  }
  switch (name) {
    case 'SLOWLOG GET':
    case 'COMMANDLOG GET': {
      const asked = slowEntriesAsked(view, { name })
      return decoded((reply) => {
        const entries = path.slowCommands.named(reply)
        return asked === null || asked < 0 || !Array.isArray(entries) ? entries : entries.slice(0, asked)
      })
    }
    case 'ACL LOG':
      return (frame) => Buffer.from(frame.toString('latin1').replaceAll(OWN_LOGIN, CLIENTS_LOGIN), 'latin1')
    case 'LATENCY HISTOGRAM': {
      const asked = histogramsAsked(view)
      return decoded((reply) => path.localCalls.added(reply, asked, protocol))
    }
    case 'CONFIG SET':
      return (frame) => frame
    case 'CONFIG RESETSTAT':
      return (frame) => {
        if (frame[0] !== MINUS) path.localCalls.reset()
        return frame
      }
    default:
      return (frame) => withClients(frame, path, store)
  }
}

/** What HELLO tells of Valkey: its zone, and whether it calls itself Redis. */
function changesGreeting(view: CommandView, { name }: CommandSpec): boolean {
  if (name !== 'CONFIG SET') return false
  for (let i = 2; i < view.argc; i += 2) if (GREETING.test(wordArg(view, i))) return true
  return false
}

const GREETING = /^(AVAILABILITY-ZONE|EXTENDED-REDIS-COMPATIBILITY)$/

/** Entries of the slow log that a client asks for, -1: all; null: it asks in a way that the store is to judge. Some more are asked for, since Understudy's own are among them. */
function slowEntriesAsked(view: CommandView, { name }: Pick<CommandSpec, 'name'>): number | null {
  const ofValkey = name === 'COMMANDLOG GET'
  if (ofValkey ? view.argc !== 4 : name !== 'SLOWLOG GET' || view.argc > 3) return null
  const text = view.argc === 2 ? '10' : view.buf.toString('latin1', view.start[2]!, view.end[2]!)
  return /^(-1|\d{1,7})$/.test(text) ? Number(text) : null
}

const MORE_ENTRIES = 64

/** In an entry about a log-in; of either protocol, and equally long. */
const OWN_LOGIN = '\r\nauth\r\n$7\r\ncontext\r\n$8\r\ntoplevel\r\n$6\r\nobject\r\n$4\r\naUTH\r\n'
const CLIENTS_LOGIN = OWN_LOGIN.replace('aUTH', 'AUTH')

class Mended implements ReplyOwner {
  readonly #session: Session
  readonly #seq: number
  readonly #state: RouteState
  readonly #mend: Mending
  /** Done before the client is answered. */
  before: ((answer: () => void) => void) | null = null
  #answered = false

  constructor(session: Session, seq: number, state: RouteState, mend: Mending) {
    this.#session = session
    this.#seq = seq
    this.#state = state
    this.#mend = mend
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#state.inFlight--
    const frame = this.#mend(buf.subarray(start, end))
    if (this.before === null) return this.#say(frame)
    const kept = Buffer.from(frame)
    this.before(() => this.#say(kept))
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#state.inFlight--
    this.#say(Buffer.from(`-${loss.text}\r\n`))
  }

  timedOut(): void {
    this.#say(Buffer.from('-ERR Understudy: the store did not answer in time\r\n'))
  }

  /** Nobody else waits for the last node of a cluster. */
  detached(): void {}

  #say(frame: Buffer): void {
    if (this.#answered) return
    this.#answered = true
    this.#session.reply(this.#seq, frame, 0, frame.length)
  }
}

/** A bulk or verbatim string with a new length; anything else as it is. */
function withClients(frame: Buffer, { sessions, pause, mirror }: DataPath, store: Store): Buffer {
  if (frame[0] !== DOLLAR && frame[0] !== EQUALS) return frame
  const from = frame.indexOf('\n') + 1
  const held = pause === null ? 0 : [...sessions].filter((client) => client.waiting === 'pause').length
  const tracking = mirror.undeclared.isToldBy(store) ? 1 : 0
  // The server counts a prefix once, whoever asks for it.
  const prefixes = [...sessions].some(({ own }) => own?.tracking?.hearsAllOf(store)) ? 0 : tracking
  const less = (by: number) => (_: string, name: string, count: string) => `${name}:${Math.max(0, Number(count) - by)}`
  const text = frame
    .toString('latin1', from, frame.length - 2)
    .replace(/^connected_clients:\d+/m, `connected_clients:${sessions.size}`)
    .replace(/^blocked_clients:(\d+)/m, (_, count) => `blocked_clients:${Number(count) + held}`)
    .replace(/^(tracking_clients):(\d+)/m, less(tracking))
    .replace(/^(tracking_total_prefixes):(\d+)/m, less(prefixes))
  return Buffer.from(`${String.fromCharCode(frame[0])}${text.length}\r\n${text}\r\n`, 'latin1')
}
