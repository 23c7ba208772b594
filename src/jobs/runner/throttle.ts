import { COMMAND_DURATION_BOUNDS } from '../../observability/bounds.ts'
import type { Stats } from '../../proxy/messages.ts'
import { silent } from '../stores/refusals.ts'
import type { JobEnvironment } from './environment.ts'
import type { Task } from './task.ts'

const LOOK_EVERY_MS = 100
/** While keys are under way that may wait for a store. */
const WATCH_EVERY_MS = 500
const MAX_WINDOW = 512
const FIRST_WINDOW = 256
const MIN_WINDOW = 16
const STEP = 64
/** Beyond it clients notice; where the store is farther away than that, beyond so many times what they are used to. */
const SLOW_MS = 5
const SLOW_FACTOR = 4
const MAX_LAG_MS = 1_000
/** Share of a route's backlog that copies may stand behind. */
const MAX_BACKLOG = 0.5
/** Client commands in an interval below which a percentile says nothing. */
const MIN_SAMPLES = 20

/**
 * How hard a job may push. Looks at the clients' round trips to the primary and at the mirror's lag a few times a second: more keys at a time as long as all is well, half as many
 * when it is not (as TCP does it), and none at all while a store is away or the mirror is far behind.
 */
export class Throttle {
  readonly #environment: JobEnvironment
  readonly #task: Task
  readonly #route: string
  #window = FIRST_WINDOW
  #lookedMs = 0
  #counts: readonly number[] = []
  #slowMs = SLOW_MS
  #looking: Promise<string | null> | null = null
  #stop: string | null = null
  #refusal: string | null = null

  constructor(environment: JobEnvironment, task: Task, route: string) {
    this.#environment = environment
    this.#task = task
    this.#route = route
  }

  /** Waits until `keys` more may be sent, and gives how many may be under way at once. */
  async admit(keys: number): Promise<number> {
    for (;;) {
      await this.#look()
      if (this.#stop === null) break
      this.#task.throttle = this.#stop
      await this.#task.wait(LOOK_EVERY_MS)
    }
    await this.#task.pace(keys)
    return this.#window
  }

  /**
   * The outcome of `work`, which sends what was admitted. A store that goes away, or is noticed to be away, in the middle of it is told of while it waits:
   * keys that are under way may wait as long as the store is gone.
   */
  async watch<T>(work: Promise<T>): Promise<T> {
    const timer = setInterval(() => {
      this.#look().then(
        () => {
          if (this.#stop !== null) this.#task.throttle = this.#stop
        },
        () => {}, // `work` fails of the same cause, and tells.
      )
    }, WATCH_EVERY_MS)
    try {
      return await work
    } finally {
      clearInterval(timer)
    }
  }

  /** A store refuses every key for now, and why; null: not any more. Shown until then. */
  refused(why: string | null): void {
    this.#refusal = why
    if (why !== null) this.#task.throttle = why
  }

  async #look(): Promise<void> {
    if (performance.now() - this.#lookedMs < LOOK_EVERY_MS) return
    this.#looking ??= this.#environment.dataPath
      .stats()
      .then((stats) => {
        this.#lookedMs = performance.now()
        return this.#judge(stats)
      })
      .finally(() => {
        this.#looking = null
      })
    this.#stop = await this.#looking
  }

  /** Why nothing may be sent now; null: go on. */
  #judge(stats: Stats): string | null {
    const config = this.#environment.config()
    const route = config.routes.find((other) => other.name === this.#route)
    const of = stats.routes[this.#route]
    if (route === undefined || of === undefined) return null
    for (const store of [route.source.store, route.target?.store]) {
      if (store === undefined) continue
      const link = stats.stores[store]
      const ailment = this.#environment.ailment(store)
      // A connection that is being opened says nothing.
      if (link?.state !== 'up') return silent(store, link?.error ?? ailment)
      // One that hangs keeps its connection for a while.
      if (ailment !== null) return `store '${store}': ${ailment}`
    }
    if (of.lagMs > MAX_LAG_MS) return `the mirror is ${(of.lagMs / 1000).toFixed(1)} s behind`
    if (of.backlogBytes > route.mirror.backlogBytes * MAX_BACKLOG) return 'the backlog of the mirror is half full'
    const slowMs = this.#clientsMs(stats)
    if (slowMs !== null && slowMs > this.#slowMs) {
      this.#window = Math.max(MIN_WINDOW, this.#window >> 1)
      this.#task.throttle = `clients wait ${slowMs} ms for their store (p99)`
    } else {
      this.#window = Math.min(MAX_WINDOW, this.#window + STEP)
      this.#task.throttle = this.#refusal
    }
    return null
  }

  /** 99th percentile of the clients' round trips since the last look, over all routes; null: too few. */
  #clientsMs(stats: Stats): number | null {
    const counts = Object.values(stats.routes).reduce<number[]>(
      (sum, { primaryTimes }) => primaryTimes.counts.map((count, i) => count + (sum[i] ?? 0)),
      [],
    )
    const first = this.#counts.length === 0
    const since = counts.map((count, i) => count - (this.#counts[i] ?? 0))
    this.#counts = counts
    if (!first) return percentileMs(since, 0.99)
    this.#slowMs = Math.max(SLOW_MS, SLOW_FACTOR * (percentileMs(counts, 0.5) ?? 0))
    return null
  }
}

/** The upper bound of the bucket that the share falls into; null: too few to say. */
function percentileMs(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total < MIN_SAMPLES) return null
  let seen = 0
  for (const [i, count] of counts.entries()) {
    seen += count
    if (seen >= total * share) return (COMMAND_DURATION_BOUNDS[i] ?? Number.POSITIVE_INFINITY) * 1000
  }
  return null
}
