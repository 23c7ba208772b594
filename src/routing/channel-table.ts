import type { EndConfig } from '../config/config.ts'
import { comparePatterns, KeyPattern } from '../config/patterns/pattern.ts'
import { KeyRename } from '../config/patterns/rename.ts'
import { KeyspaceView } from './keyspace-view.ts'
import type { Occupant } from './occupant.ts'
import { type KeyRule, type Route, rolesOf } from './route.ts'

/**
 * The channels of pub/sub that routes name under `channels:`. A channel that no route names belongs to the route of `*` and keeps its name.
 *
 * Channels are a server's, not a database's; in everything else they are treated as keys are: one name at the primary, one at the shadow, and what is the other
 * side's copy is not seen.
 */
export class ChannelTable {
  /** Most specific first; without the one for all other channels. */
  readonly rules: readonly KeyRule[]
  readonly #rest: KeyRule
  readonly #servers: readonly string[]
  readonly #storeNames: readonly string[]
  readonly #views = new Map<string, KeyspaceView>()

  /** @param servers of the stores, by index: the same text for the same server */
  constructor(routes: readonly Route[], fallback: Route, storeNames: readonly string[], servers: readonly string[]) {
    this.#servers = servers
    this.#storeNames = storeNames
    this.#rest = { route: fallback, pattern: KeyPattern.parse('*'), primary: null, shadow: null }
    this.rules = routes.flatMap(rulesOf).sort((a, b) => comparePatterns(a.pattern, b.pattern))
  }

  /** With the one for all other channels, which is the last. */
  get allRules(): readonly KeyRule[] {
    return [...this.rules, this.#rest]
  }

  find(buf: Buffer, start: number, end: number): KeyRule {
    for (const rule of this.rules) if (rule.pattern.matches(buf, start, end)) return rule
    return this.#rest
  }

  /** The channel's rule, and its name at the primary. */
  atPrimary(channel: Buffer): { readonly rule: KeyRule; readonly name: Buffer } {
    const rule = this.find(channel, 0, channel.length)
    return { rule, name: rule.primary?.apply(channel, 0, channel.length) ?? channel }
  }

  /** Where a message has to be published besides: under another name, or on another server. Null: nowhere. */
  atShadow(channel: Buffer): { readonly route: Route; readonly name: Buffer } | null {
    const { rule, name } = this.atPrimary(channel)
    const { route } = rule
    if (rule === this.#rest || route.shadow === null) return null
    const other = rule.shadow?.apply(channel, 0, channel.length) ?? channel
    const same = this.#servers[route.shadow.store] === this.#servers[route.primary.store]
    return same && other.equals(name) ? null : { route, name: other }
  }

  isOn(rule: KeyRule, store: number): boolean {
    return this.#servers[rule.route.primary.store] === this.#servers[store]
  }

  /** What the application sees of the channels of that store's server. */
  viewOf(store: number): KeyspaceView {
    const server = this.#servers[store]!
    let view = this.#views.get(server)
    if (view === undefined) {
      view = new KeyspaceView(
        this.allRules,
        this.#occupantsOf(server),
        (rule) => rule.primary === null && this.isOn(rule, store),
        (buf, start, end) => this.find(buf, start, end),
      )
      this.#views.set(server, view)
    }
    return view
  }

  #occupantsOf(server: string): Occupant[] {
    return this.rules.flatMap((rule) => {
      const { config, phase } = rule.route
      const { primary } = rolesOf(phase)
      return (['source', 'target'] as const).flatMap((which) => {
        const end = config[which]
        if (end === null || this.#servers[this.#storeNames.indexOf(end.store)] !== server) return []
        const rename = renameAt(end, rule.pattern)
        return rename === null ? [] : [{ rule, rename, which, live: which === primary }]
      })
    })
  }
}

function rulesOf(route: Route): KeyRule[] {
  const { config } = route
  const roles = rolesOf(config.phase)
  const texts = new Set([...Object.keys(config.source.channels), ...Object.keys(config.target?.channels ?? {})])
  return [...texts].map((text) => {
    const pattern = KeyPattern.parse(text)
    const rename = (which: 'source' | 'target' | null): KeyRename | null => {
      const end = which === null ? null : config[which]
      return end === null ? null : renameAt(end, pattern)
    }
    return { route, pattern, primary: rename(roles.primary), shadow: rename(roles.shadow) }
  })
}

function renameAt(end: EndConfig, pattern: KeyPattern): KeyRename | null {
  const to = end.channels[pattern.text]
  return to === undefined || to === pattern.text ? null : KeyRename.between(pattern, KeyPattern.parse(to))
}
