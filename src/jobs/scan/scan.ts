import { UnderstudyError } from '../../base/errors.ts'
import { type UnservedDatabases, unservedDatabases } from '../../config/checks/unserved-databases.ts'
import type { Config } from '../../config/config.ts'
import type { Task } from '../runner/task.ts'
import type { StoreConnections } from '../stores/store-connection.ts'
import { StoreLost } from '../stores/store-lost.ts'
import { type ListingWatcher, scanCluster } from './scan-cluster.ts'
import { checked, readPage, runIdOf } from './scan-page.ts'
import type { Page, ScanPosition } from './scan-position.ts'

/** Keys looked at by one SCAN: a fraction of a millisecond of the store's time. */
const SCAN_COUNT = 400
const MIN_SCAN_COUNT = 10
/** Pages a second of a job with a rate, so that it goes evenly. */
const PAGES_PER_SECOND = 10
const RETRY_MS = 250
/** So often a store is listed at most because its databases are swapped. */
export const MAX_LISTINGS = 5

/** Of a store whose keys are being listed. As it is told where that happens again and again. */
export class DatabasesSwapped extends UnderstudyError {
  constructor(store: string) {
    super(
      'JOB_REFUSED',
      `databases of store '${store}' are swapped (SWAPDB) more often than its keys can be looked at once: start the job again when they are not`,
    )
  }
}

/** Called before a store, no cluster, is listed from its beginning once more. `swapped`: because its databases were swapped; null: it is another process. What it throws ends the listing. */
type Anew = (swapped: DatabasesSwapped | null) => Promise<void>

/**
 * Has `work` done for every page of `scan`, and once more for all of them as often as the store's databases were swapped before it was done: a swap takes keys from databases that are still to be listed to such as have been, and away from
 * under keys that have been listed. Throws DatabasesSwapped where that does not end.
 */
export async function scanned(
  task: Task,
  connections: StoreConnections,
  config: Config,
  store: string,
  from: ScanPosition | null,
  work: (pages: AsyncIterable<Page>) => Promise<void>,
  anew?: Anew,
): Promise<void> {
  let at = from
  for (let listings = 0; listings <= MAX_LISTINGS; listings++) {
    const pages = new Pages(scan(task, connections, config, store, at, anew))
    await work(pages)
    // None: it stands where it stood when the last one was done.
    if (pages.last === null || pages.last.next === null) return
    at = pages.last.next
  }
  throw new DatabasesSwapped(store)
}

/** Pages on their way to somebody else. */
class Pages implements AsyncIterable<Page> {
  readonly #pages: AsyncIterable<Page>
  last: Page | null = null

  constructor(pages: AsyncIterable<Page>) {
    this.#pages = pages
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Page> {
    for await (const page of this.#pages) {
      this.last = page
      yield page
    }
  }
}

/**
 * Every key of a store, in every database that clients can reach, page by page. A store that does not answer is waited for; one that comes back as another process (a restart, a failover) is scanned from the
 * beginning, because cursors are a server's own; so is one whose databases were swapped before `from` was stored, or the store was lost. SCAN's promise holds for the whole: a key that is there from the beginning to the end is seen.
 */
export async function* scan(
  task: Task,
  connections: StoreConnections,
  config: Config,
  store: string,
  from: ScanPosition | null,
  anew?: Anew,
): AsyncGenerator<Page> {
  let position = from
  const lost = new Loss(task)
  const { rate } = task.job.options
  const count =
    rate === undefined ? SCAN_COUNT : Math.min(SCAN_COUNT, Math.max(MIN_SCAN_COUNT, Math.ceil(rate / PAGES_PER_SECOND)))
  if (isCluster(config, store)) {
    for await (const page of scanCluster(connections, store, count, from, watcherOf(task, store, lost))) {
      lost.isOver()
      yield page
    }
    return
  }
  for (;;) {
    try {
      const { server, swaps, databases, unserved } = await look(connections, config, store)
      for (const [database, why] of unserved)
        task.remark(`Database ${database} of store '${store}' holds keys, and was left out: ${why}.`)
      const isAnother = position !== null && position.server !== server
      if (position !== null && (isAnother || (position.swaps ?? swaps) !== swaps)) {
        position = null
        task.hasBegunAnew = true
        const keys = [...databases.values()].reduce((sum, size) => sum + size, 0)
        task.remark(
          isAnother
            ? `Store '${store}' was started again (or another took its place) while the job ran: it holds ${keys} keys since, and was listed from its beginning.`
            : `Databases of store '${store}' were swapped (SWAPDB) while the job ran: it was listed once more from its beginning.`,
        )
        await anew?.(isAnother ? null : new DatabasesSwapped(store))
        // What has been scanned in vain counts in both.
        task.total = task.done + keys
      }
      lost.isOver()
      let at: ScanPosition = position ?? first(server, swaps, databases)
      while (at.isListed === undefined) {
        const page = await pageOf(connections, store, at, databases, count)
        at = page.next ?? { ...at, cursor: '0', isListed: true }
        yield { ...page, next: at }
        position = at
      }
      return
    } catch (error) {
      if (!(error instanceof StoreLost)) throw error
      await lost.wait(error.shown)
    }
  }
}

function isCluster(config: Config, store: string): boolean {
  return config.stores[store]!.kind === 'cluster'
}

/** A store that does not answer now: shown for as long as that lasts. */
class Loss {
  readonly #task: Task
  #isShown = false

  constructor(task: Task) {
    this.#task = task
  }

  async wait(shown: string): Promise<void> {
    this.#task.throttle = shown
    this.#isShown = true
    await this.#task.wait(RETRY_MS)
  }

  isOver(): void {
    if (this.#isShown) this.#task.throttle = null
    this.#isShown = false
  }
}

function watcherOf(task: Task, store: string, lost: Loss): ListingWatcher {
  return {
    lost: ({ message }) => lost.wait(`store '${store}' does not answer for every slot: ${message}`),
    async again(nodes) {
      task.hasBegunAnew = true
      const keys = nodes === 1 ? 'the keys of 1 node were' : `the keys of ${nodes} nodes were`
      task.remark(`Slots or masters of cluster '${store}' changed while the job ran: ${keys} listed once more.`)
    },
  }
}

/** Keys in every database of a store that clients can reach: what a scan is expected to give. */
export async function countKeys(connections: StoreConnections, config: Config, store: string): Promise<number> {
  const { databases } = await look(connections, config, store)
  return [...databases.values()].reduce((sum, keys) => sum + keys, 0)
}

/** Every key of a store as by `scan`, without its patience: rejects with StoreLost. */
export async function* everyPage(connections: StoreConnections, config: Config, store: string): AsyncGenerator<Page> {
  if (isCluster(config, store)) {
    const watcher = { lost: (error: StoreLost) => Promise.reject(error), again: () => Promise.resolve() }
    yield* scanCluster(connections, store, SCAN_COUNT, null, watcher)
    return
  }
  const { server, swaps, databases } = await look(connections, config, store)
  let at: ScanPosition | null = first(server, swaps, databases)
  while (at !== null) {
    const page: Page = await pageOf(connections, store, at, databases, SCAN_COUNT)
    yield page
    at = page.next
  }
  if ((await look(connections, config, store)).swaps !== swaps)
    throw new StoreLost(store, 'its databases were swapped while it was listed')
}

async function pageOf(
  connections: StoreConnections,
  store: string,
  at: ScanPosition,
  databases: ReadonlyMap<number, number>,
  count: number,
): Promise<Page> {
  const { names, next: cursor } = await readPage(connections.to(store, at.database), store, at.server, at.cursor, count)
  const later = [...databases.keys()].filter((database) => database > at.database).sort((a, b) => a - b)
  const next =
    cursor !== '0' ? { ...at, cursor } : later[0] === undefined ? null : { ...at, database: later[0], cursor: '0' }
  return { database: at.database, names, next }
}

function first(server: string, swaps: number, databases: ReadonlyMap<number, number>): ScanPosition {
  return { server, swaps, database: Math.min(...databases.keys()), cursor: '0' }
}

/** Which process the store is now, how many SWAPDBs it has executed, whoever has sent them (`CONFIG RESETSTAT` begins anew), and its databases as clients count them with their numbers of keys; database 0 is always among them. `unserved`: those with keys that no client can have, and why. */
async function look(
  connections: StoreConnections,
  config: Config,
  store: string,
): Promise<{ server: string; swaps: number; databases: ReadonlyMap<number, number>; unserved: UnservedDatabases }> {
  const connection = connections.to(store, 0)
  const server = await runIdOf(connection, store)
  // Before the databases are: a swap that comes between is one that comes while they are listed.
  const calls = checked(store, await connection.ask(['INFO', 'commandstats'])) as Buffer
  const swaps = Number(/^cmdstat_swapdb:calls=(\d+)/m.exec(calls.toString('latin1'))?.[1] ?? 0)
  const keyspace = checked(store, await connection.ask(['INFO', 'keyspace'])) as Buffer
  const own = config.stores[store]!.database
  const databases = new Map<number, number>([[0, 0]])
  const nobodys = unservedDatabases(config)
  const unserved = new Map<number, string>()
  for (const [, number, keys] of keyspace.toString('latin1').matchAll(/^db(\d+):keys=(\d+)/gm)) {
    const database = Number(number)
    const why = nobodys.get(database)
    // A client's database 0 is the one in the store's URL; the store's own 0 cannot be reached then.
    if (database === own) databases.set(0, Number(keys))
    else if (why !== undefined) unserved.set(database, why)
    else if (database !== 0) databases.set(database, Number(keys))
  }
  return { server, swaps, databases, unserved }
}
