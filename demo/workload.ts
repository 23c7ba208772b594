import type { Redis } from 'ioredis'

/**
 * A small job system as an application would write it on plain ioredis. It knows the old names only, and nothing of Understudy: it was given another REDIS_URL.
 *
 *     job:{id}            hash     what is to be done; expires when it is done
 *     job:{id}:progress   counter  expires with it
 *     jobs:pending        set      ids that nobody has
 *     worker:{id}:jobs    set      ids that this worker has
 *     job_events          channel  `created ID`, `claimed ID`, `done ID`
 *
 * Producers create jobs. Workers claim one by moving its id between the sets, so that nobody else gets it; do it in steps; and finish it in one transaction. The
 * workload keeps its own books, by which everything is checked at the end.
 */
export class Workload {
  readonly #open: () => Redis
  readonly #producers: number
  readonly #workers: number
  readonly #clients: Redis[] = []
  /** By id: how often it was finished. */
  readonly finished = new Map<number, number>()
  /** Events as they were published, and as the application's own subscriber got them. */
  readonly published: string[] = []
  readonly received: string[] = []
  readonly errors: string[] = []
  created = 0
  commands = 0
  reconnects = 0
  #producing = false
  #done: Promise<unknown> = Promise.resolve()

  constructor(open: () => Redis, producers = 3, workers = 4) {
    this.#open = open
    this.#producers = producers
    this.#workers = workers
  }

  async start(): Promise<void> {
    const subscriber = this.#client()
    subscriber.on('message', (_channel, event: string) => this.received.push(event))
    await subscriber.subscribe('job_events')
    this.#producing = true
    const loops: Promise<void>[] = []
    for (let i = 0; i < this.#producers; i++) loops.push(this.#produce(this.#client()))
    for (let i = 0; i < this.#workers; i++) loops.push(this.#work(this.#client(), i))
    this.#done = Promise.all(loops)
  }

  /** No more jobs are created; resolves when all that were are done. */
  async finish(): Promise<void> {
    this.#producing = false
    await this.#done
    for (const client of this.#clients.splice(0)) client.disconnect()
  }

  get completed(): number {
    return this.finished.size
  }

  #client(): Redis {
    const client = this.#open()
    client.on('reconnecting', () => this.reconnects++)
    this.#clients.push(client)
    return client
  }

  async #produce(redis: Redis): Promise<void> {
    while (this.#producing) {
      await this.#guard(async () => {
        const id = await redis.incr('ids')
        await redis.hset(`job:${id}`, { name: `job number ${id}`, state: 'pending', steps: STEPS })
        await redis.sadd('jobs:pending', id)
        this.created++
        await this.#publish(redis, `created ${id}`)
        this.commands += 3
      })
      // The workers are to keep up.
      while (this.created - this.completed > MOST_PENDING) await pause(1)
    }
  }

  async #work(redis: Redis, worker: number): Promise<void> {
    const mine = `worker:${worker}:jobs`
    while (this.#producing || this.created > this.completed) {
      await this.#guard(async () => {
        const id = await redis.srandmember('jobs:pending')
        this.commands++
        if (id === null) return pause(1)
        this.commands++
        // Another worker was faster.
        if ((await redis.smove('jobs:pending', mine, id)) === 0) return
        await this.#publish(redis, `claimed ${id}`)
        const job = await redis.hgetall(`job:${id}`)
        if (job['state'] !== 'pending') throw new Error(`job ${id} was claimed in state ${job['state']}`)
        for (let step = 1; step <= STEPS; step++) {
          const seen = await redis.incr(`job:${id}:progress`)
          if (seen !== step) throw new Error(`job ${id} is at step ${seen}, not ${step}`)
          if (Number(await redis.get(`job:${id}:progress`)) !== step) throw new Error(`job ${id} lost a step`)
        }
        const results = await redis
          .multi()
          .hset(`job:${id}`, 'state', 'done', 'worker', worker)
          .srem(mine, id)
          .pexpire(`job:${id}`, KEPT_MS)
          .pexpire(`job:${id}:progress`, KEPT_MS)
          .publish('job_events', `done ${id}`)
          .exec()
        this.published.push(`done ${id}`)
        this.commands += 2 * STEPS + 2
        if (results?.some(([error]) => error !== null)) throw new Error(`job ${id} could not be finished`)
        this.finished.set(Number(id), (this.finished.get(Number(id)) ?? 0) + 1)
      })
    }
  }

  async #publish(redis: Redis, event: string): Promise<void> {
    await redis.publish('job_events', event)
    this.published.push(event)
    this.commands++
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.errors.push(error instanceof Error ? error.message : String(error))
      await pause(10)
    }
  }
}

const STEPS = 3
const MOST_PENDING = 50
const KEPT_MS = 3_000

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
