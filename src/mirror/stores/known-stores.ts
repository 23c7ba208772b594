import { keyspacesIn, type Routing } from '../../config/routing.ts'
import type { RouteTable } from '../../routing/route-table.ts'

/** Writes down `run_id` and the number of the last failover, by store name. */
export type Remember = (runs: ReadonlyMap<string, string>, epochs: ReadonlyMap<string, number>) => void

/**
 * What is known of the stores of mirrored routes, by their names: the process (`run_id`), and the last failover of their Sentinels. A reload, or a file that was changed while nothing ran, may call a store otherwise: what is known of it
 * goes on under its new name, for what becomes of its server in that moment is to be noticed all the same.
 */
export class KnownStores {
  readonly #remember: Remember
  #runs: ReadonlyMap<string, string> = new Map()
  #epochs: ReadonlyMap<string, number> = new Map()
  /** Of the table that was told last. */
  #keyspaces: ReadonlyMap<string, string>

  /** `remember`: writes down what is known. */
  constructor(routes: RouteTable, remember: Remember) {
    this.#keyspaces = mirroredKeyspaces(routes)
    this.#remember = remember
  }

  /** What the last run knew. `keyspaces`: what its stores were, where that is known. */
  restore(
    runs: ReadonlyMap<string, string>,
    epochs: ReadonlyMap<string, number>,
    keyspaces: ReadonlyMap<string, string>,
  ): void {
    this.#runs = runs
    this.#epochs = epochs
    this.#keyspaces = new Map([...runs.keys(), ...epochs.keys()].map((name) => [name, keyspaces.get(name) ?? '']))
  }

  /** Another table is in force. Gives what each of its mirrored routes' stores was called in the one before; new ones are left out. */
  routesChanged(routes: RouteTable): ReadonlyMap<string, string> {
    const keyspaces = mirroredKeyspaces(routes)
    const former = formerNames(this.#keyspaces, keyspaces)
    const changed = this.#keyspaces.size !== former.size || [...former].some(([name, before]) => name !== before)
    this.#keyspaces = keyspaces
    this.#runs = handedOn(this.#runs, former)
    this.#epochs = handedOn(this.#epochs, former)
    if (changed) this.#remember(this.#runs, this.#epochs)
    return former
  }

  runOf(store: string): string | undefined {
    return this.#runs.get(store)
  }

  /** Undefined: which process it is now has to be learnt. */
  setRun(store: string, runId: string | undefined): void {
    this.#runs = changedIn(this.#runs, store, runId)
    if (runId !== undefined) this.#remember(this.#runs, this.#epochs)
  }

  epochOf(store: string): number | undefined {
    return this.#epochs.get(store)
  }

  setEpoch(store: string, epoch: number): void {
    this.#epochs = changedIn(this.#epochs, store, epoch)
    this.#remember(this.#runs, this.#epochs)
  }
}

/** What was noted of stores by their names, under the names that they have now. */
export function handedOn<T>(known: ReadonlyMap<string, T>, former: ReadonlyMap<string, string>): Map<string, T> {
  return new Map(
    [...former].flatMap(([name, before]) => {
      const value = known.get(before)
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
}

/**
 * What each store was called before, by name: a store is the database of a server that it is. One that is another database now may be the same server at another address, and is known by its name; unless that database has
 * got another name. New ones are left out.
 */
function formerNames(
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const names = new Map([...before].map(([name, keyspace]) => [keyspace, name]))
  const stay = new Set(now.values())
  return new Map(
    [...now].flatMap(([name, keyspace]) => {
      const was = before.get(name)
      if (was === keyspace) return [[name, name] as const]
      const other = names.get(keyspace)
      if (other !== undefined) return [[name, other] as const]
      return was === undefined || stay.has(was) ? [] : [[name, name] as const]
    }),
  )
}

/** Whether a store, as it is called now, is what had that name before. */
export type WasCalled = (store: string, name: string) => boolean

/** `before` may call one database by several names. Where nothing is known of before (null) its stores are called now as they were then. */
export function formerNamesIn(before: Routing | null, now: Routing): WasCalled {
  if (before === null) return (store, name) => store === name
  const keyspaces = keyspacesIn(before)
  const former = formerNames(keyspaces, keyspacesIn(now))
  return (store, name) => {
    const was = former.get(store)
    return was !== undefined && (was === name || keyspaces.get(was) === keyspaces.get(name))
  }
}

function mirroredKeyspaces({ routes }: RouteTable): ReadonlyMap<string, string> {
  return new Map(
    routes.flatMap(({ primary, shadow }) =>
      (shadow === null ? [] : [primary, shadow]).map(({ storeName, keyspace }) => [storeName, keyspace] as const),
    ),
  )
}

function changedIn<T>(map: ReadonlyMap<string, T>, name: string, value: T | undefined): ReadonlyMap<string, T> {
  const changed = new Map(map)
  if (value === undefined) changed.delete(name)
  else changed.set(name, value)
  return changed
}
