import type { RedisOptions } from 'ioredis'
import type { Endpoint, StoreConfig } from '../../config/config.ts'

/** Who to sign in as. */
interface Credentials {
  readonly username: string | null
  readonly password: string | null
}

/**
 * Options of an ioredis client: what is off the hot path goes through it. It connects when it is told to, and never again by itself. TLS is left out: its files are read at each connection (`tlsOptions`).
 * Whoever asks through it waits for one short answer: also where clients' commands may take as long as they like (`timeoutMs` 0), a store that hangs must not keep it for ever.
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
    commandTimeout: answerWithinMs(timeoutMs),
    retryStrategy: () => null,
  } satisfies Partial<RedisOptions>
}

/** How long it waits for an answer, by the `timeout` of its store. */
export function answerWithinMs(timeoutMs: number): number {
  return timeoutMs || ANSWER_MS
}

const ANSWER_MS = 5_000
/** What ioredis says then, without a code. */
export const COMMAND_TIMED_OUT = 'Command timed out'
