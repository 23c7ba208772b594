import { afterEach } from 'vitest'
import { type RedisServer, type RedisServerOptions, startRedis } from './redis.ts'

export interface Running {
  /** What the test at hand has started. */
  readonly running: { stop(): unknown }[]
  /** A server of the test at hand. */
  redis(options?: RedisServerOptions): Promise<RedisServer>
}

/** What each test of the file starts is ended behind it, the last first. To be called once, beside the tests. */
export function endedAfterEach(): Running {
  const running: { stop(): unknown }[] = []
  afterEach(async () => {
    for (const one of running.splice(0).reverse()) await one.stop()
  })
  return {
    running,
    redis: async (options) => {
      const server = await startRedis(options)
      running.push(server)
      return server
    },
  }
}
