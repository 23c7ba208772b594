import { Semaphore } from '../../base/semaphore.ts'
import type { Config, Endpoint } from '../../config/config.ts'
import { EndKeys, type EndName } from '../stores/end-keys.ts'
import { EndsOfNames } from '../stores/ends-of-names.ts'
import { StoreConnections } from '../stores/store-connection.ts'
import { everyPage } from './scan.ts'

/** A start must not wait longer for it. */
const MAX_MS = 2_000

/** Stores that are looked through at the same time. */
const AT_ONCE = 8

/** Of an end of a route: it has none of the route's keys, or some; none was met in the time that there was; its store has not answered. */
export type Contents = 'none' | 'some' | 'none-met' | 'unanswered'

/** An end of a route that somebody asks for. */
interface Asked {
  readonly end: EndKeys
  answer(contents: Contents): void
}

/**
 * Whether ends of routes hold keys of theirs. Everything that is asked for in one turn of the event loop is answered by one look through each store: hundreds of routes that
 * begin to be mirrored together looked through the same two stores each for itself.
 */
export class EmptyProbes {
  readonly #endpoint: (store: string) => Endpoint | null
  readonly #stores = new Semaphore(AT_ONCE)
  /** What has been asked in this turn, by configuration and store. */
  readonly #asked = new Map<Config, Map<string, Asked[]>>()

  constructor(endpoint: (store: string) => Endpoint | null) {
    this.#endpoint = endpoint
  }

  async contentsOf(config: Config, route: string, which: EndName): Promise<Contents> {
    const end = new EndKeys(config, route, which)
    if (this.#asked.size === 0) setImmediate(() => this.#look())
    return new Promise((answer) => {
      let stores = this.#asked.get(config)
      if (stores === undefined) this.#asked.set(config, (stores = new Map()))
      const asked = stores.get(end.storeName)
      if (asked === undefined) stores.set(end.storeName, [{ end, answer }])
      else asked.push({ end, answer })
    })
  }

  #look(): void {
    for (const [config, stores] of this.#asked) {
      for (const [store, asked] of stores) void this.#stores.run(() => this.#lookThrough(config, store, asked))
    }
    this.#asked.clear()
  }

  /** Never rejects: everybody has an answer at its end. */
  async #lookThrough(config: Config, store: string, asked: readonly Asked[]): Promise<void> {
    const giveUp = new AbortController()
    const connections = new StoreConnections(() => config, this.#endpoint, giveUp.signal)
    const open = new Map(asked.map((one) => [one.end, one]))
    let notYet: Contents = 'unanswered'
    const answerAll = (contents: Contents): void => {
      for (const { answer } of open.values()) answer(contents)
      open.clear()
      giveUp.abort()
    }
    const timer = setTimeout(() => answerAll(notYet), MAX_MS)
    try {
      const ends = new EndsOfNames(config, store, open.keys())
      for await (const { names } of everyPage(connections, config, store)) {
        notYet = 'none-met'
        for (const end of names.flatMap((name) => ends.take(name))) {
          open.get(end)!.answer('some')
          open.delete(end)
        }
        if (open.size === 0) break
      }
      answerAll('none')
    } catch {
      // A store that does not answer, or no longer has to.
      answerAll('unanswered')
    } finally {
      clearTimeout(timer)
    }
  }
}
