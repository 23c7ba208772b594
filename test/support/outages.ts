import type { RedisServer } from './redis.ts'
import type { Random } from './write-load.ts'

/** What happens to a shadow, at random, until `stop`. */
export class Outages {
  readonly #shadow: RedisServer
  readonly #random: Random
  #going = true
  #done: Promise<void> = Promise.resolve()
  /** What happened, in order. */
  readonly happened: string[] = []

  private constructor(shadow: RedisServer, random: Random) {
    this.#shadow = shadow
    this.#random = random
  }

  static start(shadow: RedisServer, random: Random): Outages {
    const outages = new Outages(shadow, random)
    outages.#done = outages.#run()
    return outages
  }

  /** The shadow is there when this resolves. */
  async stop(): Promise<void> {
    this.#going = false
    await this.#done
  }

  async #run(): Promise<void> {
    while (this.#going) {
      await after(10 + this.#random.below(60))
      await this.#one(this.#random.below(4))
    }
  }

  async #one(kind: number): Promise<void> {
    const shadow = this.#shadow
    const lastsMs = this.#random.below(120)
    switch (kind) {
      case 0:
        this.happened.push(`hung for ${lastsMs} ms`)
        shadow.pause()
        await after(lastsMs)
        shadow.resume()
        return
      case 1:
        this.happened.push(`killed for ${lastsMs} ms, with its data`)
        await shadow.kill9()
        await after(lastsMs)
        await shadow.restart()
        return
      case 2:
        this.happened.push('connections reset')
        await this.#ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        return
      default:
        this.happened.push(`out of memory for ${lastsMs} ms`)
        await this.#ask('CONFIG', 'SET', 'maxmemory', '1')
        await after(lastsMs)
        await this.#ask('CONFIG', 'SET', 'maxmemory', '0')
    }
  }

  async #ask(...args: [string, ...string[]]): Promise<void> {
    const client = this.#shadow.client()
    await client.call(...args)
    client.disconnect()
  }
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
