import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import { encodeCommand } from '../resp/encode.ts'
import type { Route } from '../routing/route.ts'
import type { InFlight, ReplyOwner } from '../upstream/in-flight.ts'
import { type AckWaiter, acknowledge } from './ack-waiter.ts'
import type { DataPathContext } from './context.ts'
import type { DirtySet } from './dirty-set.ts'
import type { OverlapTable } from './overlap.ts'
import type { SwappedDatabases } from './swapped-databases.ts'

const PING = encodeCommand(['PING'])

/**
 * FLUSHALL, FLUSHDB or SWAPDB on its way to the shadow. It must neither overtake nor be overtaken by a write of another database, whose effects go down another connection:
 *
 *   PING down every connection of the mirror ─▶ all answered: what came before is done ─▶ the command ─▶ answered
 *   └── meanwhile every write only makes its keys dirty, and no copy goes out (`OverlapTable.beginSweep`) ──┘
 *
 * A flush whose answer was lost is sent again: nothing else has happened there. Of a swap nobody could say whether it happened.
 */
export class ServerWideEffect {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #swaps: SwappedDatabases
  readonly #spec: CommandSpec
  readonly #route: Route
  readonly #database: number
  readonly #bytes: Buffer
  readonly #waiter: AckWaiter | null
  /** Connections that have not answered the PING. */
  #behind = 0

  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    overlap: OverlapTable,
    swaps: SwappedDatabases,
    command: { readonly spec: CommandSpec; readonly route: Route; readonly database: number; readonly bytes: Buffer },
    waiter: AckWaiter | null,
  ) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
    this.#swaps = swaps
    this.#spec = command.spec
    this.#route = command.route
    this.#database = command.database
    this.#bytes = command.bytes
    this.#waiter = waiter
  }

  start(): void {
    const store = this.#context.stores[this.#route.shadow!.store]!
    this.#overlap.beginSweep()
    for (const [one, other] of this.#swapped()) this.#swaps.swap(one, other)
    this.#route.state.backlogCommands++
    if (this.#waiter !== null) this.#waiter.pending++
    store.shadow(this.#database)
    const passed = (): void => {
      if (--this.#behind === 0) this.#send()
    }
    // Lost means that everything before it has been lost, too, and is known to be dirty.
    const barrier: ReplyOwner = { settle: passed, lost: passed, timedOut: () => {} }
    this.#behind = 1
    for (const pipeline of store.shadowPipelines()) {
      if (pipeline.state === 'closed') continue
      this.#behind++
      pipeline.push(barrier, PING, 0, PING.length).route = this.#route
      pipeline.hurry()
    }
    passed()
  }

  #send(): void {
    const { shadow } = this.#route
    const pipeline = this.#context.stores[shadow!.store]!.shadow(this.#database)
    if (pipeline.state === 'closed') return this.#end(false)
    const owner: ReplyOwner = {
      settle: (_slot: InFlight, buf: Buffer, start: number) => this.#end(buf[start] !== MINUS),
      lost: (_slot, loss) => {
        if (pipeline.state === 'closed' || (loss.mayHaveRun && this.#spec.name === 'SWAPDB')) this.#end(false)
        else this.#send()
      },
      timedOut: () => {},
    }
    pipeline.push(owner, this.#bytes, 0, this.#bytes.length).route = this.#route
    pipeline.hurry()
  }

  #end(ok: boolean): void {
    const { state, primary, shadow } = this.#route
    const { routes, clock } = this.#context
    this.#overlap.endSweep()
    state.backlogCommands--
    if (ok) state.applied++
    else {
      state.failed++
      for (const route of routes.routes) {
        if (route.primary.store === primary.store && route.shadow?.store === shadow!.store)
          this.#dirty.toVerify.mark(route.name, 'server-wide')
      }
    }
    // What was known to be dirty in one database is so in the other now.
    for (const [one, other] of this.#swapped()) {
      for (const name of [...this.#dirty.routes()]) {
        const route = routes.byName(name)
        if (route === undefined) continue
        for (const { database, key, reason } of [...this.#dirty.keys(name)]) {
          if (database === one) this.#dirty.mark(route, other, key, reason, clock.nowMs)
          else if (database === other) this.#dirty.mark(route, one, key, reason, clock.nowMs)
        }
      }
    }
    acknowledge(this.#waiter, ok)
  }

  #swapped(): [number, number][] {
    if (this.#spec.name !== 'SWAPDB') return []
    const parser = new CommandParser()
    parser.parse(this.#bytes, 0, this.#bytes.length)
    const [one, other] = [1, 2].map((i) => Number(this.#bytes.toString('latin1', parser.start[i], parser.end[i])))
    return [[one!, other!]]
  }
}
