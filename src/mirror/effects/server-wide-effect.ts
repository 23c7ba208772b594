import { Queue } from '../../base/queue.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import { NOBODY } from '../copy/sweeps.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import type { SwappedDatabases } from '../keys/swapped-databases.ts'
import { type AckWaiter, acknowledge } from '../shadow/ack-waiter.ts'

const PING = encodeOwn(['PING'])

/** As the client sent it. `lane`: of the primary's connection on which it was answered; NOBODY: within a transaction. */
interface ServerWideCommand {
  readonly spec: CommandSpec
  readonly route: Route
  readonly database: number
  readonly bytes: Buffer
  readonly lane: number
}

/** FLUSHALL, FLUSHDB and SWAPDB on their way to the shadow, in the order in which the primary has answered them. */
export class ServerWideEffects {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #swaps: SwappedDatabases
  readonly #steps = new Steps()

  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable, swaps: SwappedDatabases) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
    this.#swaps = swaps
  }

  /** `waiter`: told when the shadow has it. */
  apply(command: ServerWideCommand, waiter: AckWaiter | null): void {
    new ServerWideEffect(this.#context, this.#dirty, this.#overlap, this.#swaps, this.#steps, command, waiter).start()
  }
}

/**
 * Those that go step by step, the first of them under way. Where the shadow's connections are given up each ends while it begins, and there may be thousands: so the next one begins when that call has returned, not within it.
 */
class Steps {
  readonly #waiting = new Queue<ServerWideEffect>()
  #begins = false

  get any(): boolean {
    return this.#waiting.length > 0
  }

  add(effect: ServerWideEffect): void {
    this.#waiting.push(effect)
    if (this.#waiting.length === 1) this.#begin()
  }

  /** It may be one that did not go by steps. */
  ended(effect: ServerWideEffect): void {
    if (this.#waiting.first !== effect) return
    this.#waiting.shift()
    this.#begin()
  }

  #begin(): void {
    if (this.#begins) return
    this.#begins = true
    let begun: ServerWideEffect | undefined
    try {
      while (this.#waiting.first !== begun) {
        begun = this.#waiting.first
        begun?.waitForOthers()
      }
    } finally {
      this.#begins = false
    }
  }
}

/**
 * One of them. It must neither overtake nor be overtaken by a write of another database, whose effects go down another connection:
 *
 *   FLUSHDB changes what goes down one connection of the mirror: there it has its place among the effects
 *   FLUSHALL the same, while nothing is under way on the others; until it is answered, writes of other connections only make their keys dirty
 *   else     PING down every connection of the mirror ─▶ all answered: what came before is done ─▶ the command ─▶ answered
 *            └── meanwhile every write only makes its keys dirty, and no copy goes out (`OverlapTable.beginSweep`) ──┘
 *
 * A flush whose answer was lost is sent again, ahead of what was queued behind it and has not left; what had left is lost, too, and copied. Of a swap nobody could say whether it happened.
 */
class ServerWideEffect {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #swaps: SwappedDatabases
  readonly #steps: Steps
  readonly #command: ServerWideCommand
  readonly #waiter: AckWaiter | null
  /** Routes whose keys are concerned: each counts a write that is not done. */
  readonly #routes: readonly Route[]
  /** Connections that have not answered the PING. */
  #behind = 0
  /** It has begun a sweep. */
  #sweeps = false

  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    overlap: OverlapTable,
    swaps: SwappedDatabases,
    steps: Steps,
    command: ServerWideCommand,
    waiter: AckWaiter | null,
  ) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
    this.#swaps = swaps
    this.#steps = steps
    this.#command = command
    this.#waiter = waiter
    const { primary, shadow } = command.route
    this.#routes = context.routes.routes.filter(
      (route) => route.primary.store === primary.store && route.shadow?.store === shadow!.store,
    )
  }

  start(): void {
    for (const { state } of this.#routes) state.backlogCommands++
    if (this.#waiter !== null) this.#waiter.pending++
    if (!this.#steps.any && this.#hasItsPlace()) this.#sendInOrder()
    else {
      this.#beginSweep(NOBODY)
      for (const [one, other] of this.#swapped()) this.#swaps.swap(one, other)
      this.#steps.add(this)
    }
  }

  /** Nothing on another connection of the mirror can come between. */
  #hasItsPlace(): boolean {
    const { spec } = this.#command
    const store = this.#store
    const own = store.shadows.to(this.#command.database)
    if (spec.name === 'SWAPDB' || store.cluster !== null || own.state !== 'up') return false
    if (spec.name === 'FLUSHDB') return true
    for (const pipeline of store.shadows.open()) if (pipeline !== own && !pipeline.quiet) return false
    return true
  }

  #sendInOrder(): void {
    const { spec, route, bytes, database } = this.#command
    const pipeline = this.#store.shadows.to(database)
    if (spec.name !== 'FLUSHDB') this.#beginSweep(this.#sharedLane())
    const owner: ReplyOwner = {
      settle: (_slot: InFlight, buf: Buffer, start: number) => this.#end(buf[start] !== MINUS),
      lost: () => {
        if (pipeline.state === 'closed') return this.#end(false)
        // What stands behind it has been lost, too, or has not left yet: there it keeps its place.
        pipeline.pushAhead(owner, bytes, 0, bytes.length).route = route
        pipeline.hurry()
      },
      timedOut: () => {},
    }
    pipeline.push(owner, bytes, 0, bytes.length).route = route
    if (this.#sweeps || this.#waiter !== null) pipeline.hurry()
  }

  /** Writes of a shared pipeline are of one database: their effects follow on the connection that this goes down. */
  #sharedLane(): number {
    const { route, lane } = this.#command
    for (const pipeline of this.#context.stores[route.primary.store]!.sharedPipelines())
      if (pipeline.lane === lane) return lane
    return NOBODY
  }

  #beginSweep(lane: number): void {
    this.#sweeps = true
    this.#overlap.beginSweep(lane)
  }

  /** Its turn has come. */
  waitForOthers(): void {
    const store = this.#store
    store.shadows.to(this.#command.database)
    const passed = (): void => {
      if (--this.#behind === 0) this.#send()
    }
    const { route } = this.#command
    const ask = (pipeline: Pipeline): void => {
      // Lost with everything before it, which is known to be dirty, unless it is a flush: that is sent again, ahead of this.
      const lost = (): void => (pipeline.state === 'closed' ? passed() : ask(pipeline))
      pipeline.push({ settle: passed, lost, timedOut: () => {} }, PING, 0, PING.length).route = route
      pipeline.hurry()
    }
    this.#behind = 1
    for (const pipeline of store.shadows.open()) {
      this.#behind++
      ask(pipeline)
    }
    passed()
  }

  get #store(): Store {
    return this.#context.stores[this.#command.route.shadow!.store]!
  }

  #send(): void {
    const { spec, route, bytes, database } = this.#command
    const pipeline = this.#store.shadows.to(database)
    if (pipeline.state === 'closed') return this.#end(false)
    const owner: ReplyOwner = {
      settle: (_slot: InFlight, buf: Buffer, start: number) => this.#end(buf[start] !== MINUS),
      lost: (_slot, loss) => {
        if (pipeline.state === 'closed' || (loss.mayHaveRun && spec.name === 'SWAPDB')) this.#end(false)
        else this.#send()
      },
      timedOut: () => {},
    }
    pipeline.push(owner, bytes, 0, bytes.length).route = route
    pipeline.hurry()
  }

  #end(ok: boolean): void {
    const { state } = this.#command.route
    const { routes } = this.#context
    if (this.#sweeps) this.#overlap.endSweep()
    for (const route of this.#routes) route.state.backlogCommands--
    if (ok) state.applied++
    else {
      state.failed++
      this.#doubtRoutes()
    }
    // What was known to be dirty in one database is so in the other now.
    for (const [one, other] of this.#swapped()) {
      for (const name of [...this.#dirty.routes()]) {
        const route = routes.byName(name)
        if (route === undefined) continue
        for (const { database, key, reason, sinceMs } of [...this.#dirty.keys(name)]) {
          if (database === one) this.#dirty.mark(route, other, key, reason, sinceMs)
          else if (database === other) this.#dirty.mark(route, one, key, reason, sinceMs)
        }
      }
    }
    acknowledge(this.#waiter, ok)
    this.#steps.ended(this)
  }

  /** Routes, by the table in force, that the shadow may have too much of, or what another database should have: those that it was of, whatever their stores are called by now, and those that have got their keys. */
  #doubtRoutes(): void {
    const { primary, shadow } = this.#command.route
    for (const route of this.#context.routes.routes) {
      if (route.shadow === null) continue
      const isOne = this.#routes.some(({ name }) => name === route.name)
      const isBetweenThem = route.primary.keyspace === primary.keyspace && route.shadow.keyspace === shadow!.keyspace
      if (isOne || isBetweenThem) this.#dirty.toVerify.mark(route.name, 'server-wide')
    }
  }

  #swapped(): [number, number][] {
    const { spec, bytes } = this.#command
    if (spec.name !== 'SWAPDB') return []
    const parser = new CommandParser()
    parser.parse(bytes, 0, bytes.length)
    const [one, other] = [1, 2].map((i) => Number(bytes.toString('latin1', parser.start[i], parser.end[i])))
    return [[one!, other!]]
  }
}
