import type { LogLine } from '../observability/log.ts'
import type { Route } from '../routing/route.ts'

/**
 * Scripts that use keys which they do not declare, where keys have other names at a store: each is said once for a route, by its SHA-1 (a source may hold names of keys), and counted. One that declares no
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
  report(sha: string, route: Route, keyed: boolean): void {
    const shas = keyed ? this.#of(route.name) : this.#ofAnyRoute
    if (shas.has(sha) || shas.size >= MAX_REPORTED) return
    shas.add(sha)
    this.#log({
      level: 'warn',
      msg: 'a script uses keys which it does not declare as KEYS; where they have other names at the store it reaches the wrong ones',
      fields: { route: route.name, sha },
    })
  }

  /** SHA-1s of those that have been seen since the start and may reach keys of the route. */
  mayReach(route: string): string[] {
    return [...new Set([...(this.#byRoute.get(route) ?? []), ...this.#ofAnyRoute])]
  }

  #of(route: string): Set<string> {
    let shas = this.#byRoute.get(route)
    if (shas === undefined) this.#byRoute.set(route, (shas = new Set()))
    return shas
  }
}

/** Of a route. */
const MAX_REPORTED = 200
