import { hashBytes } from '../../base/hash.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { NOBODY } from '../../mirror/copy/sweeps.ts'
import type { IntentLog } from '../../mirror/crash/intent-log.ts'
import { mayWriteBeforeError } from '../../mirror/effects/settled-command.ts'
import { type PassedChange, passedBy, removedBy } from '../../mirror/functions/function-changes.ts'
import type { AckWaiter } from '../../mirror/shadow/ack-waiter.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { crossRoute, type Plan, planCommand } from '../../routing/plan.ts'
import type { Route, RouteState } from '../../routing/route.ts'
import { changesFunctions, isServerWide } from '../../routing/server-wide.ts'
import type { TransactionSlots } from '../forward/cross-slots.ts'
import { mirrorOwnFlush } from '../keyspace/own-flush-effect.ts'
import { asksForSubscribers } from '../pubsub/pending-subscriptions.ts'
import { TransactionReads } from '../reads/sampled-reads.ts'
import { UndeclaredCalls } from '../scripts/undeclared-calls.ts'
import { execElements, isMalformed } from '../session/malformed.ts'
import { mayPublish } from '../session/own-messages.ts'
import type { Session } from '../session/session.ts'
import { areHeldBack } from '../switch/hold.ts'
import type { Queued } from './exec-reply.ts'
import { databasesOf, possibleDatabases } from './own-answers.ts'

/**
 * The commands between MULTI and EXEC, and what becomes of them beside the primary: overlap tickets, the intent log, their effects as one unit, their sampled reads.
 *
 *   planned, planned ... ─▶ leaves ──(EXEC is under way)──▶ returned ─┬─▶ mirror, compare   by EXEC's reply, command by command
 *                                                                     └─▶ lose              nobody knows what of it was executed
 */
export class TransactionQueue {
  readonly commands: Queued[] = []
  /** Of all commands, those that were refused since included. */
  bytes = 0
  /** EXEC will write. */
  writes = false
  /** EXEC will begin a CLIENT PAUSE. */
  pauses = false
  /** EXEC may change functions: what a call behind it does is not known before. */
  changesFunctions = false
  /** EXEC may publish to its own client. */
  publishes = false
  /** EXEC has to come behind the subscriptions that are under way. */
  asksForSubscribers = false
  /** Of every route whose keys are watched or queued: EXEC is in flight for all of them. */
  readonly states = new Set<RouteState>()
  readonly #session: Session
  /** Of the keys that are written. */
  readonly #hashes: number[] = []
  readonly #reads = new TransactionReads()
  /** FLUSHALL and its like. */
  readonly #serverWide: CommandSpec[] = []
  /** Those of them that EXEC has left with as such, and EXEC's route. */
  #flushes: readonly { readonly spec: CommandSpec; readonly route: Route }[] = []
  readonly #undeclared: UndeclaredCalls
  readonly #functionChanges: PassedChange[] = []
  /** The store whose functions EXEC may change. */
  #functionsOf: readonly string[] = []
  /** Of its keys, where a cluster is to take over. */
  #slots: TransactionSlots = new Map()
  #lane = 0
  #ticket = 0

  constructor(session: Session) {
    this.#session = session
    this.#undeclared = new UndeclaredCalls(session, this.commands)
  }

  /** EXEC has to wait for a switch, or for the copy of a key that it writes. */
  get isHeldBack(): boolean {
    return areHeldBack(this.states, this.#hashes)
  }

  /** What is behind EXEC is meant for another user or database, if it is executed. */
  get changesSession(): boolean {
    return this.commands.some(({ spec }) => spec !== null && CHANGE_SESSION.has(spec.name))
  }

  /** EXEC has to wait for a moment: the primary is being asked to tell what its scripts write. */
  get isToBeTold(): boolean {
    return this.#undeclared.areToBeTold
  }

  /** The routes of a planned command are the transaction's. `own`: also the one that the plan names first, for it has keys there. */
  touches(plan: Plan, own: boolean): void {
    if (own) this.states.add(plan.route.state)
    if (plan.others !== null) for (const state of plan.others) this.states.add(state)
  }

  /** Another table is in force: plans what is queued anew, and gives the routes of its keys. What is only watched is forgotten. `refusal`: why it cannot be executed at once any more; `awaitsFunctions`: that is not known yet. */
  replan(): {
    readonly routes: ReadonlySet<Route>
    readonly refusal: string | null
    readonly awaitsFunctions: boolean
  } {
    const { path } = this.#session
    const { plan } = path
    const routes = new Set<Route>()
    let refusal: string | null = null
    let awaitsFunctions = false
    this.states.clear()
    for (const [i, queued] of this.commands.entries()) {
      parser.parse(queued.bytes, 0, queued.bytes.length)
      planCommand(path.routes, queued.spec, parser, plan)
      refusal ??= plan.refusal
      awaitsFunctions ||= plan.awaitsFunctions
      const own = (plan.keyed && plan.positions.count > 0) || plan.bound
      if (own) {
        const [first = plan.route] = routes.add(plan.route)
        if (first.primary.store !== plan.route.primary.store) refusal ??= crossRoute(first, plan.route)
      }
      this.touches(plan, own)
      this.commands[i] = { ...queued, route: plan.route, renamed: plan.renames }
    }
    return { routes, refusal, awaitsFunctions }
  }

  /** What is kept of the planned command (`path.plan`), `frame` being the application's bytes: to be put behind `commands`. */
  planned(view: CommandView, spec: CommandSpec | null, frame: Buffer, answered: boolean): Queued {
    const { path, database } = this.#session
    const { plan } = path
    if (path.routes.awaitsCluster && spec !== null)
      this.#slots = path.crossSlots.inTransaction(this.#slots, path.routes, spec, view, path.clock.nowMs)
    if (spec?.write && plan.keyed && plan.positions.count > 0) {
      for (let i = 0; i < plan.positions.count; i++) {
        const arg = plan.positions.index[i]!
        this.#hashes.push(hashBytes(view.buf, view.start[arg]!, view.end[arg]!))
      }
    } else if (spec !== null && isServerWide(spec)) this.#serverWide.push(spec)
    this.#undeclared.queued(spec)
    if (spec !== null && changesFunctions(spec)) {
      this.changesFunctions = true
      this.#functionChanges.push(passedBy(spec, frame, 0, frame.length))
    }
    if (spec?.write && !path.readOnlyScripts.isCalled(spec, view)) this.writes = true
    if (spec?.name === 'CLIENT PAUSE') this.pauses = true
    if (spec !== null && mayPublish(spec)) this.publishes = true
    if (spec !== null && asksForSubscribers(spec)) this.asksForSubscribers = true
    this.#reads.queued(path, spec, view, this.commands.length)
    return { spec, route: plan.route, database, bytes: frame, renamed: plan.renames, answered }
  }

  /** EXEC is about to leave on `lane`, as a command of `route`. `returned` follows. */
  leaves(route: Route, lane: number): void {
    const session = this.#session
    const { path } = session
    this.#lane = lane
    this.#ticket = path.tickets.enterAll(this.#hashes, lane)
    this.#reads.left(path, lane)
    for (const spec of this.#serverWide) path.tickets.enterServerWide(spec, NOBODY)
    // A namespace's own flush leaves as a script that names its keys.
    if (this.#serverWide.length > 0)
      this.#flushes = this.commands.flatMap(({ spec, renamed }) =>
        isServerWide(spec) && !renamed ? { spec: spec!, route } : [],
      )
    for (const flush of this.#flushes) path.mirror.undeclared.flushes(flush.spec, route)
    if (path.intents !== null) this.#note(path.intents)
    this.#undeclared.leave()
    session.writesOwed++
    this.#functionsOf = this.changesFunctions ? [route.primary.storeName] : []
    if (this.changesFunctions) {
      path.functions.changing(route.primary.storeName)
      path.mirror.functionsChanging(route.primary.store)
    }
    this.states.delete(route.state)
    for (const state of this.states) state.inFlight++
  }

  /** EXEC has been answered, or never will be. `mayHaveRun`: its commands may have been executed. True: another connection wrote to one of its keys meanwhile. */
  returned(mayHaveRun: boolean): boolean {
    const { tickets, functions, mirror } = this.#session.path
    this.#session.writesOwed--
    this.#undeclared.ended()
    for (const store of this.#functionsOf) functions.changed(store, this.#functionChanges)
    for (const state of this.states) state.inFlight--
    for (const spec of this.#serverWide) tickets.leaveServerWide(spec)
    for (const { spec, route } of this.#flushes) mirror.undeclared.flushed(spec, route, mayHaveRun)
    return tickets.leaveAll(this.#hashes, this.#lane, this.#ticket)
  }

  /** Where the commands' replies lie in EXEC's, as `elementOffsets` says. Null: it is not the array of just these. */
  repliesIn(buf: Buffer, start: number, end: number): Int32Array | null {
    const offsets = execElements(buf, start, end)
    return offsets?.length === this.commands.length + 1 ? offsets : null
  }

  /** Sends the effects to the shadow as one unit. `contested`: as `returned` said; `sentMs`: when EXEC left, by the coarse clock. */
  mirror(buf: Buffer, offsets: Int32Array, contested: boolean, waiter: AckWaiter | null, sentMs: number): void {
    const { mirror } = this.#session.path
    // What was written before a FLUSHALL of the same transaction and what after it, only the store knows.
    const besideServerWide = this.commands.some(({ spec, renamed }) => spec !== null && isServerWide(spec) && !renamed)
    const databases = databasesOf(this.commands, this.#session.database, buf, offsets)
    this.#undeclared.executed()
    try {
      mirror.asOneUnit(
        () => {
          for (const [i, { spec, route, database: begun, bytes, renamed }] of this.commands.entries()) {
            if (!spec?.write) continue
            const database = databases?.[i] ?? begun
            const wroteNothing = buf[offsets[i]!] === MINUS && !mayWriteBeforeError(spec)
            const [from, to] = [offsets[i]!, offsets[i + 1]!]
            if (renamed && isServerWide(spec)) mirrorOwnFlush(this.#session.path, database, buf, from, to, waiter)
            else if ((!contested && !besideServerWide) || isServerWide(spec) || wroteNothing) {
              mirror.apply(spec, route, database, bytes, 0, bytes.length, buf, from, to, waiter)
            } else if (besideServerWide) mirror.besideServerWide(spec, route, database, bytes, buf, from, to, waiter)
            else mirror.contested(spec, route, database, bytes, 0, bytes.length, buf, from, to, waiter)
          }
        },
        waiter,
        sentMs,
      )
    } catch (error) {
      if (!isMalformed(error)) throw error
      this.lose()
    }
  }

  /** Asks the shadow for the sampled reads, behind the effects. */
  compare(buf: Buffer, offsets: Int32Array): void {
    this.#reads.settled(this.#session.path, this.commands, buf, offsets, this.#lane)
  }

  /** Nobody knows what of it was executed. */
  lose(): void {
    const { mirror } = this.#session.path
    const databases = possibleDatabases(this.commands, this.#session.database)
    this.#undeclared.executed()
    for (const { spec, route, bytes } of this.commands) {
      if (!spec?.write) continue
      for (const database of databases) mirror.lost(spec, route, database, bytes, 0, bytes.length)
    }
  }

  /** Before EXEC leaves: until then nothing is written. */
  #note(intents: IntentLog): void {
    const { mirror } = this.#session.path
    const databases = possibleDatabases(this.commands, this.#session.database)
    for (const { spec, bytes } of this.commands) {
      if (!spec?.write) continue
      if (isServerWide(spec)) intents.noteEveryKey()
      else if (changesFunctions(spec)) {
        parser.parse(bytes, 0, bytes.length)
        intents.noteFunctions(removedBy(spec, parser))
      }
      for (const before of databases) {
        for (const { rule, database, key } of mirror.keysIn(spec, before, bytes, 0, bytes.length)) {
          if (rule.route.shadow !== null) intents.noteKey(database, key, 0, key.length)
        }
      }
    }
  }
}

const CHANGE_SESSION: ReadonlySet<string> = new Set(['AUTH', 'HELLO', 'SELECT'])
const parser = new CommandParser()
