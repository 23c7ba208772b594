import { isDeepStrictEqual } from 'node:util'
import { unservedDatabases } from '../config/checks/unserved-databases.ts'
import type { Config, RouteConfig } from '../config/config.ts'
import { keyspaceOf } from '../config/keyspace.ts'
import { KeyIndex } from '../config/patterns/key-index.ts'
import { comparePatterns, KeyPattern } from '../config/patterns/pattern.ts'
import { overlap, segmentsOf } from '../config/patterns/pattern-overlap.ts'
import type { EndName } from '../jobs/stores/end-keys.ts'

/** Which keys of a route lie where at both ends, as text to be kept. */
export function mirroredPlaces(config: Config, route: RouteConfig): string {
  return JSON.stringify(identityOf(config, route))
}

/** The places of no route: of what is not true any more, or is about to be not. */
export const NOWHERE = '[]'

/** Whether a text of `mirroredPlaces` says of each key that the route has now where it lies. */
export function areMirroredPlaces(text: string, config: Config, route: RouteConfig): boolean {
  const [keys, source, target, apart = [], unserved = []] = JSON.parse(text) as Identity
  const now = identityOf(config, route)
  // Fewer keys than before are known as well, and fewer databases.
  return (
    isDeepStrictEqual([keys, source, target], now.slice(0, 3)) &&
    apart.every((pattern) => now[3]!.includes(pattern)) &&
    unserved.every((database) => now[4]!.includes(database))
  )
}

/** Patterns of the route, where its two ends are, the patterns of other routes that take keys from it, and the databases that no client can have (rows of older versions do not have these two). */
type Identity = [keys: string[], source: unknown, target: unknown, apart?: string[], unserved?: number[]]

/** Which keys lie where: the same as long as both ends are the same, and so is what other routes leave to this one. */
function identityOf(config: Config, route: RouteConfig): Identity {
  const end = (which: EndName) => {
    const of = route[which]
    return of === null ? null : [keyspaceOf(config.stores[of.store]!), of.keys]
  }
  return [
    [...route.keys],
    end('source'),
    end('target'),
    patternsBefore(config, route),
    [...unservedDatabases(config).keys()],
  ]
}

/** Patterns of other routes that win keys which a pattern of this one matches, too. */
function patternsBefore(config: Config, route: RouteConfig): string[] {
  const patterns = patternsOf(config)
  const winners = route.keys.flatMap((text) => {
    const own = KeyPattern.parse(text)
    return patterns
      .near(segmentsOf(own))
      .filter(({ pattern, of }) => of !== route.name && comparePatterns(pattern, own) < 0 && overlap(pattern, own))
  })
  return [...new Set(winners)].map(({ pattern }) => pattern.text).sort()
}

interface Owned {
  readonly pattern: KeyPattern
  /** Its route. */
  readonly of: string
}

const patternsKnown = new WeakMap<Config, KeyIndex<Owned>>()

/** Made once for a configuration: it is asked for with each of its routes. */
function patternsOf(config: Config): KeyIndex<Owned> {
  let index = patternsKnown.get(config)
  if (index === undefined) {
    const owned = config.routes.flatMap(({ name, keys }) =>
      keys.map((text) => ({ pattern: KeyPattern.parse(text), of: name })),
    )
    index = new KeyIndex(owned, ({ pattern }) => segmentsOf(pattern))
    patternsKnown.set(config, index)
  }
  return index
}
