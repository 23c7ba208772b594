import { hashBytes } from '../base/hash.ts'
import { type UnservedDatabases, unservedDatabases } from '../config/checks/unserved-databases.ts'
import type { Config, EndConfig, RouteConfig } from '../config/config.ts'
import { keyspaceOf, serverOf } from '../config/keyspace.ts'
import { comparePatterns, KeyPattern } from '../config/patterns/pattern.ts'
import { KeyRename } from '../config/patterns/rename.ts'
import { ChannelTable } from './channel-table.ts'
import { KeyspaceView } from './keyspace-view.ts'
import type { Occupant } from './occupant.ts'
import { comparesIn, cursorMarksOf, type End, type KeyRule, type Route, RouteState, rolesOf } from './route.ts'
import { findRule, type RuleTree, ruleTree } from './rule-tree.ts'
import { SCAN_VIEWS } from './scan-cursor.ts'

/**
 * All routes of one configuration, ready to be asked per key. Immutable: a reload makes a new one (`generation` counts them).
 *
 * Lookup: rules are sorted most specific first, and listed per first byte of a key; so a key meets only rules that can match it, and the
 * first that matches is the right one. A table whose only rule is a `*` that renames nothing is `trivial`: no key has to be looked for.
 */
export class RouteTable {
  readonly generation: number
  readonly stores: readonly string[]
  /** What it was made of. */
  readonly config: Pick<Config, 'routes' | 'stores'>
  readonly routes: readonly Route[]
  /** Set when every key has the same rule and no key is renamed. */
  readonly trivial: Route | null
  /** The route of commands without keys: the one of `*`. */
  readonly fallback: Route
  /** Most specific first. */
  readonly rules: readonly KeyRule[]
  /** Stores that hold keys of the application, one for each keyspace: what a command about all keys has to ask. The fallback's is the first. */
  readonly primaryStores: readonly number[]
  /** What a SCAN's cursor carries, so that it goes on under this table (`scan-cursor.ts`); 0: nothing is translated, and no switch can change that. */
  readonly scanView: number
  readonly channels: ChannelTable
  /** Keys have other names than the application's somewhere, or several primaries: what makes names itself (scripts, patterns of SORT) goes wrong there. */
  readonly namesDiffer: boolean
  /** Databases that no client can have. */
  readonly unserved: UnservedDatabases
  /** A script that uses other keys than it declares, or selects a database, does it to the same ones at every store. */
  readonly scriptsMeanTheSame: boolean
  /** A step of one route after the other leaves keys at several primaries for a while. */
  readonly mayPart: boolean
  /** Some keys have other names than the application's at the store that answers now. */
  readonly primaryRenames: boolean
  /** Of `stores`, those that are clusters. */
  readonly clusters: ReadonlySet<number>
  /** A cluster is the end of a route that does not answer now. */
  readonly awaitsCluster: boolean
  readonly #keyspaces: readonly string[]
  readonly #views = new Map<string, KeyspaceView>()
  readonly #occupants = new Map<string, readonly Occupant[]>()
  readonly #fallbackRule: KeyRule
  readonly #states: Map<string, RouteState>
  readonly #byFirstByte: readonly RuleTree<KeyRule>[]
  /** Where every route's keys are, and under which names; '': nothing is translated, and no switch can change that. */
  readonly #ends: string

  /**
   * @param stores names by index: stable over generations, because what is in flight remembers indexes
   * @param states what outlives a generation, by route name; missing ones are added
   */
  constructor(
    config: Pick<Config, 'routes' | 'stores'>,
    generation: number,
    stores: readonly string[],
    states: Map<string, RouteState>,
  ) {
    this.generation = generation
    this.stores = stores
    this.config = config
    this.#states = states
    this.routes = config.routes.map((route, index) => this.#route(route, index, states))
    const rules = this.routes.flatMap((route) => rulesOf(route)).sort((a, b) => comparePatterns(a.pattern, b.pattern))
    const fallback = rules.find((rule) => rule.pattern.text === '*')
    this.rules = rules
    this.#fallbackRule = fallback ?? rules[0]!
    this.fallback = this.#fallbackRule.route
    this.clusters = new Set(stores.flatMap((name, i) => (config.stores[name]?.kind === 'cluster' ? [i] : [])))
    this.awaitsCluster = config.routes.some(({ phase, source, target }) => {
      const other = rolesOf(phase).primary === 'source' ? target : source
      return target !== null && config.stores[other!.store]?.kind === 'cluster'
    })
    this.#keyspaces = stores.map((name) => {
      const store = config.stores[name]
      return store === undefined ? `former ${name}` : keyspaceOf(store)
    })
    const servers = stores.map((name) => {
      const store = config.stores[name]
      return store === undefined ? `former ${name}` : serverOf(store)
    })
    this.channels = new ChannelTable(this.routes, this.fallback, stores, servers)
    this.primaryStores = [this.fallback, ...this.routes]
      .map(({ primary }) => primary.store)
      .filter((store, i, all) => all.findIndex((other) => this.#keyspaces[other] === this.#keyspaces[store]) === i)
    this.namesDiffer = this.primaryStores.length > 1 || rules.some(renames)
    this.mayPart =
      config.routes.length > 1 && config.routes.some(({ source, target }) => movesTo(source, target, config))
    this.primaryRenames = rules.some((rule) => rule.primary !== null)
    this.#ends = this.#endsOf(config)
    this.scanView = this.#scanView()
    this.trivial = rules.length === 1 && fallback !== undefined && !renames(fallback) ? fallback.route : null
    this.unserved = unservedDatabases(config)
    this.scriptsMeanTheSame = this.trivial !== null && this.unserved.size === 0
    this.#byFirstByte = Array.from({ length: 256 }, (_, byte) =>
      ruleTree(
        rules.filter((rule) => canBeginWith(rule.pattern, byte)),
        1,
      ),
    )
  }

  /** The same routes with the authority of those at their other end: a table as it was before a switch of them, or will be after it. */
  turned(names: ReadonlySet<string>): RouteTable {
    const routes = this.config.routes.map((route): RouteConfig => {
      if (!names.has(route.name) || route.target === null) return route
      return { ...route, phase: rolesOf(route.phase).primary === 'source' ? 'switched' : 'shadow' }
    })
    return new RouteTable({ ...this.config, routes }, this.generation, this.stores, this.#states)
  }

  /** The rule of the key `buf[start .. end)`. Every key has one: what no pattern matches is the fallback route's. */
  find(buf: Buffer, start: number, end: number): KeyRule {
    if (start === end) return this.#fallbackRule
    return findRule(this.#byFirstByte[buf[start]!]!, buf, start, end) ?? this.#fallbackRule
  }

  /** The store's database that clients know as 0. */
  databaseOf(store: number): number {
    return this.config.stores[this.stores[store]!]?.database ?? 0
  }

  /** Whether the rule's primary is the keyspace of that store. */
  isOn(rule: KeyRule, store: number): boolean {
    return this.#keyspaces[rule.route.primary.store] === this.#keyspaces[store]
  }

  /** What the application has to see of that store. */
  viewOf(store: number): KeyspaceView {
    const keyspace = this.#keyspaces[store]!
    let view = this.#views.get(keyspace)
    if (view === undefined) {
      view = new KeyspaceView(
        this.rules,
        this.occupantsOf(store),
        (rule) => rule.primary === null && this.isOn(rule, store),
        (buf, start, end) => this.find(buf, start, end),
      )
      this.#views.set(keyspace, view)
    }
    return view
  }

  /**
   * What the application would see of the store of that end if the route were answered there, and every other route where it is. As `viewOf` of a table with the route in
   * another phase, without building one.
   */
  viewAt(route: Route, which: 'source' | 'target'): KeyspaceView {
    const at = route.config[which]!
    const store = this.stores.indexOf(at.store)
    if (rolesOf(route.phase).primary === which) return this.viewOf(store)
    return new KeyspaceView(
      this.rules,
      this.occupantsOf(store).map((occupant) =>
        occupant.rule.route === route ? { ...occupant, live: occupant.which === which } : occupant,
      ),
      (rule) =>
        rule.route === route ? renameAt(at, rule.pattern) === null : rule.primary === null && this.isOn(rule, store),
      (buf, start, end) => this.find(buf, start, end),
    )
  }

  /** Names that routes give keys in that store's keyspace, at either end and in whatever phase: a copy stays hidden when its side is not in use. */
  occupantsOf(store: number): readonly Occupant[] {
    const keyspace = this.#keyspaces[store]!
    let occupants = this.#occupants.get(keyspace)
    if (occupants === undefined) {
      occupants = this.rules.flatMap((rule) => {
        const { config, phase } = rule.route
        const { primary } = rolesOf(phase)
        return (['source', 'target'] as const).flatMap((which) => {
          const end = config[which]
          if (end === null || this.#keyspaces[this.stores.indexOf(end.store)] !== keyspace) return []
          const rename = renameAt(end, rule.pattern)
          return rename === null ? [] : [{ rule, rename, which, live: which === primary }]
        })
      })
      this.#occupants.set(keyspace, occupants)
    }
    return occupants
  }

  /** Every key is at the same store under the same name as in the other table. */
  seesAs(other: RouteTable): boolean {
    return this.#ends === other.#ends
  }

  #endsOf({ routes }: Pick<Config, 'routes'>): string {
    const plain = this.primaryStores.length === 1 && this.viewOf(this.fallback.primary.store).whole
    if (plain && routes.every((route) => route.target === null)) return ''
    const ends = this.routes.map(({ name, phase, primary, config: { keys, source, target } }) => [
      name,
      keys,
      rolesOf(phase).primary,
      this.#keyspaces[primary.store],
      source,
      target,
    ])
    return JSON.stringify(ends)
  }

  #scanView(): number {
    if (this.#ends === '') return 0
    const text = Buffer.from(this.#ends)
    // The switch of one route always gives another number; beyond that it is a hash.
    const parity = this.routes.filter(({ phase }) => rolesOf(phase).primary === 'target').length % 2
    return 1 + 2 * (hashBytes(text, 0, text.length) % (SCAN_VIEWS >> 1)) + parity
  }

  byName(name: string): Route | undefined {
    return this.routes.find((route) => route.name === name)
  }

  #route(config: RouteConfig, index: number, states: Map<string, RouteState>): Route {
    const roles = rolesOf(config.phase)
    const compares = comparesIn(config.phase)
    const end = (which: 'source' | 'target'): End => {
      const { store } = which === 'source' ? config.source : config.target!
      return { store: this.stores.indexOf(store), storeName: store, keyspace: keyspaceOf(this.config.stores[store]!) }
    }
    let state = states.get(config.name)
    if (state === undefined) states.set(config.name, (state = new RouteState(config.name)))
    return {
      index,
      name: config.name,
      phase: config.phase,
      primary: end(roles.primary),
      shadow: roles.shadow === null ? null : end(roles.shadow),
      readsShadow: config.phase === 'read-target',
      samples: compares && (config.compare.sample > 0 || config.compare.always.length > 0),
      sampleBelow: compares ? Math.round(config.compare.sample * 2 ** 32) : 0,
      always: compares ? config.compare.always.map((text) => KeyPattern.parse(text)) : [],
      never: compares ? config.compare.never.map((text) => KeyPattern.parse(text)) : [],
      cursorMarks: cursorMarksOf(config, this.config.stores),
      config,
      state,
    }
  }
}

/** A switch of such a route takes its keys elsewhere. */
function movesTo(source: EndConfig, target: EndConfig | null, { stores }: Pick<Config, 'stores'>): boolean {
  return target !== null && keyspaceOf(stores[source.store]!) !== keyspaceOf(stores[target.store]!)
}

function rulesOf(route: Route): KeyRule[] {
  const { config } = route
  const roles = rolesOf(config.phase)
  const rename = (which: 'source' | 'target' | null, pattern: KeyPattern): KeyRename | null => {
    if (which === null) return null
    const end = which === 'source' ? config.source : config.target
    return end === null ? null : renameAt(end, pattern)
  }
  return config.keys.map((text) => {
    const pattern = KeyPattern.parse(text)
    return { route, pattern, primary: rename(roles.primary, pattern), shadow: rename(roles.shadow, pattern) }
  })
}

/** Null: the pattern's keys keep their names there. */
export function renameAt(end: EndConfig, pattern: KeyPattern): KeyRename | null {
  const to = end.keys[pattern.text]
  return to === undefined || to === pattern.text ? null : KeyRename.between(pattern, KeyPattern.parse(to))
}

function renames(rule: KeyRule): boolean {
  return rule.primary !== null || rule.shadow !== null
}

function canBeginWith(pattern: KeyPattern, byte: number): boolean {
  return pattern.literalPrefix.length === 0 || pattern.literalPrefix[0] === byte
}
