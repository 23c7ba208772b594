import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let cluster: RedisCluster
let single: RedisServer
let path: DataPathUnderTest
/** Keys by the master that has them, in the order of `masters`. */
let masters: RedisServer[]
const loads: Counting[] = []
let keysOf: Map<RedisServer, string[]>

beforeAll(async () => {
  ;[cluster, single] = await Promise.all([startCluster({ replicas: 1 }), startRedis()])
}, 180_000)
afterAll(async () => {
  await Promise.all([cluster?.stop(), single?.stop()])
})
beforeEach(async () => {
  masters = await cluster.masters()
  keysOf = new Map(masters.map((master) => [master, []]))
  for (let i = 0; i < 60; i++) keysOf.get(await cluster.ownerOf(await cluster.slotOf(`key:${i}`)))!.push(`key:${i}`)
})
afterEach(async () => {
  for (const load of loads.splice(0)) await load.stop()
  await path?.stop()
  await cluster.ready()
  await cluster.flushAll()
  await single.client().flushall()
})

function ofCluster() {
  const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  return { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } as const
}

/** A client that increments keys, pipelined, until `stop`; and what it was told. */
class Counting {
  readonly ok = new Map<string, number>()
  readonly maybe = new Map<string, number>()
  /** Errors of other kinds, by their texts. */
  readonly errors = new Set<string>()
  readonly #keys: readonly string[]
  #going = true
  readonly #done: Promise<void>

  constructor(keys: readonly string[]) {
    this.#keys = keys
    this.#done = this.#run()
    loads.push(this)
  }

  async stop(): Promise<void> {
    this.#going = false
    await this.#done
  }

  /** Resolves when every one of the keys has been incremented again. */
  async goesOn(keys: readonly string[] = this.#keys): Promise<void> {
    const before = new Map(this.ok)
    await eventually(
      () => {
        for (const key of keys) expect(this.ok.get(key) ?? 0).toBeGreaterThan(before.get(key) ?? 0)
      },
      { timeoutMs: 20_000 },
    )
  }

  async #run(): Promise<void> {
    const client = path.client({ maxRetriesPerRequest: null })
    while (this.#going) {
      const pipeline = client.pipeline()
      for (const key of [...this.#keys, ...this.#keys]) pipeline.incr(key)
      for (const [i, [error]] of (await pipeline.exec())!.entries()) {
        const key = this.#keys[i % this.#keys.length]!
        if (error === null) this.ok.set(key, (this.ok.get(key) ?? 0) + 1)
        else if (error.message.includes('may have been executed')) this.maybe.set(key, (this.maybe.get(key) ?? 0) + 1)
        else if (!error.message.includes('not executed')) this.errors.add(error.message)
      }
    }
  }
}

/** A key of a node that never hangs here. */
function quickest(): string {
  return keysOf.get(masters[1]!)![0]!
}

/** What both sides hold of the keys, as text, to be compared. */
async function valuesOf(keys: readonly string[]): Promise<{ cluster: unknown[]; single: unknown[] }> {
  const there = cluster.client()
  const here = single.client()
  const values = { cluster: await Promise.all(keys.map((key) => there.get(key))), single: await here.mget(...keys) }
  there.disconnect()
  here.disconnect()
  return values
}

describe('a cluster as the primary', () => {
  const options = (phase: 'passthrough' | 'mirror') => ({
    stores: { cluster: ofCluster(), single },
    routes: [{ name: 'all', source: 'cluster', target: 'single', phase }],
    // Longer than any pause here lasts, also on a busy machine.
    store: { timeoutMs: 25_000 },
  })
  beforeEach(async () => {
    path = await startDataPath(options('mirror'))
  })

  test('a node that hangs keeps those waiting who ask it, and nobody else', async () => {
    const [hung, other] = masters as [RedisServer, RedisServer]
    const [slow] = keysOf.get(hung)!
    const [quick] = keysOf.get(other)!
    const patient = path.client()
    const client = path.client()
    await patient.set(slow!, '0')
    await client.set(quick!, '0')
    await settled(path)
    hung.pause()
    let answered = 0
    let replies: Promise<unknown[]>
    try {
      replies = Promise.all(
        Array.from({ length: 20 }, async () => {
          const pair = [patient.incr(quick!), patient.incr(slow!)]
          await Promise.all(pair)
          answered++
        }),
      )
      for (let i = 0; i < 50; i++) await client.incr(quick!)
      expect(await client.mget(quick!)).toEqual(['70'])
      expect(answered).toBe(0)
    } finally {
      hung.resume()
    }
    await replies
    expect(await client.mget(slow!, quick!)).toEqual(['20', '70'])
    await settled(path)
    expect(await single.client().mget(slow!, quick!)).toEqual(['20', '70'])
  })

  test.each([
    ['SCRIPT EXISTS', ['f'.repeat(40)]],
    ['INFO', ['keyspace']],
    ['CONFIG SET', ['timeout', '0']],
  ])('%s, which every node has to answer, keeps its client waiting alone', async (command, args) => {
    const [hung, other] = masters as [RedisServer, RedisServer]
    const [quick] = keysOf.get(other)!
    const [asker, client] = [path.client(), path.client()]
    await asker.set(quick!, '0')
    await client.ping()
    hung.pause()
    const told: string[] = []
    let replies: Promise<unknown>
    try {
      const [name, ...words] = command.split(' ') as [string, ...string[]]
      replies = Promise.all([
        asker.call(name, ...words, ...args).then(() => told.push(command)),
        asker.incr(quick!).then(() => told.push('INCR')),
      ])
      for (let i = 0; i < 50; i++) await client.incr(quick!)
      expect(told).toEqual([])
    } finally {
      hung.resume()
    }
    await replies
    expect(told).toEqual([command, 'INCR'])
    expect(await client.get(quick!)).toBe('51')
  })

  test.each<[string, boolean, () => Promise<unknown>]>([
    ['by a call', true, () => path.client().call('FCALL', 'count', 1, quickest())],
    ['as mirroring begins', false, () => path.apply(options('passthrough')).then(() => path.apply(options('mirror')))],
  ])(
    'what Understudy itself asks every node about functions keeps no client waiting (%s)',
    async (_why, waits, asked) => {
      const [hung] = masters as [RedisServer]
      const [slow] = keysOf.get(hung)!
      const causes = () => path.runtime.stats().routes['all']!.verifyCauses
      await eventually(() => expect(causes()).toEqual([]))
      await path
        .client()
        .call('FUNCTION', 'LOAD', "#!lua name=count\nredis.register_function('count', function(keys) return 1 end)")
      // Of the protocol that Understudy asks in.
      const [client, patient] = [await path.raw(), await path.raw()]
      await client.ask('SET', quickest(), 0)
      await settled(path)
      hung.pause()
      let isAnswered = false
      let answered: Promise<string>
      try {
        const asking = asked()
        if (!waits) await asking
        answered = patient.ask('INCR', slow!).then((reply) => {
          isAnswered = true
          return reply
        })
        for (let i = 0; i < 50; i++) await client.ask('INCR', quickest())
        await asking
        // Nor has the node been given up.
        expect(isAnswered).toBe(false)
      } finally {
        hung.resume()
      }
      expect(await answered).toBe(':1\r\n')
      await eventually(() => expect(causes()).not.toContain('functions'))
      await path.client().call('FUNCTION', 'FLUSH')
      await settled(path)
      expect(await single.client().call('FUNCTION', 'LIST')).toEqual([])
    },
  )

  test('a write over several nodes, one of which hangs, leaves the shadow as the primary is', async () => {
    const [hung, other] = masters as [RedisServer, RedisServer]
    const [slow] = keysOf.get(hung)!
    const [quick] = keysOf.get(other)!
    const client = path.client()
    await client.set(slow!, '0')
    await settled(path)
    hung.pause()
    let both: Promise<unknown>
    try {
      both = path.client().mset(slow!, 'first', quick!, 'first')
      // Executed at one node already, and overwritten there by another client.
      const at = other.client()
      await eventually(async () => expect(await at.get(quick!)).toBe('first'))
      expect(await client.set(quick!, 'second')).toBe('OK')
      await eventually(async () => expect(await single.client().get(quick!)).toBe('second'))
    } finally {
      hung.resume()
    }
    await both
    await settled(path)
    expect(await valuesOf([slow!, quick!])).toEqual({ cluster: ['first', 'second'], single: ['first', 'second'] })
  })

  test('a node whose connections are cut costs those who wait there an error, and nobody else anything', async () => {
    const [cut, other] = masters as [RedisServer, RedisServer]
    const operator = cut.client()
    await operator.ping()
    const [there, elsewhere, giver] = [path.client(), path.client(), path.client()]
    const queue = keysOf.get(other)![0]!
    const told = expect(there.blpop(keysOf.get(cut)![0]!, 0)).rejects.toThrow('may have been executed')
    const waiting = elsewhere.blpop(queue, 0)
    for (const server of [cut, other])
      await eventually(async () => expect(await server.client().info('clients')).toContain('blocked_clients:1\r\n'))
    await operator.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await told
    await giver.rpush(queue, 'x')
    expect(await waiting).toEqual([queue, 'x'])
    expect(await there.ping()).toBe('PONG')
  })

  test('a client of RESP3 with a connection of its own is answered in its shapes by a node that is new to it', async () => {
    path = await startDataPath({ stores: { cluster: ofCluster() }, listen: { connections: 'dedicated' } })
    const [master] = masters as [RedisServer]
    const [key] = keysOf.get(master) as [string]
    const client = await path.raw()
    await client.ask('HELLO', 3)
    await client.ask('HSET', key, 'f', 'v')
    expect(await client.ask('HGETALL', key)).toBe('%1\r\n$1\r\nf\r\n$1\r\nv\r\n')
    await cluster.failover(master)
    expect(await client.ask('HGETALL', key)).toBe('%1\r\n$1\r\nf\r\n$1\r\nv\r\n')
  })

  test('a failover that was asked for loses and doubles nothing, and no client sees an error', async () => {
    const [master] = masters as [RedisServer]
    const keys = masters.flatMap((one) => keysOf.get(one)!.slice(0, 2))
    const load = new Counting(keys)
    await load.goesOn()
    await cluster.failover(master)
    await load.goesOn()
    await load.stop()
    await settled(path)
    expect({ maybe: [...load.maybe], errors: [...load.errors] }).toEqual({ maybe: [], errors: [] })
    const expected = keys.map((key) => String(load.ok.get(key)))
    expect(await valuesOf(keys)).toEqual({ cluster: expected, single: expected })
  })

  test('a master that dies costs what it had in flight; its replica goes on, and so do all others meanwhile', async () => {
    const [master, ...others] = masters as [RedisServer, ...RedisServer[]]
    const its = keysOf.get(master)!.slice(0, 2)
    const theirs = others.flatMap((one) => keysOf.get(one)!.slice(0, 2))
    const load = new Counting([...its, ...theirs])
    await load.goesOn()
    await cluster.crash(master)
    await load.goesOn()
    await master.restart()
    await load.goesOn()
    await load.stop()
    expect([...load.errors]).toEqual([])
    const values = await valuesOf([...theirs, ...its])
    expect(values.cluster.slice(0, theirs.length)).toEqual(theirs.map((key) => String(load.ok.get(key))))
    for (const [i, key] of its.entries()) {
      // What the replica had not got is lost, as Redis has it.
      expect(Number(values.cluster[theirs.length + i])).toBeLessThanOrEqual(
        load.ok.get(key)! + (load.maybe.get(key) ?? 0),
      )
    }
    for (const key of theirs) expect(load.maybe.get(key)).toBeUndefined()
    await eventually(() =>
      expect(path.runtime.stats().routes['all']).toMatchObject({ verifyCauses: ['primary-restarted'] }),
    )
  })
})

describe('a cluster as the shadow', () => {
  beforeEach(async () => {
    const all = { name: 'all', source: 'single', target: 'cluster', phase: 'mirror' } as const
    path = await startDataPath({ stores: { single, cluster: ofCluster() }, routes: [all] })
  })

  test('a failover that was asked for leaves both sides equal', async () => {
    const [master] = masters as [RedisServer]
    const keys = masters.flatMap((one) => keysOf.get(one)!.slice(0, 2))
    const load = new Counting(keys)
    await load.goesOn()
    await cluster.failover(master)
    await load.goesOn()
    await load.stop()
    await settled(path)
    const expected = keys.map((key) => String(load.ok.get(key)))
    expect(await valuesOf(keys)).toEqual({ cluster: expected, single: expected })
  })

  test('a master that dies costs no client anything: what was in flight is copied, and a verify is asked for', async () => {
    const [master] = masters as [RedisServer]
    const keys = masters.flatMap((one) => keysOf.get(one)!.slice(0, 2))
    const load = new Counting(keys)
    await load.goesOn()
    await cluster.crash(master)
    await load.goesOn()
    await load.stop()
    await settled(path)
    await master.restart()
    expect({ maybe: [...load.maybe], errors: [...load.errors] }).toEqual({ maybe: [], errors: [] })
    await eventually(() =>
      expect(path.runtime.stats().routes['all']).toMatchObject({ verifyCauses: ['shadow-restarted'] }),
    )
    // Every key was written after the failover, so none is the old replica's.
    const values = await valuesOf(keys)
    expect(values.cluster).toEqual(values.single)
  })

  test('a node that hangs delays no client; when it goes on, both sides are equal', async () => {
    const [hung] = masters as [RedisServer]
    const keys = masters.flatMap((one) => keysOf.get(one)!.slice(0, 2))
    const load = new Counting(keys)
    await load.goesOn()
    hung.pause()
    try {
      await load.goesOn()
      await load.goesOn()
    } finally {
      hung.resume()
    }
    await load.stop()
    await settled(path)
    const expected = keys.map((key) => String(load.ok.get(key)))
    expect(await valuesOf(keys)).toEqual({ cluster: expected, single: expected })
  })
})

// The last one: what a node has given up and taken back, its replica may not have taken back.
describe('a cluster with a gap', () => {
  test('a slot that nobody serves is answered CLUSTERDOWN in time, and keeps nobody else waiting', async () => {
    const [master, other] = masters as [RedisServer, RedisServer]
    const [lost] = keysOf.get(master)!
    const [quick] = keysOf.get(other)!
    const slot = await cluster.slotOf(lost!)
    path = await startDataPath({ stores: { cluster: ofCluster() }, store: { timeoutMs: 4_000 } })
    const [client, another] = [path.client(), path.client()]
    await Promise.all([client.ping(), another.ping()])
    await master.client().config('SET', 'cluster-require-full-coverage', 'no')
    await master.client().call('CLUSTER', 'DELSLOTS', slot)
    try {
      const waiting = Promise.allSettled([client.incr(lost!), client.incr(lost!)])
      let answered = false
      void waiting.then(() => (answered = true))
      expect(await another.incr(quick!)).toBe(1)
      expect(answered).toBe(false)
      for (const result of await waiting) {
        expect(result).toMatchObject({ reason: { message: expect.stringContaining('CLUSTERDOWN') } })
      }
    } finally {
      await master.client().call('CLUSTER', 'ADDSLOTS', slot)
    }
    await eventually(async () => expect(await client.incr(lost!)).toBe(1))
    expect(await client.mget(lost!, quick!)).toEqual(['1', '1'])
  })
})

describe('a write over several nodes, of which one refuses it and the others have done it', () => {
  /** One key of each node. */
  const spread = (): string[] => masters.map((master) => keysOf.get(master)![0]!)
  const refuse = async (yes: boolean): Promise<void> => {
    await masters[1]!.client().config('SET', 'maxmemory', yes ? '1' : '0')
  }
  const atCluster = async (key: string): Promise<string | null> => cluster.client().get(key)
  const counters = () => path.runtime.stats().routes['all']!

  /** Every node has a key, and one of them takes no writes any more. */
  const refusedFrom = async (source: string, target: string): Promise<{ app: Redis; keys: string[] }> => {
    path = await startDataPath({
      stores: { many: ofCluster(), one: single },
      routes: [{ name: 'all', source, target, phase: 'mirror' }],
    })
    const app = path.client()
    const keys = spread()
    await app.mset(...keys.flatMap((key) => [key, 'before']))
    await settled(path)
    await refuse(true)
    return { app, keys }
  }

  test('has its keys copied, where the cluster is the primary', async () => {
    const { app, keys } = await refusedFrom('many', 'one')
    try {
      await expect(app.mset(...keys.flatMap((key) => [key, 'after']))).rejects.toThrow(/^OOM/)
      await settled(path)
      expect(await Promise.all(keys.map(atCluster))).toEqual(['after', 'before', 'after'])
      expect(await single.client().mget(...keys)).toEqual(['after', 'before', 'after'])
      expect(counters()).toMatchObject({ needsVerify: false })
      expect(counters().counters.copied).toBeGreaterThanOrEqual(keys.length)
    } finally {
      await refuse(false)
    }
  })

  test('has its keys copied until the node takes them, where the cluster is the shadow', async () => {
    const { app, keys } = await refusedFrom('one', 'many')
    try {
      await app.mset(...keys.flatMap((key) => [key, 'after']))
      await eventually(async () => expect(await atCluster(keys[2]!)).toBe('after'))
      await eventually(() => expect(counters().dirtyKeys).toBeGreaterThan(0))
      expect(await atCluster(keys[1]!)).toBe('before')
    } finally {
      await refuse(false)
    }
    await settled(path)
    expect(await Promise.all(keys.map(atCluster))).toEqual(['after', 'after', 'after'])
    expect(counters()).toMatchObject({ needsVerify: false })
  })

  test('has its keys copied also where the answer of another node is lost', async () => {
    const { app, keys } = await refusedFrom('many', 'one')
    const operator = masters[2]!.client()
    await operator.ping()
    try {
      masters[2]!.pause()
      // Whatever it does first when it goes on, the answer does not arrive or the write is not done.
      const killed = operator.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      const told = app.mset(...keys.flatMap((key) => [key, 'after'])).then(
        () => 'OK',
        (error: Error) => error.message,
      )
      await eventually(async () => expect(await masters[0]!.client().get(keys[0]!)).toBe('after'))
      masters[2]!.resume()
      await killed
      expect(await told).not.toBe('OK')
      await settled(path)
      expect(await single.client().mget(...keys)).toEqual(await Promise.all(keys.map(atCluster)))
      expect(counters()).toMatchObject({ needsVerify: false })
      expect(counters().counters.copied).toBeGreaterThanOrEqual(keys.length)
    } finally {
      masters[2]!.resume()
      await refuse(false)
    }
  })
})
