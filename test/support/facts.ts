import type { DataPathUnderTest } from './data-path.ts'
import type { RedisServer } from './redis.ts'

/** Tells the data path which versions its stores are of, as the health probe does. Their clocks are this machine's. */
export async function tellFacts(path: DataPathUnderTest, stores: Readonly<Record<string, RedisServer>>): Promise<void> {
  for (const [name, server] of Object.entries(stores)) {
    const info = await server.client().info('server')
    const version = (of: string): string | null => new RegExp(`^${of}_version:(\\S+)`, 'm').exec(info)?.[1] ?? null
    path.runtime.setFacts(name, 0, version('redis'), false, version('valkey'))
  }
}
