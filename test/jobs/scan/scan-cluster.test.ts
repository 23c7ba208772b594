import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Config, StoreConfig } from '../../../src/config/config.ts'
import { configFromUrls } from '../../../src/config/file/load.ts'
import type { Task } from '../../../src/jobs/runner/task.ts'
import { scan } from '../../../src/jobs/scan/scan.ts'
import type { Page, ScanPosition } from '../../../src/jobs/scan/scan-position.ts'
import { StoreConnections } from '../../../src/jobs/stores/store-connection.ts'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { eventually } from '../../support/eventually.ts'
import type { RedisServer } from '../../support/redis.ts'

const KEYS = 3_000
let cluster: RedisCluster
let connections: StoreConnections

beforeAll(async () => {
  cluster = await startCluster({ masters: 2, replicas: 1 })
}, 180_000)
afterAll(() => cluster.stop())
beforeEach(async () => {
  const client = cluster.client()
  await Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`key:${i}`, i)))
  connections = connect()
})
afterEach(async () => {
  connections.close()
  await cluster.flushAll()
})

const { config } = configFromUrls({ env: {}, source: 'redis+cluster://127.0.0.1:1', phase: 'passthrough' })
const [store] = Object.keys(config.stores) as [string]

function configOf(login: Partial<StoreConfig> = {}): Config {
  const endpoints = cluster.servers.map(({ host, port }) => ({ kind: 'tcp', host, port }) as const)
  return { ...config, stores: { [store]: { ...config.stores[store]!, endpoints, ...login } } }
}

function connect(): StoreConnections {
  const ofCluster = configOf()
  return new StoreConnections(
    () => ofCluster,
    () => null,
  )
}

/** A listing of the cluster, page by page. */
class Listing {
  readonly seen = new Set<string>()
  readonly remarks: string[] = []
  at: ScanPosition | null = null
  pages = 0
  readonly task = {
    job: { options: {} },
    throttle: null as string | null,
    remark: (text: string) => this.remarks.push(text),
    wait: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
  }
  #pages: AsyncGenerator<Page>

  constructor() {
    this.#pages = this.#from(null)
  }

  #from(at: ScanPosition | null): AsyncGenerator<Page> {
    return scan(this.task as unknown as Task, connections, config, store, at)
  }

  async next(): Promise<boolean> {
    const { value, done } = await this.#pages.next()
    if (done) return false
    this.pages++
    for (const name of value.names) this.seen.add(String(name))
    this.at = value.next
    return true
  }

  /** As another process would that finds the checkpoint of this one. */
  resume(): void {
    connections.close()
    connections = connect()
    this.#pages = this.#from(JSON.parse(JSON.stringify(this.at)))
  }

  /** The node that is being listed. */
  get node(): string | undefined {
    return this.at?.cluster?.left[0]
  }

  async rest(): Promise<void> {
    while (await this.next());
  }
}

/** In the middle of the last node. */
async function atTheLastNode(): Promise<Listing> {
  const listing = new Listing()
  do expect(await listing.next()).toBe(true)
  while (listing.at!.cluster!.left.length > 1 || listing.at!.cursor === '0')
  return listing
}

async function masterOf(id: string): Promise<RedisServer> {
  for (const server of await cluster.masters()) {
    if ((await server.client().call('CLUSTER', 'MYID')) === id) return server
  }
  throw new Error(`${id} is no master`)
}

test('keys that move from a node that is still to be listed to one that has been are seen', async () => {
  const listing = await atTheLastNode()
  const last = await masterOf(listing.node!)
  const [to] = (await cluster.masters()).filter(({ port }) => port !== last.port)
  const unseen = Array.from({ length: KEYS }, (_, i) => `key:${i}`).filter((key) => !listing.seen.has(key))
  for (const key of unseen.slice(0, 3)) {
    const slot = await cluster.slotOf(key)
    if ((await cluster.ownerOf(slot)).port === last.port) await cluster.moveSlot(slot, to!)
  }
  await listing.rest()
  expect(listing.seen.size).toBe(KEYS)
  expect(listing.remarks.join()).toMatch(/Slots or masters of cluster .* changed while the job ran/)
})

test('keys of a slot that stays half-moved are seen, and the listing ends', async () => {
  const listing = await atTheLastNode()
  const last = await masterOf(listing.node!)
  const [to] = (await cluster.masters()).filter(({ port }) => port !== last.port)
  const unseen = Array.from({ length: KEYS }, (_, i) => `key:${i}`).find((key) => !listing.seen.has(key))!
  const move = await cluster.beginMove(await cluster.slotOf(unseen), to!)
  await move.migrate(100)
  await listing.rest()
  await move.finish()
  expect(listing.seen.size).toBe(KEYS)
})

test('a master that is replaced while it is listed loses no key', async () => {
  const listing = await atTheLastNode()
  await cluster.failover(await masterOf(listing.node!))
  await listing.rest()
  expect(listing.seen.size).toBe(KEYS)
}, 240_000)

test('another process goes on where it stood, and begins a node anew that was started again meanwhile', async () => {
  const listing = await atTheLastNode()
  const { pages } = listing
  listing.resume()
  await listing.rest()
  expect(listing.seen.size).toBe(KEYS)
  // Of the last node, and the empty page at the end.
  expect(listing.pages - pages).toBeLessThan(pages)

  const other = await atTheLastNode()
  const last = await masterOf(other.node!)
  other.seen.clear()
  await last.client().save()
  await last.restart()
  await cluster.ready()
  const there = new Set((await last.client().keys('*')) as string[])
  await other.rest()
  expect(there.size).toBeGreaterThan(0)
  expect([...there].filter((key) => !other.seen.has(key))).toEqual([])
}, 180_000)

test('nodes are logged in to with the password that is configured by then', async () => {
  const nodes = cluster.servers.map((server) => server.client())
  const onAll = (...command: [string, ...string[]]) => Promise.all(nodes.map((node) => node.call(...command)))
  const passwordIs = (password: string) => onAll('ACL', 'SETUSER', 'job', 'reset', 'on', `>${password}`, '~*', '+@all')
  let now = configOf({ username: 'job', password: 'one' })
  connections.close()
  connections = new StoreConnections(
    () => now,
    () => null,
  )
  const isThere = () => connections.to(store, 0).ask(['EXISTS', 'key:1'])
  await passwordIs('one')
  expect(await isThere()).toBe(1)
  const listing = new Listing()
  await listing.next()
  await passwordIs('two')
  await onAll('CLIENT', 'KILL', 'USER', 'job')
  const next = listing.next()
  await eventually(() => expect(listing.task.throttle).toMatch(/does not answer for every slot/))
  now = configOf({ username: 'job', password: 'two' })
  await next
  await listing.rest()
  expect(listing.task.throttle).toBeNull()
  expect(listing.seen.size).toBe(KEYS)
  await eventually(async () => expect(await isThere()).toBe(1))
  await onAll('ACL', 'DELUSER', 'job')
})
