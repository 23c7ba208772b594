import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand, errorFrame, FRAME } from '../../resp/encode.ts'
import { applicationName, scanFrame } from '../../routing/keyspace-command.ts'
import { planCommand } from '../../routing/plan.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import { flushesOwnKeys } from '../../routing/server-wide.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { gather } from '../forward/ask-stores.ts'
import { sendPlanned } from '../forward/send-planned.ts'
import { wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'
import { isHeldBack } from '../switch/hold.ts'
import { EVERY_KEY, LOOK_AGAIN_MS, pageOf } from './scan-page.ts'

/**
 * FLUSHDB and FLUSHALL of an application that has only a part of its store: its own keys are looked for, page by page, and deleted by UNLINK, each an ordinary write of its route: it is mirrored, and a
 * switch waits for it. Not one moment, as the server's own FLUSHALL is: what others write meanwhile may stay. The client's next command waits for the end.
 *
 *   FLUSHALL ─▶ INFO keyspace ─▶ for each database: SCAN ─▶ UNLINK own keys of the page ─▶ SCAN ─▶ ... ─▶ OK
 *
 * Null: the command is not one of these. False: has to wait.
 */
export function flushNamespace(session: Session, view: CommandView, spec: CommandSpec): boolean | null {
  const { path } = session
  if (!flushesOwnKeys(path.routes, spec)) return null
  if (session.order.owed > 0) return session.waitFor('replies')
  const how = view.argc > 1 ? wordArg(view, 1) : 'ASYNC'
  if (view.argc > 2 || (how !== 'ASYNC' && how !== 'SYNC')) {
    session.answerError('ERR syntax error')
    return true
  }
  session.waiting = 'pin'
  new Flush(session, spec.name === 'FLUSHALL').start()
  return true
}

class Flush {
  readonly #session: Session
  readonly #seq: number
  readonly #everywhere: boolean
  readonly #unlink: CommandSpec
  #table!: RouteTable

  constructor(session: Session, everywhere: boolean) {
    this.#session = session
    this.#everywhere = everywhere
    this.#seq = session.order.assign()
    this.#unlink = session.path.commands.byName('UNLINK')!
  }

  start(): void {
    const { path, database } = this.#session
    if (this.#mustWait()) return this.#later(() => this.start())
    this.#table = path.routes
    if (!this.#everywhere) return this.#page([database], 0, 0n)
    const questions = path.routes.primaryStores.map((store) => ({
      pipeline: this.#pipeline(store, database),
      bytes: INFO,
    }))
    this.#gather(questions, (frames) => this.#page(databasesIn(path.stores, this.#table, frames), 0, 0n))
  }

  /** One page of the first of `databases` at the `at`-th store; `cursor` is that store's own. */
  #page(databases: readonly number[], at: number, cursor: bigint): void {
    const [database] = databases
    if (database === undefined) return this.#answer(FRAME.OK)
    if (this.#mustWait() || this.#session.path.routes !== this.#table) return this.start()
    const table = this.#table
    const store = table.primaryStores[at]
    if (store === undefined) return this.#page(databases.slice(1), 0, 0n)
    const bytes = scanFrame(table, store, EVERY_KEY, cursor)
    this.#gather([{ pipeline: this.#pipeline(store, database), bytes }], ([frame]) => {
      const page = pageOf(frame!)
      if (page === null)
        return this.#answer(errorFrame('ERR Understudy: a store answered with something that is no reply to SCAN'))
      const nameOf = applicationName(table, store, null)
      const keys = page.keys.map(nameOf).filter((key) => key !== null)
      const next = (): void => {
        if (page.cursor === 0n) this.#page(databases, at + 1, 0n)
        else this.#page(databases, at, page.cursor)
      }
      if (keys.length === 0) next()
      else this.#delete(store, database, keys, next)
    })
  }

  #delete(store: number, database: number, keys: readonly Buffer[], next: () => void): void {
    const session = this.#session
    const { path } = session
    const pipeline = this.#pipeline(store, database)
    // Under other routes now, or about to be: it begins anew there.
    if (path.routes !== this.#table || this.#mustWait()) return this.start()
    if (pipeline.full) return this.#later(() => this.#delete(store, database, keys, next))
    const settle = (_part: number, reply: Buffer): void => {
      if (reply[0] === MINUS) this.#answer(reply)
      else next()
    }
    const bytes = encodeCommand(['UNLINK', ...keys])
    parser.parse(bytes, 0, bytes.length)
    planCommand(path.routes, this.#unlink, parser, path.plan)
    if (isHeldBack(path.plan, parser, this.#unlink)) return this.#later(() => this.#delete(store, database, keys, next))
    const selected = session.database
    session.database = database
    sendPlanned(session, pipeline, parser, this.#unlink, session.parts.expect({ settle }, 0))
    session.database = selected
  }

  #pipeline(store: number, database: number): Pipeline {
    const { path, protocol, user, own } = this.#session
    const at = path.stores[store]!
    const ownThere = database === this.#session.database ? own?.at(at) : null
    return ownThere ?? at.shared(database, protocol, user)
  }

  #mustWait(): boolean {
    return this.#session.path.routes.routes.some((route) => route.state.switching)
  }

  #later(action: () => void): void {
    setTimeout(() => {
      if (!this.#session.closed) action()
    }, LOOK_AGAIN_MS).unref()
  }

  #gather(questions: Parameters<typeof gather>[1], done: (frames: readonly Buffer[]) => void): void {
    gather(this.#session, questions, done, (text) => this.#answer(errorFrame(text)))
  }

  #answer(frame: Buffer): void {
    const session = this.#session
    session.reply(this.#seq, frame, 0, frame.length)
    if (!session.closed) session.proceed()
  }
}

/** The databases that hold anything, as a client counts them: its 0 is the one in the store's URL. */
function databasesIn(stores: readonly Store[], table: RouteTable, frames: readonly Buffer[]): number[] {
  const found = new Set([0])
  for (const [i, frame] of frames.entries()) {
    const zero = stores[table.primaryStores[i]!]!.options.config.database
    for (const [, index] of frame.toString('latin1').matchAll(/^db(\d+):/gm)) {
      const database = Number(index)
      // A client whose database 0 is another one does not reach the server's own 0.
      if (database !== zero && database !== 0 && !table.unserved.has(database)) found.add(database)
    }
  }
  return [...found]
}

const INFO = encodeCommand(['INFO', 'keyspace'])
const parser = new CommandParser()
