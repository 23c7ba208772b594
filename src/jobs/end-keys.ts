import { UnderstudyError } from '../base/errors.ts'
import type { Config } from '../config/config.ts'
import type { KeyspaceView } from '../routing/keyspace-view.ts'
import { rolesOf } from '../routing/route.ts'
import { RouteTable } from '../routing/route-table.ts'
import { isStagingKey } from '../routing/staging-key.ts'

export type EndName = 'source' | 'target'

/**
 * The keys of a route at one of its ends: which of the names in that store are the route's, and what the application calls them. What else lies in the store (other routes' keys, copies that
 * are another end's, a neighbour's) is not.
 *
 * It is the keyspace as the application would see it if this end were the route's primary.
 */
export class EndKeys {
  readonly storeName: string
  readonly #table: RouteTable
  readonly #view: KeyspaceView
  readonly #route: string
  readonly #which: EndName
  /** Every name here is the route's, and is what the application says. */
  readonly #whole: boolean

  /** Throws NOT_FOUND when there is no such route; a route without a target has no keys there. */
  constructor(config: Config, route: string, which: EndName) {
    const phase = which === 'source' ? 'passthrough' : 'done'
    const asPrimary = config.routes.map((other) => (other.name === route ? ({ ...other, phase } as const) : other))
    const own = asPrimary.find((other) => other.name === route)
    const end = own?.[which]
    if (end === undefined || end === null) {
      throw new UnderstudyError('NOT_FOUND', `no route with a ${which} is called '${route}'`)
    }
    const stores = Object.keys(config.stores)
    this.#table = new RouteTable({ stores: config.stores, routes: asPrimary }, 0, stores, new Map())
    this.#view = this.#table.viewOf(stores.indexOf(end.store))
    this.#route = route
    this.#which = which
    this.#whole = this.#view.whole && config.routes.length === 1
    this.storeName = end.store
  }

  /** The application's name of the key that is called `name` here; null: it is not the route's. */
  keyOf(name: Buffer): Buffer | null {
    if (isStagingKey(name, 0, name.length)) return null
    if (this.#whole) return name
    const key = this.#view.nameOf(name, 0, name.length)
    if (key === null) return null
    return this.#table.find(key, 0, key.length).route.name === this.#route ? key : null
  }

  /** Whether the application's `key` is one of the route's. */
  owns(key: Buffer): boolean {
    return this.#table.find(key, 0, key.length).route.name === this.#route
  }

  /** What the application's `key`, one of the route's, is called here. */
  nameOf(key: Buffer): Buffer {
    if (this.#whole) return key
    return this.#table.find(key, 0, key.length).primary?.apply(key, 0, key.length) ?? key
  }

  get which(): EndName {
    return this.#which
  }
}

/** Both ends of a route in their present roles. */
export interface RouteEnds {
  readonly primary: EndKeys
  /** Null: nothing is mirrored. */
  readonly shadow: EndKeys | null
}

export function endsOf(config: Config, name: string): RouteEnds {
  const route = config.routes.find((other) => other.name === name)
  if (route === undefined) throw new UnderstudyError('NOT_FOUND', `no route is called '${name}'`)
  const { primary, shadow } = rolesOf(route.phase)
  return {
    primary: new EndKeys(config, name, primary),
    shadow: shadow === null ? null : new EndKeys(config, name, shadow),
  }
}
