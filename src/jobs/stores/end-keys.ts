import { UnderstudyError } from '../../base/errors.ts'
import type { Config, EndConfig } from '../../config/config.ts'
import type { KeyRename } from '../../config/patterns/rename.ts'
import type { KeyspaceView } from '../../routing/keyspace-view.ts'
import { type KeyRule, rolesOf } from '../../routing/route.ts'
import { RouteTable, renameAt } from '../../routing/route-table.ts'
import { isStagingKey } from '../../routing/staging-key.ts'

export type EndName = 'source' | 'target'

/**
 * The keys of a route at one of its ends: which of the names in that store are the route's, and what the application calls them. What else lies in the store (other routes' keys, copies that
 * are another end's, a neighbour's) is not.
 *
 * It is the keyspace as the application would see it if this end were the route's primary.
 */
export class EndKeys {
  readonly storeName: string
  readonly routeName: string
  readonly which: EndName
  readonly #table: RouteTable
  readonly #view: KeyspaceView
  readonly #end: EndConfig
  /** Of the route's rules, as they are asked for. */
  readonly #renames = new Map<KeyRule, KeyRename | null>()
  /** Every name here is the route's, and is what the application says. */
  readonly #whole: boolean

  /** Throws NOT_FOUND when there is no such route; a route without a target has no keys there. */
  constructor(config: Config, route: string, which: EndName) {
    const table = tableOf(config)
    const own = table.byName(route)
    const end = own?.config[which]
    if (own === undefined || end === undefined || end === null) {
      throw new UnderstudyError('NOT_FOUND', `no route with a ${which} is called '${route}'`)
    }
    this.#table = table
    this.#view = table.viewAt(own, which)
    this.#end = end
    this.#whole = this.#view.whole && config.routes.length === 1
    this.routeName = route
    this.which = which
    this.storeName = end.store
  }

  /** The application's name of the key that is called `name` here; null: it is not the route's. */
  keyOf(name: Buffer): Buffer | null {
    if (isStagingKey(name, 0, name.length)) return null
    if (this.#whole) return name
    const key = this.#view.nameOf(name, 0, name.length)
    if (key === null) return null
    return this.#table.find(key, 0, key.length).route.name === this.routeName ? key : null
  }

  /** Whether the application's `key` is one of the route's. */
  owns(key: Buffer): boolean {
    return this.#table.find(key, 0, key.length).route.name === this.routeName
  }

  /** What the application's `key`, one of the route's, is called here. */
  nameOf(key: Buffer): Buffer {
    if (this.#whole) return key
    return this.#renameOf(this.#table.find(key, 0, key.length))?.apply(key, 0, key.length) ?? key
  }

  #renameOf(rule: KeyRule): KeyRename | null {
    let rename = this.#renames.get(rule)
    if (rename === undefined) this.#renames.set(rule, (rename = renameAt(this.#end, rule.pattern)))
    return rename
  }
}

/** One for all ends of a configuration: with hundreds of routes, tables of their own took most of a start. */
const tables = new WeakMap<Config, RouteTable>()

export function tableOf(config: Config): RouteTable {
  let table = tables.get(config)
  if (table === undefined) {
    table = new RouteTable(config, 0, Object.keys(config.stores), new Map())
    tables.set(config, table)
  }
  return table
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
