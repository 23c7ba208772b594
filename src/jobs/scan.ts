import type { Config } from '../config/config.ts'
import { type UnservedDatabases, unservedDatabases } from '../config/unserved-databases.ts'
import { type ListingWatcher, scanCluster } from './scan-cluster.ts'
import { checked, readPage, runIdOf } from './scan-page.ts'
import type { Page, ScanPosition } from './scan-position.ts'
import { type StoreConnections, StoreLost } from './store-connection.ts'
import type { Task } from './task.ts'

/** Keys looked at by one SCAN: a fraction of a millisecond of the store's time. */
const SCAN_COUNT = 400
const MIN_SCAN_COUNT = 10
/** Pages a second of a job with a rate, so that it goes evenly. */
const PAGES_PER_SECOND = 10
const RETRY_MS = 250

/**
 * Every key of a store, in every database that clients can reach, page by page. A store that does not answer is waited for; one that comes back as another process (a restart, a failover) is scanned from the
 * beginning, because cursors are a server's own. SCAN's promise holds for the whole: a key that is there from the beginning to the end is seen.
 */
export async function* scan(
  task: Task,
  connections: StoreConnections,
  config: Config,
  store: string,
  from: ScanPosition | null,
): AsyncGenerator<Page> {
  let position = from
  const { rate } = task.job.options
  const count =
    rate === undefined ? SCAN_COUNT : Math.min(SCAN_COUNT, Math.max(MIN_SCAN_COUNT, Math.ceil(rate / PAGES_PER_SECOND)))
  if (isCluster(config, store)) {
    yield* scanCluster(connections, store, count, from, watcherOf(task, store))
    return
  }
  for (;;) {
    try {
      const { server, databases, unserved } = await look(connections, config, store)
      for (const [database, why] of unserved)
        task.remark(`Database ${database} of store '${store}' holds keys, and was left out: ${why}.`)
      if (position !== null && position.server !== server) {
        position = null
        task.hasBegunAnew = true
        const keys = [...databases.values()].reduce((sum, size) => sum + size, 0)
        task.remark(
          `Store '${store}' was started again (or another took its place) while the job ran: it holds ${keys} keys since, and was listed from its beginning.`,
        )
        // What has been scanned in vain counts in both.
        task.total = task.done + keys
      }
      let at: ScanPosition | null = position ?? first(server, databases)
      while (at !== null) {
        const page: Page = await pageOf(connections, store, at, databases, count)
        at = page.next
        yield page
        position = at
      }
      return
    } catch (error) {
      if (!(error instanceof StoreLost)) throw error
      task.throttle = error.shown
      await task.wait(RETRY_MS)
    }
  }
}

function isCluster(config: Config, store: string): boolean {
  return config.stores[store]!.kind === 'cluster'
}

function watcherOf(task: Task, store: string): ListingWatcher {
  return {
    async lost({ message }) {
      task.throttle = `store '${store}' does not answer for every slot: ${message}`
      await task.wait(RETRY_MS)
    },
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
  const { server, databases } = await look(connections, config, store)
  let at: ScanPosition | null = first(server, databases)
  while (at !== null) {
    const page: Page = await pageOf(connections, store, at, databases, SCAN_COUNT)
    yield page
    at = page.next
  }
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

function first(server: string, databases: ReadonlyMap<number, number>): ScanPosition {
  return { server, database: Math.min(...databases.keys()), cursor: '0' }
}

/** Which process the store is now, and its databases as clients count them with their numbers of keys; database 0 is always among them. `unserved`: those with keys that no client can have, and why. */
async function look(
  connections: StoreConnections,
  config: Config,
  store: string,
): Promise<{ server: string; databases: ReadonlyMap<number, number>; unserved: UnservedDatabases }> {
  const connection = connections.to(store, 0)
  const server = await runIdOf(connection, store)
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
  return { server, databases, unserved }
}
