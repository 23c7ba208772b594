import type { Config, EndConfig, RouteConfig } from '../config/config.ts'
import { comparePatterns, KeyPattern } from '../config/pattern.ts'
import { KeyRename } from '../config/rename.ts'
import { comparesIn, type End, type KeyRule, type Route, RouteState, rolesOf } from './route.ts'

/**
 * All routes of one configuration, ready to be asked per key. Immutable: a reload makes a new one (`generation` counts them).
 *
 * Lookup: rules are sorted most specific first, and listed per first byte of a key; so a key meets only rules that can match it, and the
 * first that matches is the right one. A table whose only rule is a `*` that renames nothing is `trivial`: no key has to be looked for.
 */
export class RouteTable {
  readonly generation: number
  readonly stores: readonly string[]
  readonly routes: readonly Route[]
  /** Set when every key has the same rule and no key is renamed. */
  readonly trivial: Route | null
  /** The route of commands without keys: the one of `*`. */
  readonly fallback: Route
  readonly #fallbackRule: KeyRule
  readonly #byFirstByte: readonly (readonly KeyRule[])[]

  /**
   * @param stores names by index: stable over generations, because what is in flight remembers indexes
   * @param states what outlives a generation, by route name; missing ones are added
   */
  constructor(
    config: Pick<Config, 'routes'>,
    generation: number,
    stores: readonly string[],
    states: Map<string, RouteState>,
  ) {
    this.generation = generation
    this.stores = stores
    this.routes = config.routes.map((route, index) => this.#route(route, index, states))
    const rules = this.routes.flatMap((route) => rulesOf(route)).sort((a, b) => comparePatterns(a.pattern, b.pattern))
    const fallback = rules.find((rule) => rule.pattern.text === '*')
    this.#fallbackRule = fallback ?? rules[0]!
    this.fallback = this.#fallbackRule.route
    this.trivial = rules.length === 1 && fallback !== undefined && !renames(fallback) ? fallback.route : null
    this.#byFirstByte = Array.from({ length: 256 }, (_, byte) =>
      rules.filter((rule) => canBeginWith(rule.pattern, byte)),
    )
  }

  /** The rule of the key `buf[start .. end)`. Every key has one: what no pattern matches is the fallback route's. */
  find(buf: Buffer, start: number, end: number): KeyRule {
    if (start === end) return this.#fallbackRule
    const rules = this.#byFirstByte[buf[start]!]!
    for (let i = 0; i < rules.length; i++) {
      if (rules[i]!.pattern.matches(buf, start, end)) return rules[i]!
    }
    return this.#fallbackRule
  }

  byName(name: string): Route | undefined {
    return this.routes.find((route) => route.name === name)
  }

  #route(config: RouteConfig, index: number, states: Map<string, RouteState>): Route {
    const roles = rolesOf(config.phase)
    const compares = comparesIn(config.phase)
    const end = (which: 'source' | 'target'): End => {
      const { store } = which === 'source' ? config.source : config.target!
      return { store: this.stores.indexOf(store), storeName: store }
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
      config,
      state,
    }
  }
}

function rulesOf(route: Route): KeyRule[] {
  const { config } = route
  const roles = rolesOf(config.phase)
  const rename = (which: 'source' | 'target' | null, pattern: KeyPattern): KeyRename | null => {
    if (which === null) return null
    const end: EndConfig | null = which === 'source' ? config.source : config.target
    const to = end?.keys[pattern.text]
    return to === undefined || to === pattern.text ? null : KeyRename.between(pattern, KeyPattern.parse(to))
  }
  return config.keys.map((text) => {
    const pattern = KeyPattern.parse(text)
    return { route, pattern, primary: rename(roles.primary, pattern), shadow: rename(roles.shadow, pattern) }
  })
}

function renames(rule: KeyRule): boolean {
  return rule.primary !== null || rule.shadow !== null
}

function canBeginWith(pattern: KeyPattern, byte: number): boolean {
  return pattern.literalPrefix.length === 0 || pattern.literalPrefix[0] === byte
}
