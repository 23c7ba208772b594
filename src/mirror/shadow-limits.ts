import { MINUS } from '../resp/bytes.ts'
import { decodeReply } from '../resp/decode.ts'
import { encodeOwn } from '../resp/own-words.ts'
import type { Route } from '../routing/route.ts'
import { isInStoresWords } from '../upstream/connect-error.ts'
import type { InFlight } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import type { DataPathContext } from './context.ts'
import type { DirtySet } from './dirty-set.ts'

const BULK_LIMIT = encodeOwn(['CONFIG', 'GET', 'proto-max-bulk-len'])
const STATS = encodeOwn(['INFO', 'stats'])
const LOOK_EVERY_MS = 2_000

/**
 * What a shadow cannot take, although it answers:
 *
 *   values longer than its `proto-max-bulk-len`: it would close the connection, with everything on it. They are not sent (`Store.maxBulkBytes`)
 *   more keys than its memory holds, where `maxmemory-policy` lets it throw out others without a word: seen by its count of evicted keys
 *
 * Of evicted keys nobody keeps a list, so the routes need a verify; unless the primary evicts as well, for then the two never hold the same, which is only said.
 */
export class ShadowLimits {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  /** Keys ever evicted, by store name, as last seen. */
  readonly #evicted = new Map<string, number>()
  readonly #said = new Set<string>()
  #nextLookMs = 0

  constructor(context: DataPathContext, dirty: DirtySet) {
    this.#context = context
    this.#dirty = dirty
  }

  /** A connection of the mirror to this store has come up. Not every store lets itself be asked. */
  connected(store: Store, pipeline: Pipeline): void {
    ask(pipeline, BULK_LIMIT, (reply) => {
      const list = reply === null ? null : decodeReply(reply, 0, reply.length)
      const bytes = Array.isArray(list) ? Number(String(list[1])) : Number.NaN
      if (bytes > 0) store.maxBulkBytes = bytes
    })
  }

  /** A connection of the mirror was closed for good: the store has no such database, most likely. Its keys stay dirty. */
  refused(store: Store, reason: string | null): void {
    if (!isInStoresWords(reason) || this.#said.has(`${store.name} ${reason}`)) return
    this.#said.add(`${store.name} ${reason}`)
    this.#context.log({
      level: 'warn',
      msg: 'the shadow refuses a connection for good: what is written there stays dirty, and is tried again every few seconds',
      fields: { store: store.name, reason },
    })
  }

  /** Called on the clock's tick. */
  run(nowMs: number): void {
    if (nowMs < this.#nextLookMs) return
    this.#nextLookMs = nowMs + LOOK_EVERY_MS
    const mirrored = this.#context.routes.routes.filter(({ shadow }) => shadow !== null)
    for (const index of new Set(mirrored.map(({ shadow }) => shadow!.store))) {
      const routes = mirrored.filter(({ shadow }) => shadow!.store === index)
      const store = this.#context.stores[index]!
      this.#askEvicted(store.shadow(0), (count) => {
        const before = this.#evicted.get(store.name)
        this.#evicted.set(store.name, count)
        // A count that is lower is another process': that it is one is noticed elsewhere.
        if (before !== undefined && count > before) this.#evicts(store, routes, count - before)
      })
    }
  }

  #evicts(store: Store, routes: readonly Route[], keys: number): void {
    for (const route of routes) {
      const primary = this.#context.stores[route.primary.store]!
      const decide = (evictedThere: number): void => {
        const both = evictedThere > 0
        if (!both) this.#dirty.toVerify.mark(route.name, 'shadow-evicts')
        this.#say(route.name, store.name, keys, both)
      }
      if (primary === store) decide(0)
      else this.#askEvicted(primary.shared(0, 2), decide)
    }
  }

  #say(route: string, store: string, keys: number, both: boolean): void {
    if (this.#said.has(route)) return
    this.#said.add(route)
    this.#context.log({
      level: 'warn',
      msg: both
        ? 'both stores evict keys for want of memory: they will not hold the same'
        : 'the shadow evicts keys for want of memory and lacks what the primary has: give it more, or maxmemory-policy noeviction, and verify the route',
      fields: { route, store, keys },
    })
  }

  #askEvicted(pipeline: Pipeline, answered: (count: number) => void): void {
    if (pipeline.state !== 'up') return
    ask(pipeline, STATS, (reply) => {
      const count = /^evicted_keys:(\d+)/m.exec(reply?.toString('latin1') ?? '')?.[1]
      if (count !== undefined) answered(Number(count))
    })
  }
}

/** `answered`: the reply; null: an error, or there will be none. */
function ask(pipeline: Pipeline, command: Buffer, answered: (reply: Buffer | null) => void): void {
  const owner = {
    settle: (_slot: InFlight, buf: Buffer, start: number, end: number) =>
      answered(buf[start] === MINUS ? null : buf.subarray(start, end)),
    lost: () => answered(null),
    timedOut: () => {},
    // Nobody else waits for the last node of a cluster.
    detached: () => {},
  }
  pipeline.push(owner, command, 0, command.length)
}
