import { MINUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Route } from '../../routing/route.ts'
import { isInStoresWords } from '../../upstream/connection/connect-error.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'

const BULK_LIMIT = encodeOwn(['CONFIG', 'GET', 'proto-max-bulk-len'])
const STATS = encodeOwn(['INFO', 'stats'])
const LOOK_EVERY_MS = 2_000

/**
 * What a shadow cannot take, although it answers:
 *
 *   values longer than its `proto-max-bulk-len`: it would close the connection, with everything on it. They are not sent (`Store.maxBulkBytes`)
 *   more keys than its memory holds, where `maxmemory-policy` lets it throw out others without a word: seen by its count of evicted keys
 *
 * Of evicted keys nobody keeps a list, so the routes need a verify, also where it was while Understudy did not run; unless the primary evicts as well, for then the two never hold the same, which is only said.
 */
export class ShadowLimits {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #remember: (counts: ReadonlyMap<string, number>) => void
  /** Keys ever evicted, as last seen, by the shadow's keyspace and the primary's: stores may get other names. */
  readonly #evicted = new Map<string, number>()
  readonly #said = new Set<string>()
  #nextLookMs = 0

  /** `remember`: writes down how many keys shadows have evicted. */
  constructor(context: DataPathContext, dirty: DirtySet, remember: (counts: ReadonlyMap<string, number>) => void) {
    this.#context = context
    this.#dirty = dirty
    this.#remember = remember
  }

  /** What the last run knew. */
  restore(counts: ReadonlyMap<string, number>): void {
    for (const [pair, count] of counts) this.#evicted.set(pair, count)
    this.routesChanged()
  }

  /** Other routes are in force, or others than in the last run: what is evicted where nothing is mirrored says nothing of a mirroring that begins there later. Its measure is what its first look finds. */
  routesChanged(): void {
    const between = this.#between()
    const over = [...this.#evicted.keys()].filter((pair) => !between.has(pair))
    if (over.length === 0) return
    for (const pair of over) this.#evicted.delete(pair)
    this.#remember(new Map(this.#evicted))
  }

  /** A connection of the mirror to this store has come up. Not every store lets itself be asked. */
  connected(store: Store, pipeline: Pipeline): void {
    // What it has evicted until now is the measure of what comes.
    this.#nextLookMs = 0
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
    this.#look(null, () => {})
  }

  /** Resolves when what the shadows of these routes have evicted until now is marked, or does not become known in time. */
  evictedMeanwhile(names: ReadonlySet<string>, withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs)
      this.#look(names, () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  /** `names`: routes whose ends are looked at; null: all. */
  #look(names: ReadonlySet<string> | null, looked: () => void): void {
    const due = [...this.#mirrored()].filter(
      ([, routes]) => names === null || routes.some(({ name }) => names.has(name)),
    )
    let open = due.length
    if (open === 0) return looked()
    for (const [pair, routes] of due) this.#lookAt(pair, routes, () => --open === 0 && looked())
  }

  /** Routes by the pair of places between which they are mirrored. */
  #mirrored(): Map<string, Route[]> {
    return Map.groupBy(
      this.#context.routes.routes.filter(({ shadow }) => shadow !== null),
      placesOf,
    )
  }

  /** The same pairs, and these the other way round: a shadow that is the primary for a while, and evicts then, lacks what the other one has when it is the shadow again. */
  #between(): Set<string> {
    return new Set([...this.#mirrored().values()].flatMap(([route]) => [placesOf(route!), placesBackOf(route!)]))
  }

  /** `routes`: all between the same two. */
  #lookAt(pair: string, routes: readonly Route[], looked: () => void): void {
    const { primary, shadow } = routes[0]!
    const { stores } = this.#context
    this.#askEvicted(stores[shadow!.store]!.shadows.to(0), (count) => {
      const before = this.#evicted.get(pair)
      // A count that is lower is another process': that it is one is noticed elsewhere.
      const grew = count !== null && before !== undefined && count > before
      if (count !== null && !grew) this.#note(pair, count)
      if (!grew) return looked()
      const decide = (evictedThere: number | null): void => {
        // Where the primary does not tell, the next look finds the same.
        if (evictedThere !== null) {
          this.#note(pair, count)
          for (const { name } of routes) this.#evicts(name, shadow!.storeName, count - before, evictedThere > 0)
        }
        looked()
      }
      if (primary.keyspace === shadow!.keyspace) decide(0)
      else this.#askEvicted(stores[primary.store]!.shared(0, 2), decide)
    })
  }

  #note(pair: string, count: number): void {
    // It was asked for before the routes changed.
    if (this.#evicted.get(pair) === count || !this.#between().has(pair)) return
    this.#evicted.set(pair, count)
    this.#remember(new Map(this.#evicted))
  }

  #evicts(route: string, store: string, keys: number, both: boolean): void {
    if (!both) this.#dirty.toVerify.mark(route, 'shadow-evicts')
    this.#say(route, store, keys, both)
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

  /** `answered`: the count; null: it does not become known. */
  #askEvicted(pipeline: Pipeline, answered: (count: number | null) => void): void {
    if (pipeline.state !== 'up') return answered(null)
    ask(pipeline, STATS, (reply) => {
      const count = /^evicted_keys:(\d+)/m.exec(reply?.toString('latin1') ?? '')?.[1]
      answered(count === undefined ? null : Number(count))
    })
  }
}

/** Of a route that is mirrored. */
function placesOf({ primary, shadow }: Route): string {
  return `${shadow!.keyspace} > ${primary.keyspace}`
}

/** Of the same route when its ends have exchanged their roles. */
function placesBackOf({ primary, shadow }: Route): string {
  return `${primary.keyspace} > ${shadow!.keyspace}`
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
  pipeline.hurry()
}
