import type { LogLine } from '../../observability/log.ts'
import type { Route } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import { isUnread, nameOfFunction } from '../../routing/script-id.ts'

/**
 * Scripts and functions that use keys which they do not declare, where keys have other names at a store: each is said once for a route, a script by its SHA-1 (a source may hold names of keys), a function by its name, and counted. One that declares no
 * key at all may reach any route's.
 */
export class ScriptDoubts {
  readonly #log: (line: LogLine) => void
  readonly #byRoute = new Map<string, Set<string>>()
  readonly #ofAnyRoute = new Set<string>()

  constructor(log: (line: LogLine) => void) {
    this.#log = log
  }

  /** `keyed`: it declares keys, and the first is the route's. */
  report(id: string, route: Route, keyed: boolean): void {
    const ids = keyed ? this.#of(route.name) : this.#ofAnyRoute
    if (ids.has(id) || ids.size >= MAX_REPORTED) return
    ids.add(id)
    const name = nameOfFunction(id)
    this.#log({
      level: 'warn',
      msg: isUnread(id)
        ? `a function could not be read (FUNCTION LIST, which its store refuses or does not answer); if it uses keys which it does not declare, and they have other names at the store, or another primary, it reaches the wrong ones`
        : `a ${name === null ? 'script' : 'function'} uses keys which it does not declare as KEYS; where they have other names at the store, or another primary, it reaches the wrong ones`,
      fields: name === null ? { route: route.name, sha: id } : { route: route.name, function: name },
    })
  }

  /** At this primary they are others now than those that were reported. */
  forget(table: RouteTable, store: string, ids: readonly string[]): void {
    for (const seen of this.#at(table, store)) for (const id of ids) seen.delete(id)
  }

  /** This primary has told its functions: those that could not be read are judged anew when they are called. */
  forgetUnread(table: RouteTable, store: string): void {
    for (const seen of this.#at(table, store)) for (const id of seen) if (isUnread(id)) seen.delete(id)
  }

  /** Those that have been seen since the start and may reach keys of the route. */
  mayReach(route: string): string[] {
    return [...new Set([...(this.#byRoute.get(route) ?? []), ...this.#ofAnyRoute])]
  }

  /** Of the routes that the store answers. What declares no key is executed where the route `*` is. */
  #at({ routes, fallback }: RouteTable, store: string): Set<string>[] {
    const served = routes.filter(({ primary }) => primary.storeName === store)
    const sets = served.flatMap(({ name }) => this.#byRoute.get(name) ?? [])
    return served.includes(fallback) ? [this.#ofAnyRoute, ...sets] : sets
  }

  #of(route: string): Set<string> {
    let ids = this.#byRoute.get(route)
    if (ids === undefined) this.#byRoute.set(route, (ids = new Set()))
    return ids
  }
}

/** Of a route. */
const MAX_REPORTED = 200
