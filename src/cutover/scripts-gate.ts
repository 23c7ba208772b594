import type { Config, EndConfig, RouteConfig } from '../config/config.ts'
import type { EndName } from '../jobs/stores/end-keys.ts'
import type { Stats } from '../proxy/messages.ts'
import { rolesOf } from '../routing/route.ts'
import { isUnread, scriptInWords } from '../routing/script-id.ts'

/**
 * Where keys have other names than the application's at the end that becomes the primary, scripts that make names themselves would reach the wrong keys there. Undefined: they have not, or `scripts: warn` says
 * that they touch no such key; null: none has been seen.
 */
export function renamedUnderScripts(route: RouteConfig, primary: EndName, stats: Stats): string | null | undefined {
  const end = route[primary]
  if (!renames(end) || route.scripts === 'warn') return undefined
  const scripts = stats.routes[route.name]?.scriptsInDoubt ?? []
  const [read, unread] = apart(scripts)
  return told([
    read.length > 0 &&
      `the application runs scripts or functions that make names of keys themselves (${listed(read)}): ` +
        `with the names of store '${end!.store}' they would reach the wrong keys. Have them declare every key as KEYS; or, if they touch no key that has another name there and none of another route, set 'scripts' of the route to warn`,
    unread.length > 0 &&
      `the application calls functions of which it is not known whether they make names of keys themselves (${listed(unread)}): with the names of store '${end!.store}' they would reach the wrong keys. ${GIVE}, or, if they touch no key that has another name there and none of another route, set 'scripts' of the route to warn`,
  ])
}

/**
 * A step to the target after which keys are at several primaries: a script runs at that of the keys that it declares, and what it writes of another route's keys would be written there, where nobody reads it.
 * Undefined: they are at one, or every route says `scripts: warn`; null: no such script has been seen.
 */
export function splitUnderScripts(next: Config, stats: Stats): string | null | undefined {
  const primaries = primariesOf(next)
  if (primaries.length < 2) return undefined
  const strict = next.routes.filter(({ scripts }) => scripts !== 'warn')
  if (strict.length === 0) return undefined
  const doubted = strict.filter(({ name }) => (stats.routes[name]?.scriptsInDoubt ?? []).length > 0)
  if (doubted.length === 0) return null
  const scripts = new Set(doubted.flatMap(({ name }) => stats.routes[name]!.scriptsInDoubt))
  const routes = doubted.map(({ name }) => `'${name}'`).join(', ')
  const stores = primaries.join("', '")
  const [read, unread] = apart([...scripts])
  return told([
    read.length > 0 &&
      `the application runs scripts or functions that use keys which they do not declare (${listed(read)}), and keys would have several primaries ('${stores}'): what such a script writes of another route's keys would be ` +
        `written where nobody reads it. Have them declare every key as KEYS, or ${TOGETHER}; or, if they touch no key of another route, set 'scripts' of ${routes} to warn`,
    unread.length > 0 &&
      `the application calls functions of which it is not known whether they use keys which they do not declare (${listed(unread)}), and keys would have several primaries ('${stores}'): what such a function writes of another route's keys would be ` +
        `written where nobody reads it. ${GIVE}, or ${TOGETHER}; or, if they touch no key of another route, set 'scripts' of ${routes} to warn`,
  ])
}

/** Why names that scripts of the route make may be the wrong ones; `scripts: warn` says that they are not, and in `done` it is what the application has decided on. */
export function scriptsAstray(config: Pick<Config, 'routes'>, route: RouteConfig): ScriptsAstray | null {
  if (route.phase === 'done' || route.scripts === 'warn') return null
  if (renames(route.source) || renames(route.target)) return 'names'
  return primariesOf(config).length > 1 ? 'primaries' : null
}

/** Keys of the route have other names at one of its ends; or keys are at several primaries. */
export type ScriptsAstray = 'names' | 'primaries'

function renames(end: EndConfig | null): boolean {
  return Object.entries(end?.keys ?? {}).some(([from, to]) => from !== to)
}

function primariesOf({ routes }: Pick<Config, 'routes'>): string[] {
  return [...new Set(routes.map((route) => route[rolesOf(route.phase).primary]!.store))]
}

const GIVE = "Their store does not let them be read: give Understudy's user there the right to FUNCTION LIST"

const TOGETHER = 'move the routes together (`understudy phase ONE,OTHER PHASE`, or one edit of the file)'

/** Those that were read, and those that could not be. */
function apart(scripts: readonly string[]): [read: string[], unread: string[]] {
  return [scripts.filter((id) => !isUnread(id)), scripts.filter(isUnread)]
}

/** Null: nothing. */
function told(reasons: readonly (string | false)[]): string | null {
  return reasons.filter((reason) => reason !== false).join('; ') || null
}

function listed(scripts: readonly string[]): string {
  return `${scripts.length} seen, ${scripts.slice(0, 3).map(scriptInWords).join(', ')}${scripts.length > 3 ? ', ...' : ''}`
}
