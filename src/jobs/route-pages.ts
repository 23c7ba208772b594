import { UnderstudyError } from '../base/errors.ts'
import type { Config } from '../config/config.ts'
import { rolesOf } from '../routing/route.ts'
import type { EndKeys } from './end-keys.ts'
import type { JobEnvironment } from './environment.ts'
import type { Step } from './in-order.ts'
import type { Page } from './scan-position.ts'

/** Keys of the route (application names) of one page of a scan. */
export interface KeysOfRoute {
  readonly database: number
  readonly keys: readonly Buffer[]
}

/** Of each page the route's keys, with the checkpoint that stands behind it. */
export async function* routePages(
  pages: AsyncIterable<Page>,
  end: EndKeys,
  checkpoint: (next: Page['next']) => unknown,
): AsyncGenerator<Step<KeysOfRoute>> {
  for await (const { database, names, next } of pages) {
    const keys: Buffer[] = []
    for (const name of names) {
      const key = end.keyOf(name)
      if (key !== null) keys.push(key)
    }
    yield { page: { database, keys }, scanned: names.length, checkpoint: checkpoint(next) }
  }
}

/** Notices that the route is not what it was when the job began: what has been done is not what was asked for. */
export class RouteWatch {
  readonly #environment: JobEnvironment
  readonly #route: string
  readonly #allows: (config: Config) => void
  readonly #keys: string
  /** Looked at last. */
  #config: Config

  /** `allows`: throws when the job may not go on in this configuration. */
  constructor(environment: JobEnvironment, route: string, allows: (config: Config) => void) {
    this.#environment = environment
    this.#route = route
    this.#allows = allows
    this.#config = environment.config()
    this.#keys = keysAndStores(this.#config)
  }

  /** Throws JOB_REFUSED. */
  look(): void {
    const config = this.#environment.config()
    if (config === this.#config) return
    if (config.routes.some(({ name }) => name === this.#route)) this.#allows(config)
    if (keysAndStores(config) !== this.#keys) throw changed(this.#route, 'patterns, names or stores of the routes')
    this.#config = config
  }
}

/** Which keys are whose, what they are called, and where they are. Another route may take keys of this one, so all of them. */
function keysAndStores({ routes, stores }: Config): string {
  return JSON.stringify([
    routes.map(({ name, keys, source, target }) => [name, keys, source, target]),
    Object.values(stores).map(({ name, url, database }) => [name, url, database]),
  ])
}

/** The route has the roles that it had. */
export function sameRoles(environment: JobEnvironment, route: string): (config: Config) => void {
  const roles = rolesIn(environment.config(), route)
  return (config) => {
    if (rolesIn(config, route) !== roles) throw changed(route, `the phase of route '${route}'`)
  }
}

function rolesIn({ routes }: Config, name: string): string {
  const route = routes.find((other) => other.name === name)
  return route === undefined ? '' : JSON.stringify(rolesOf(route.phase))
}

function changed(route: string, what: string): UnderstudyError {
  return new UnderstudyError(
    'JOB_REFUSED',
    `${what} changed while the job ran, so it would go on with other keys of route '${route}' than it began with: start it again`,
  )
}
