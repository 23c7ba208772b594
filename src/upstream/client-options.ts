import type { RedisOptions } from 'ioredis'
import type { Endpoint, StoreConfig } from '../config/config.ts'

/** Who to sign in as. */
interface Credentials {
  readonly username: string | null
  readonly password: string | null
}

/**
 * Options of an ioredis client: what is off the hot path goes through it. It connects when it is told to, and never again by itself. TLS is left out: its files are read at each connection (`tlsOptions`).
 */
export function clientOptions(
  endpoint: Endpoint,
  { username, password }: Credentials,
  { timeoutMs, connectTimeoutMs }: Pick<StoreConfig, 'timeoutMs' | 'connectTimeoutMs'>,
) {
  return {
    ...(endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port }),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    connectTimeout: connectTimeoutMs,
    ...(timeoutMs === 0 ? {} : { commandTimeout: timeoutMs }),
    retryStrategy: () => null,
  } satisfies Partial<RedisOptions>
}
