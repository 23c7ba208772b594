import { Redis } from 'ioredis'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import { clientOptions } from './client-options.ts'
import { tlsOptions } from './connect.ts'

/** Runs `use` with a connection to the store, which ends with it. `name`: as CLIENT LIST shows it there. Rejects with why there is no connection, and as `use` does. */
export async function withBriefClient<Result>(
  store: StoreConfig,
  endpoint: Endpoint,
  name: string,
  use: (redis: Redis) => Promise<Result>,
): Promise<Result> {
  const redis = new Redis({
    ...clientOptions(endpoint, store, store),
    ...(store.tls === null ? {} : { tls: tlsOptions(endpoint, store.tls) }),
    connectionName: name,
  })
  // Whoever waits for an answer is told.
  redis.on('error', () => {})
  try {
    await redis.connect()
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}
