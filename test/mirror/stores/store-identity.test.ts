import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DataPathContext } from '../../../src/mirror/context.ts'
import { CopyState } from '../../../src/mirror/copy/copy-state.ts'
import { exchangedRoutes } from '../../../src/mirror/crash/crash-recovery.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import { StoreIdentity } from '../../../src/mirror/stores/store-identity.ts'
import type { ApplyResult } from '../../../src/proxy/messages.ts'
import { RouteTable } from '../../../src/routing/route-table.ts'
import { InFlight, type ReplyOwner } from '../../../src/upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../../src/upstream/pipeline/pipeline.ts'
import type { Store } from '../../../src/upstream/store.ts'
import { changeBetween } from '../../support/change.ts'
import { configOf, type DataPathUnderTest, type RouteOptions, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'identity-'))
})
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
  rmSync(dir, { recursive: true })
})

const ROUTE = { source: 'old', target: 'new', phase: 'mirror' } as const

async function redises(): Promise<{ old: RedisServer; fresh: RedisServer }> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  return { old, fresh }
}

async function start(
  stores: { old: RedisServer; fresh: RedisServer },
  route: RouteOptions = ROUTE,
): Promise<DataPathUnderTest> {
  const path = await startDataPath({
    stores: { old: stores.old, new: stores.fresh },
    routes: [route],
    stateDir: join(dir, 'state'),
  })
  running.push(path)
  return path
}

/** Functions come over by themselves. */
const causesOf = (path: DataPathUnderTest) =>
  path.runtime.stats().routes['all']!.verifyCauses.filter((cause) => cause !== 'functions')

/** Both connections of the mirror have been up, and what was asked of them is answered: a write has gone all the way. */
async function looked(path: DataPathUnderTest, names: readonly string[] = ['old', 'new']): Promise<void> {
  await eventually(() => {
    const { stores } = path.runtime.stats()
    expect(names.map((name) => stores[name]?.state)).toEqual(['up', 'up'])
  })
  await path.client().set('looked', 1)
  await settled(path)
}

/** What comes of a switch whose gates were open. */
function switched(path: DataPathUnderTest, stores: { old: RedisServer; fresh: RedisServer }): Promise<ApplyResult> {
  const { listen, stateDir } = path.config
  const next = configOf({
    stores: { old: stores.old, new: stores.fresh },
    routes: [{ ...ROUTE, phase: 'switched' }],
  })
  return path.runtime.apply(changeBetween(path.config, { ...next, listen, stateDir }, 1))
}

async function run(stores: { old: RedisServer; fresh: RedisServer }): Promise<void> {
  const path = await start(stores)
  await path.client().set('a', 1)
  await looked(path)
  expect(causesOf(path)).toEqual([])
  await path.stop()
}

describe('between two runs', () => {
  test('a store that was restarted has got another name in the file: it is the same database, and what it may have lost is in doubt', async () => {
    const stores = await redises()
    await run(stores)
    await stores.fresh.restart()
    const path = await startDataPath({
      stores: { old: stores.old, renamed: stores.fresh },
      routes: [{ ...ROUTE, target: 'renamed' }],
      stateDir: join(dir, 'state'),
    })
    running.push(path)
    await looked(path, ['old', 'renamed'])
    expect(causesOf(path)).toEqual(['shadow-restarted'])
  })

  test('a shadow that was restarted, and may have lost what it had, needs a verify; and it stays so until there was one', async () => {
    const stores = await redises()
    await run(stores)
    await stores.fresh.restart()
    const path = await start(stores)
    await looked(path)
    expect(causesOf(path)).toEqual(['shadow-restarted'])
    await path.stop()
    const again = await start(stores)
    await looked(again)
    expect(causesOf(again)).toEqual(['shadow-restarted'])
    expect(JSON.stringify(again.notices)).not.toContain('restarted or replaced')
    await again.runtime.jobs.verified('all', await again.runtime.jobs.verifyTicket('all'))
    await again.stop()
    const third = await start(stores)
    await looked(third)
    expect(causesOf(third)).toEqual([])
  })

  test('a primary that was restarted needs one, too: the shadow may hold what it has lost', async () => {
    const stores = await redises()
    await run(stores)
    await stores.old.restart()
    const path = await start(stores)
    await looked(path)
    expect(causesOf(path)).toEqual(['primary-restarted'])
    expect(JSON.stringify(path.notices)).toContain('what it may have lost is still on the shadow')
  })

  test('what is said of a primary is said of the shadow when the authority has gone to the other store, and the reverse; the next run knows it so', async () => {
    const stores = await redises()
    await run(stores)
    await stores.old.restart()
    const path = await start(stores)
    await looked(path)
    await path.client().set('a', 1)
    await settled(path)
    // What is in doubt about functions when the roles turn makes it another matter.
    await eventually(() => expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual(['primary-restarted']))
    const next = configOf({ stores: { old: stores.old, new: stores.fresh }, routes: [{ ...ROUTE, phase: 'switched' }] })
    const { listen, stateDir } = path.config
    const change = changeBetween(path.config, { ...next, listen, stateDir }, 1)
    expect(await path.runtime.apply({ ...change, force: true })).toMatchObject({ ok: true })
    expect(causesOf(path)).toEqual(['shadow-restarted'])
    await path.stop()
    const again = await start(stores, { ...ROUTE, phase: 'switched' })
    await looked(again)
    await eventually(() => expect(again.runtime.stats().routes['all']!.verifyCauses).toEqual(['shadow-restarted']))
    await again.stop()
    // The file was changed while nothing ran.
    const back = await start(stores)
    await looked(back)
    expect(causesOf(back)).toEqual(['primary-restarted'])
  })

  test('roles are exchanged by the phase, or by a file that exchanges the ends; names of one store that are exchanged are told by the end', () => {
    const stores = { old: { port: 1 }, new: { port: 2 } }
    const exchanged = (before: string, routes: readonly RouteOptions[]) =>
      exchangedRoutes(new Map([['all', before]]), configOf({ stores, routes }), (store, name) => store === name)
    expect(exchanged('source old', [ROUTE])).toEqual([])
    expect(exchanged('source old', [{ ...ROUTE, phase: 'switched' }])).toEqual(['all'])
    expect(exchanged('source old', [{ ...ROUTE, source: 'new', target: 'old' }])).toEqual(['all'])
    expect(exchanged('source old', [{ ...ROUTE, source: 'new', target: 'old', phase: 'switched' }])).toEqual([])
    expect(exchanged('', [{ ...ROUTE, phase: 'switched' }])).toEqual([])
    const renamed = configOf({
      stores: { first: { port: 1 }, new: { port: 2 } },
      routes: [{ ...ROUTE, source: 'first', phase: 'switched' }],
    })
    const names = (store: string, name: string) => name === (store === 'first' ? 'old' : store)
    expect(exchangedRoutes(new Map([['all', 'source old']]), renamed, names)).toEqual(['all'])
    const keys = { 'a:*': 'b:*' }
    const inOne = { ...ROUTE, keys: ['a:*'], target: { store: 'old', keys } }
    expect(exchanged('source old', [inOne])).toEqual([])
    expect(exchanged('source old', [{ ...inOne, phase: 'switched' }])).toEqual(['all'])
  })

  test('a store that has failed over and back is the same process, and is known by the number of its failover', async () => {
    const stores = await redises()
    const place = { kind: 'tcp', host: '127.0.0.1', port: stores.fresh.port } as const
    const started = async (epoch: number): Promise<string[]> => {
      const path = await start(stores)
      path.runtime.setEndpoint('new', place, false, epoch)
      await looked(path)
      const causes = causesOf(path)
      await path.stop()
      return causes
    }
    expect(await started(3)).toEqual([])
    expect(await started(3)).toEqual([])
    expect(await started(5)).toEqual(['shadow-failed-over'])
  })

  test('another server under the address of the shadow is noticed', async () => {
    const stores = await redises()
    await run(stores)
    const other = await startRedis()
    running.push(other)
    const path = await start({ ...stores, fresh: other })
    await looked(path)
    expect(causesOf(path)).toEqual(['shadow-restarted'])
  })

  test('nothing is asked for where the stores are the same, or both were restarted and hold nothing', async () => {
    const stores = await redises()
    await run(stores)
    await run(stores)
    await stores.old.restart()
    await stores.fresh.restart()
    const path = await start(stores)
    await looked(path)
    await eventually(() => expect(causesOf(path)).toEqual([]))
    expect(JSON.stringify(path.notices)).not.toContain('restarted or replaced')
  })

  test('what a store did while no route was mirrored to it does not matter', async () => {
    const stores = await redises()
    await run(stores)
    const without = await start(stores, { ...ROUTE, phase: 'passthrough' })
    await without.client().set('b', 1)
    await without.stop()
    await stores.fresh.restart()
    const path = await start(stores)
    await looked(path)
    expect(causesOf(path)).toEqual([])
  })

  test.each(['dirty.db', 'intent'])('%s that was removed alone: every mirrored route needs a verify', async (part) => {
    const stores = await redises()
    await run(stores)
    rmSync(join(dir, 'state', part), { recursive: true })
    const path = await start(stores)
    await looked(path)
    expect(causesOf(path)).toEqual(['state-lost'])
    expect(JSON.stringify(path.notices)).toContain('a part of the state directory is missing')
  })
})

describe('while it runs', () => {
  test('a primary that was restarted with keys still on the shadow needs a verify', async () => {
    const stores = await redises()
    const path = await start(stores)
    await path.client().set('a', 1)
    await looked(path)
    await stores.old.restart()
    await eventually(() => expect(causesOf(path)).toEqual(['primary-restarted']))
  })

  test('a store is asked when its route begins to be mirrored, although it is connected already', async () => {
    const stores = await redises()
    const path = await start(stores)
    await looked(path)
    const change = async (phase: 'mirror' | 'passthrough', generation: number): Promise<void> => {
      const config = configOf({ stores: { old: stores.old, new: stores.fresh }, routes: [{ ...ROUTE, phase }] })
      const none = { endpoints: {}, hold: [], needsEqual: [], forget: [], holdTimeoutMs: 1_000 }
      await path.runtime.apply({ config: { ...config, listen: path.config.listen }, generation, ...none })
    }
    await change('passthrough', 1)
    await change('mirror', 2)
    await looked(path)
    await stores.fresh.restart()
    await eventually(() => expect(causesOf(path)).toEqual(['shadow-restarted']))
  })

  test('a failover while a switch waits for what is in flight calls it off, although the gates had not heard of it', async () => {
    const stores = await redises()
    const path = await start(stores)
    await looked(path)
    await eventually(() => expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual([]))
    const config = configOf({ stores: { old: stores.old, new: stores.fresh }, routes: [ROUTE] })
    const { listen, stateDir } = path.config
    const held = { endpoints: {}, hold: ['all'], needsEqual: ['all'], forget: [], holdTimeoutMs: 20_000 }
    const client = path.client()
    await client.ping()
    stores.old.pause()
    try {
      const written = client.set('b', 1)
      await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(1))
      const applied = path.runtime.apply({ config: { ...config, listen, stateDir }, generation: 1, ...held })
      // From the next turn on it waits.
      await new Promise((resolve) => setImmediate(resolve))
      path.runtime.setEndpoint('new', { kind: 'tcp', host: '127.0.0.1', port: stores.fresh.port }, true)
      stores.old.resume()
      expect(await written).toBe('OK')
      expect(await applied).toEqual({
        ok: false,
        reason: "route 'all' needs a verify since a moment ago (shadow-failed-over)",
      })
    } finally {
      stores.old.resume()
    }
  })

  test('and so does one between the look of the gates and the hold', async () => {
    const stores = await redises()
    const path = await start(stores)
    await looked(path)
    await eventually(() => expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual([]))
    path.runtime.setEndpoint('new', { kind: 'tcp', host: '127.0.0.1', port: stores.fresh.port }, true)
    expect(await switched(path, stores)).toEqual({
      ok: false,
      reason: "route 'all' needs a verify since a moment ago (shadow-failed-over)",
    })
    expect(await path.client().set('b', 1)).toBe('OK')
  })

  test('a target that was made a replica a moment ago, and to which nothing was written since, calls a switch off', async () => {
    const stores = await redises()
    const path = await start(stores)
    await looked(path)
    await eventually(() => expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual([]))
    await stores.fresh.client().replicaof('127.0.0.1', stores.old.port)
    expect(await switched(path, stores)).toEqual({
      ok: false,
      reason: "store 'new' is a replica since a moment ago: promote it first (REPLICAOF NO ONE)",
    })
    await stores.fresh.client().replicaof('NO', 'ONE')
    expect(await path.client().set('b', 1)).toBe('OK')
  })

  test('a shadow that has become the replica of another server needs one', async () => {
    const stores = await redises()
    const path = await start(stores)
    await looked(path)
    await stores.fresh.client().replicaof('127.0.0.1', stores.old.port)
    await eventually(async () => {
      await path.client().set('b', 1)
      expect(causesOf(path)).toEqual(['shadow-replica'])
    })
  })

  test('a store that does not tell who it is: that is said', async () => {
    const stores = await redises()
    await stores.fresh.client().call('ACL', 'SETUSER', 'default', '-info')
    const path = await start(stores)
    await looked(path)
    await eventually(() => expect(JSON.stringify(path.notices)).toContain('does not tell its run_id'))
    expect(causesOf(path)).toEqual([])
  })
})

test('before the authority moves both servers are asked who they are: one that has changed unnoticed calls it off, and its routes need a verify', async () => {
  const says = { old: 'aa', new: 'bb' }
  const pipelineOf = (store: 'old' | 'new') => ({
    hurry() {},
    push(owner: ReplyOwner, bytes: Buffer) {
      const text = bytes.toString().includes('keyspace') ? '# Keyspace\r\ndb0:keys=1' : `run_id:${says[store]}`
      const reply = Buffer.from(`$${text.length}\r\n${text}\r\n`)
      if (says[store] !== '') setImmediate(() => owner.settle(new InFlight(), reply, 0, reply.length))
    },
  })
  const storeOf = (store: 'old' | 'new') => ({
    name: store,
    cluster: null,
    shared: () => pipelineOf(store),
    shadows: { to: () => pipelineOf(store) },
  })
  const config = configOf({ stores: { old: { port: 1 }, new: { port: 2 } }, routes: [ROUTE] })
  const routes = new RouteTable(config, 1, ['old', 'new'], new Map())
  const context = {
    routes,
    stores: [storeOf('old'), storeOf('new')],
    copies: new CopyState(),
    clock: { nowMs: 1 },
    log: () => {},
  } as unknown as DataPathContext
  const dirty = new DirtySet(100)
  const identity = new StoreIdentity(context, dirty, () => {})
  identity.restore(new Map(Object.entries(says)))
  const asked = (withinMs = 10_000) => identity.changedMeanwhile(new Set(['all']), withinMs)
  expect(await asked()).toBeNull()
  says.new = 'cc'
  expect(await asked()).toMatch(/store 'new' is another server/)
  await eventually(() => expect(dirty.toVerify.causes('all')).toContain('shadow-restarted'))
  expect(await asked()).toBeNull()
  says.old = ''
  expect(await asked(10)).toMatch(/store 'old' does not say/)
})

describe('a reload while a store is away', () => {
  test.each([
    ['old', 'primary-restarted'],
    ['fresh', 'shadow-restarted'],
  ] as const)(
    'gives it another name (%s): it is the same database, and comes back without its data',
    async (which, cause) => {
      const stores = await redises()
      const path = await start(stores)
      await path.client().set('a', 1)
      await looked(path)
      await stores[which].kill9()
      const [source, target] = which === 'old' ? ['renamed', 'new'] : ['old', 'renamed']
      await path.apply({
        stores: { [source]: stores.old, [target]: stores.fresh },
        routes: [{ ...ROUTE, source, target }],
      })
      await stores[which].start()
      await eventually(() => expect(causesOf(path)).toEqual([cause]))
    },
  )

  test('exchanges the names of two stores: nothing has become of either', async () => {
    const stores = await redises()
    const path = await start(stores)
    await path.client().set('a', 1)
    await looked(path)
    await path.apply({
      stores: { old: stores.fresh, new: stores.old },
      routes: [{ ...ROUTE, source: 'new', target: 'old' }],
    })
    await looked(path)
    expect(causesOf(path)).toEqual([])
  })

  test('gives its route another name before it is decided what its restart means: that is of the new route, which no switch takes until then', async () => {
    const stores = await redises()
    const path = await start(stores)
    await path.client().set('a', 1)
    await looked(path)
    stores.fresh.pause()
    await stores.old.restart()
    const statsOf = (name: string) => path.runtime.stats().routes[name]!
    await eventually(() => expect(statsOf('all').backlogCommands).toBeGreaterThan(0))
    await path.apply({ stores: { old: stores.old, new: stores.fresh }, routes: [{ ...ROUTE, name: 'renamed' }] })
    expect(statsOf('renamed').verifyCauses).not.toContain('primary-restarted')
    expect(statsOf('renamed').backlogCommands).toBeGreaterThan(0)
    stores.fresh.resume()
    await eventually(() => expect(statsOf('renamed').verifyCauses).toContain('primary-restarted'))
    await eventually(() => expect(statsOf('renamed').backlogCommands).toBe(0))
  })
})

test.each(['a look at it before the authority moves', 'its connection', 'the greeting of its connection'])(
  'a reload exchanges the names of two stores before one has said that it was restarted (%s): nothing is known of the other by that',
  async (asker) => {
    const routesOf = (source: string, target: string) =>
      new RouteTable(
        configOf({
          stores: { old: { port: source === 'old' ? 1 : 2 }, new: { port: target === 'new' ? 2 : 1 } },
          routes: [{ ...ROUTE, source, target }],
        }),
        1,
        ['old', 'new'],
        new Map(),
      )
    const unanswered: [bytes: string, ReplyOwner][] = []
    const pipeline = {
      hurry() {},
      push: (owner: ReplyOwner, bytes: Buffer) => unanswered.push([bytes.toString(), owner]),
    } as unknown as Pipeline
    const storeOf = (name: string) =>
      ({
        name,
        cluster: null,
        shared: () => pipeline,
        shadows: { to: () => pipeline },
        sharedPipelines: () => [],
      }) as unknown as Store
    const [old, fresh] = [storeOf('old'), storeOf('new')]
    const copies = new CopyState()
    const context = { routes: routesOf('old', 'new'), stores: [old, fresh], copies, clock: { nowMs: 1 }, log: () => {} }
    const dirty = new DirtySet(100)
    const written: unknown[] = []
    const identity = new StoreIdentity(context as unknown as DataPathContext, dirty, (runs) =>
      written.push(Object.fromEntries(runs)),
    )
    identity.restore(
      new Map([
        ['old', 'aa'],
        ['new', 'bb'],
      ]),
    )
    identity.routesChanged()
    if (asker === 'its connection') identity.connected(fresh, pipeline)
    if (asker.startsWith('a look')) expect(await identity.changedMeanwhile(new Set(['all']), 1)).toMatch(/does not say/)
    context.routes = routesOf('new', 'old')
    context.stores = [storeOf('old'), storeOf('new')]
    identity.routesChanged()
    written.length = 0
    if (asker.startsWith('the greeting')) identity.met(fresh, 'run_id:cc')
    // Also what is asked because of an answer.
    for (const [bytes, owner] of unanswered) {
      const text = bytes.includes('keyspace') ? '# Keyspace\r\ndb0:keys=1' : 'run_id:cc'
      const reply = Buffer.from(`$${text.length}\r\n${text}\r\n`)
      owner.settle(new InFlight(), reply, 0, reply.length)
    }
    expect(dirty.toVerify.causes('all').filter((cause) => cause !== 'functions')).toEqual([])
    expect(identity.isUnsure('new')).toBe(false)
    expect(written).toEqual([])
  },
)

test('the number of the last failover is written down as soon as it is known, and only a higher one is a failover', () => {
  const config = configOf({ stores: { old: { port: 1 }, new: { port: 2 } }, routes: [ROUTE] })
  const routes = new RouteTable(config, 1, ['old', 'new'], new Map())
  const dirty = new DirtySet(100)
  const written: unknown[] = []
  const identity = new StoreIdentity(
    { routes, stores: [], copies: new CopyState(), clock: { nowMs: 1 }, log: () => {} } as unknown as DataPathContext,
    dirty,
    (_, epochs) => written.push(Object.fromEntries(epochs)),
  )
  identity.restore(new Map(), new Map([['new', 3]]))
  identity.elected('new', 3, false)
  expect(written).toEqual([])
  // Sentinels that were set up anew begin at 0.
  identity.elected('new', 0, false)
  expect(dirty.toVerify.causes('all')).toEqual([])
  // It is told as one by itself.
  identity.elected('new', 1, true)
  expect(dirty.toVerify.causes('all')).toEqual([])
  identity.elected('new', 3, false)
  // Which functions it has lost is looked up.
  expect(dirty.toVerify.causes('all')).toEqual(['shadow-failed-over', 'functions'])
  expect(written).toEqual([{ new: 0 }, { new: 1 }, { new: 3 }])
})

test('a store without keys is not taken for an empty one while it loads its data', async () => {
  let loading = 1
  const pipeline = {
    hurry() {},
    push(owner: ReplyOwner, bytes: Buffer) {
      const said = {
        keyspace: '# Keyspace\r\n',
        persistence: `# Persistence\r\nloading:${loading}\r\n`,
        server: 'run_id:cc',
      }
      const text = Object.entries(said).find(([section]) => bytes.includes(section))![1]
      const reply = Buffer.from(`$${text.length}\r\n${text}\r\n`)
      owner.settle(new InFlight(), reply, 0, reply.length)
    },
  } as unknown as Pipeline
  const config = configOf({ stores: { old: { port: 1 }, new: { port: 2 } }, routes: [ROUTE] })
  const storeOf = (name: string) =>
    ({ name, shared: () => pipeline, shadows: { to: () => pipeline } }) as unknown as Store
  const old = storeOf('old')
  const routes = new RouteTable(config, 1, ['old', 'new'], new Map())
  const dirty = new DirtySet(100)
  const context = {
    routes,
    stores: [old, storeOf('new')],
    copies: new CopyState(),
    clock: { nowMs: 1 },
    log: () => {},
  } as unknown as DataPathContext
  const causes = () => dirty.toVerify.causes('all').filter((cause) => cause !== 'functions')
  const identity = new StoreIdentity(context, dirty, () => {})
  identity.restore(new Map([['old', 'aa']]))
  identity.connected(old, pipeline)
  expect(causes()).toEqual(['primary-restarted'])
  dirty.toVerify.clear('all')
  loading = 0
  identity.restore(new Map([['old', 'aa']]))
  identity.connected(old, pipeline)
  expect(causes()).toEqual([])
})

describe('a file in which the primary has another name, changed while nothing ran, turns nothing', () => {
  const other: RouteOptions = { ...ROUTE, name: 'jobs', keys: ['job:{id}'] }

  /** Ends with two dirty keys: what a hanging shadow has not answered. */
  async function withDirtyKeys(stores: { old: RedisServer; fresh: RedisServer }): Promise<void> {
    const path = await startDataPath({
      // Two names of one server.
      stores: { old: stores.old, first: stores.old, new: stores.fresh },
      routes: [other, { ...ROUTE, source: 'first' }],
      stateDir: join(dir, 'state'),
    })
    running.push(path)
    await looked(path, ['first', 'new'])
    await eventually(() => expect(causesOf(path)).toEqual([]))
    await stores.fresh.kill9()
    for (const key of ['job:1', 'k']) await path.client().set(key, 1)
    await path.stop()
  }

  test.each([
    ['the same routes', 'old', [other, ROUTE]],
    ['the same routes', 'third', [other, ROUTE]],
    ['a route that is gone', 'first', [ROUTE]],
    ['a route that is gone', 'third', [ROUTE]],
  ])('%s, now at %s', async (_, name, routes) => {
    const stores = await redises()
    await withDirtyKeys(stores)
    await stores.fresh.restart()
    const path = await startDataPath({
      stores: { [name]: stores.old, new: stores.fresh },
      routes: routes.map((route) => ({ ...route, source: name })),
      stateDir: join(dir, 'state'),
    })
    running.push(path)
    await looked(path, [name, 'new'])
    expect(causesOf(path)).not.toContain('turned')
    expect(await stores.fresh.client().mget('job:1', 'k')).toEqual(['1', '1'])
  })
})
