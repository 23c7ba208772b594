import { UnderstudyError } from '../../base/errors.ts'
import type { Config } from '../../config/config.ts'
import { routeShape } from '../../routing/route-shape.ts'
import type { JobEnvironment } from '../runner/environment.ts'
import type { Step } from '../runner/in-order.ts'
import type { Task } from '../runner/task.ts'
import type { EndKeys } from '../stores/end-keys.ts'
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

/**
 * Notices that the route is not what it was when the job began, also when it changed while the job was paused or nothing ran: what has been done is
 * not what was asked for then, and the checkpoint stands in a list of other keys.
 */
export class RouteWatch {
  readonly #environment: JobEnvironment
  readonly #route: string
  readonly #allows: ((config: Config) => void) | null
  /** What the job stands on (`routeShape`). */
  readonly shape: string
  /** Looked at last. */
  #config: Config

  /** `allows`: throws when the job may not go on in this configuration; without it the route has to keep its roles. Throws JOB_REFUSED. */
  constructor(environment: JobEnvironment, task: Task, allows: ((config: Config) => void) | null = null) {
    this.#environment = environment
    this.#route = task.job.route
    this.#allows = allows
    this.#config = environment.config()
    this.shape = this.#shapeIn(this.#config)
    if (!task.beganWith(this.shape)) throw routeChanged(this.#route)
    // A store that has left the configuration would be waited for without end.
    task.lookWhileWaiting(() => this.look())
  }

  /** Throws JOB_REFUSED. */
  look(): void {
    const config = this.#environment.config()
    if (config === this.#config) return
    if (config.routes.some(({ name }) => name === this.#route)) this.#allows?.(config)
    if (this.#shapeIn(config) !== this.shape) throw routeChanged(this.#route)
    this.#config = config
  }

  #shapeIn(config: Config): string {
    return routeShape(config, this.#route, this.#allows === null)
  }
}

/** Why a job cannot go on whose route is not what it was. */
export function routeChanged(route: string): UnderstudyError {
  return new UnderstudyError(
    'JOB_REFUSED',
    `the patterns, names, stores or roles of the routes have changed since the job began, so it would go on with other keys of route '${route}': start it again`,
  )
}
