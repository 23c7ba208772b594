import { append } from '../../base/append.ts'
import type { Config } from '../../config/config.ts'
import { type EndKeys, tableOf } from './end-keys.ts'

/**
 * Several routes' ends in one store, each to be found once: by a name in that store, those whose key it is.
 *
 * A name can be a key only of the route whose pattern it matches and of those that give keys such names there. So few of hundreds of ends are asked about it.
 */
export class EndsOfNames {
  readonly #config: Config
  readonly #store: number
  readonly #byRoute = new Map<string, EndKeys[]>()

  constructor(config: Config, store: string, ends: Iterable<EndKeys>) {
    this.#config = config
    this.#store = tableOf(config).stores.indexOf(store)
    for (const end of ends) {
      const same = this.#byRoute.get(end.routeName)
      if (same === undefined) this.#byRoute.set(end.routeName, [end])
      else same.push(end)
    }
  }

  /** The ends, of those not yet taken, that hold a key under this name. */
  take(name: Buffer): EndKeys[] {
    const table = tableOf(this.#config)
    const taken = this.#takeOf(table.find(name, 0, name.length).route.name, name)
    for (const { rule, rename } of table.occupantsOf(this.#store)) {
      if (this.#byRoute.has(rule.route.name) && rename.undo(name, 0, name.length) !== null) {
        append(taken, this.#takeOf(rule.route.name, name))
      }
    }
    return taken
  }

  #takeOf(route: string, name: Buffer): EndKeys[] {
    const ends = this.#byRoute.get(route)
    if (ends === undefined) return []
    const taken = ends.filter((end) => end.keyOf(name) !== null)
    const left = ends.filter((end) => !taken.includes(end))
    if (left.length === 0) this.#byRoute.delete(route)
    else this.#byRoute.set(route, left)
    return taken
  }
}
