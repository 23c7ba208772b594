import { slotOfKey } from '../../command/key-slot.ts'
import { findKeys, KeyPositions } from '../../command/keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { mergeOf } from '../../command/split-commands.ts'
import type { LogLine } from '../../observability/log.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'

/** Slots that a transaction's keys have been in so far, by store; `null`: it has been counted. */
export type TransactionSlots = Map<number, number> | null

/**
 * Counts commands that a cluster would answer CROSSSLOT once it takes over: those whose keys lie in several slots under the names that they have at a route's other end. Counted before the switch, by route and
 * command; what is split by slot there is not, but inside MULTI. Nothing is looked at unless the other end of a route is a cluster (`RouteTable.awaitsCluster`).
 */
export class CrossSlots {
  readonly #log: (line: LogLine) => void
  readonly #positions = new KeyPositions()
  #table: RouteTable | null = null
  #turned!: RouteTable

  constructor(log: (line: LogLine) => void) {
    this.#log = log
  }

  look(table: RouteTable, spec: CommandSpec, view: CommandView, nowMs: number): void {
    if (namesOneKey(spec) || mergeOf(spec.name) !== null) return
    const route = this.#add(new Map(), table, spec, view)
    if (route !== null) this.#count(route, spec.name, nowMs)
  }

  /** A command of a transaction, whose keys have to share a slot with those of all the others. Gives what to hand in with the next one. */
  inTransaction(
    slots: TransactionSlots,
    table: RouteTable,
    spec: CommandSpec,
    view: CommandView,
    nowMs: number,
  ): TransactionSlots {
    if (slots === null) return null
    const route = this.#add(slots, table, spec, view)
    if (route === null) return slots
    this.#count(route, 'MULTI', nowMs)
    return null
  }

  /** The route of a key that lies in another slot of a cluster than those before; null: there is none. */
  #add(slots: Map<number, number>, table: RouteTable, spec: CommandSpec, view: CommandView): Route | null {
    const positions = this.#positions
    findKeys(spec, view, positions)
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      const { buf } = view
      const [start, end] = [view.start[arg]!, view.end[arg]!]
      const { route, primary } = this.#otherEnds(table).find(buf, start, end)
      const { store } = route.primary
      if (route.config.target === null || !table.clusters.has(store)) continue
      const slot = slotOfKey(primary?.apply(buf, start, end) ?? buf.subarray(start, end))
      const before = slots.get(store)
      if (before === undefined) slots.set(store, slot)
      else if (before !== slot) return route
    }
    return null
  }

  #count({ state, name, primary }: Route, command: string, nowMs: number): void {
    const known = state.crossSlots.get(command)
    state.crossSlots.set(command, { count: (known?.count ?? 0) + 1, lastMs: nowMs })
    if (known !== undefined) return
    this.#log({
      level: 'warn',
      msg: 'a command has keys in several slots of the cluster that is to take over, which will answer CROSSSLOT (MULTI: a transaction has)',
      fields: { route: name, store: primary.storeName, command },
    })
  }

  /** The table as it would be after a switch of every route. */
  #otherEnds(table: RouteTable): RouteTable {
    if (this.#table !== table) {
      this.#table = table
      this.#turned = table.turned(new Set(table.routes.map(({ name }) => name)))
    }
    return this.#turned
  }
}

function namesOneKey({ keyFinder, firstKey, lastKey }: CommandSpec): boolean {
  return keyFinder === 'plain' && firstKey === lastKey
}
