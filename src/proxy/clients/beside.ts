import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'

/**
 * SCRIPT KILL, FUNCTION KILL, SHUTDOWN: a server that is busy with a script reads them only from other connections than the script's, which is the shared one. So each goes
 * on a connection of its own. So does DEBUG PROTOCOL push, for on the shared one nobody knows whose a push is. False: has to wait.
 */
export function sendBeside(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  const { path, protocol } = session
  const store = path.primaryOf(path.routes.fallback)
  // Of no database: a server that is busy takes no SELECT.
  const pipeline = store.dedicated.borrow(0, protocol, session.user)
  pipeline.answersWithinMs = store.options.config.timeoutMs
  pipeline.onPush = (buf, start, end) => session.push(buf, start, end)
  session.waiting = 'pin'
  const owner = new Beside(session, spec, store, pipeline, session.order.assign())
  pipeline.push(owner, view.buf, view.frameStart, view.frameEnd)
  return true
}

/** DEBUG PROTOCOL push of a client without a connection of its own. */
export function isToBePushed(session: Session, view: CommandView): boolean {
  if (session.protocol === 2 || session.own !== null || view.argc !== 3) return false
  return wordArg(view, 2) === 'PUSH'
}

class Beside implements ReplyOwner {
  readonly #session: Session
  readonly #spec: CommandSpec
  readonly #store: Store
  readonly #pipeline: Pipeline
  readonly #seq: number

  constructor(session: Session, spec: CommandSpec, store: Store, pipeline: Pipeline, seq: number) {
    this.#session = session
    this.#spec = spec
    this.#store = store
    this.#pipeline = pipeline
    this.#seq = seq
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    const session = this.#session
    session.reply(this.#seq, buf, start, end)
    queueMicrotask(() => this.#store.dedicated.release(this.#pipeline, 0))
    session.proceed()
  }

  lost(_slot: InFlight, loss: Loss): void {
    const session = this.#session
    // A server that goes down as it was told to closes the connection without a word.
    if (this.#spec.name === 'SHUTDOWN' && loss.mayHaveRun) session.socket.destroy()
    else session.replyError(this.#seq, loss.text)
    session.proceed()
  }

  timedOut(): void {}
}
