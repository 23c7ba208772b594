import { createHash } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { rolesOf } from './route.ts'

/**
 * A digest of what decides which keys a route has, where they are and what they are called there: patterns, ends and stores of all routes, for another one may take keys of this one. `roles`: and which end of the
 * route is its primary. A digest, for addresses of stores may have credentials in them.
 */
export function routeShape({ routes, stores }: Pick<Config, 'routes' | 'stores'>, name: string, roles = true): string {
  const keysAndStores = JSON.stringify([
    routes.map(({ name, keys, source, target }) => [name, keys, source, target]),
    Object.values(stores).map(({ name, url, database }) => [name, url, database]),
  ])
  const route = routes.find((other) => other.name === name)
  const ofRoute = roles && route !== undefined ? JSON.stringify(rolesOf(route.phase)) : ''
  return createHash('sha256').update(`${keysAndStores} ${ofRoute}`).digest('base64url')
}
