import type { RedisServer } from '../test/support/redis.ts'
import type { Command } from './cases.ts'

/** How often a server has executed a command, by its own count: proof that a load went where it should. */
export class CallCounter {
  readonly #client: ReturnType<RedisServer['client']>

  constructor(server: RedisServer) {
    this.#client = server.client()
  }

  async calls(command: Command): Promise<number> {
    const stats = await this.#client.info('commandstats')
    return Number(new RegExp(`^cmdstat_${command.toLowerCase()}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0)
  }
}
