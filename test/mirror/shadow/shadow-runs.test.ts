import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { Outages } from '../../support/outages.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { countShared } from '../../support/shared-places.ts'
import { Random } from '../../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
const shared = countShared()
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Words = readonly (string | number)[]

const packet = (commands: readonly Words[]): Buffer => Buffer.concat(commands.map((words) => encodeCommand(words)))

/** Sends all of it at once; the replies. */
async function asked(client: RawClient, commands: readonly Words[]): Promise<string[]> {
  client.send(packet(commands))
  const replies: string[] = []
  for (let i = 0; i < commands.length; i++) replies.push(`${await client.next()}`)
  return replies
}

async function start(
  more: { readonly backlogBytes?: number; readonly options?: RedisServerOptions } = {},
): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest }> {
  const { options = {}, ...mirror } = more
  const [old, fresh] = await Promise.all([startRedis(options), startRedis(options)])
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror', mirror }],
  })
  running.push(old, fresh, path)
  return { old, fresh, path }
}

const stateOf = (path: DataPathUnderTest) => path.runtime.stats().routes['all']!

/** What became of writes, when nothing is on its way any more. */
async function fates(path: DataPathUnderTest) {
  await settled(path)
  const { counters, backlogCommands, backlogBytes } = stateOf(path)
  const { applied, failed, dirtied, shadowOk, shadowError } = counters
  expect({ backlogCommands, backlogBytes }).toEqual({ backlogCommands: 0, backlogBytes: 0 })
  return { applied, failed, dirtied, shadowOk, shadowError }
}

/** From then on its connection is the sole lane (`OverlapTable`): those that follow may share places. */
async function alone(path: DataPathUnderTest, client: RawClient): Promise<void> {
  await asked(
    client,
    Array.from({ length: 6 }, (_, i) => [i % 2 === 0 ? 'SET' : 'GETSET', 'warm', i]),
  )
  await settled(path)
}

const TEN = Array.from({ length: 10 }, (_, i) => i)

describe('writes that share a place', () => {
  test.each([0, 1, 4, 9])(
    'when the primary breaks off after %i of ten: those are mirrored, the others dirty',
    async (some) => {
      let isOver = false
      const got: string[] = []
      const [primary, fresh] = await Promise.all([
        FakeStore.start(([name, key]) => {
          if (name === 'GETSET') return '$-1\r\n'
          if (name !== 'SET') return '-ERR no\r\n'
          if (key === 'warm') return '+OK\r\n'
          if (isOver || key === `k${some}`) {
            isOver = true
            return 'close'
          }
          return '+OK\r\n'
        }),
        FakeStore.start(([name, key]) => {
          if (name === 'GETSET') return '$-1\r\n'
          if (name !== 'SET') return '-ERR no\r\n'
          if (key !== 'warm') got.push(key!)
          return '+OK\r\n'
        }),
      ])
      const path = await startDataPath({
        stores: { old: primary, new: fresh },
        routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' }],
      })
      running.push(primary, fresh, path)
      const client = await path.raw()
      await alone(path, client)
      const before = stateOf(path).counters
      const replies = await asked(
        client,
        TEN.map((i) => ['SET', `k${i}`, i]),
      )
      expect(replies.slice(0, some)).toEqual(TEN.slice(0, some).map(() => '+OK\r\n'))
      for (const reply of replies.slice(some)) expect(reply).toMatch(/^-.*may have been executed/)
      expect(shared.count).toBe(9)
      await eventually(() => expect(stateOf(path).counters.applied).toBe(before.applied + some))
      const { counters, inFlight } = stateOf(path)
      expect(counters.primaryLost).toBe(10 - some)
      expect(counters.dirtied).toBe(before.dirtied + 10 - some)
      expect(inFlight).toBe(0)
      expect(got).toEqual(TEN.slice(0, some).map((i) => `k${i}`))
    },
  )

  test('go by themselves where the primary refuses one, or one has changed nothing', async () => {
    const { old, fresh, path } = await start()
    const client = await path.raw()
    await alone(path, client)
    await asked(client, [['RPUSH', 'n4', 'list']])
    await settled(path)
    const before = stateOf(path).counters.applied
    const replies = await asked(client, [
      ...TEN.map((i) => ['INCR', `n${i}`]),
      ...TEN.map((i) => ['SADD', 's', i % 3]),
      ...TEN.map((i) => ['SADD', 't', 100 + i]),
    ])
    expect(shared.count).toBe(9 + 19)
    expect(replies.map((reply) => reply.slice(0, 2)).join('')).toBe(
      `${':1'.repeat(4)}-W${':1'.repeat(5)}${':1'.repeat(3)}${':0'.repeat(7)}${':1'.repeat(10)}`,
    )
    await settled(path)
    expect(stateOf(path).counters).toMatchObject({ applied: before + 9 + 3 + 10, dirtied: 0, failed: 0 })
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('have their numbers compared, each with its own', async () => {
    const { old, fresh, path } = await start()
    const client = await path.raw()
    await alone(path, client)
    const shadow = fresh.client()
    await shadow.mset('n3', 40, 'n9', 1)
    const before = stateOf(path).counters.applied
    await asked(
      client,
      TEN.map((i) => ['INCR', `n${i}`]),
    )
    expect(shared.count).toBe(9)
    await settled(path)
    expect(stateOf(path).counters).toMatchObject({ applied: before + 10, dirtied: 2, failed: 0 })
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('are owed until they are answered: behind them the target is read again', async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    const path = await startDataPath({
      stores: { old, new: fresh },
      routes: [{ name: 'all', source: 'old', target: 'new', phase: 'read-target', readTimeoutMs: 20_000 }],
    })
    running.push(old, fresh, path)
    const client = await path.raw()
    await alone(path, client)
    await asked(
      client,
      TEN.map((i) => ['SET', `k${i}`, i]),
    )
    expect(shared.count).toBe(9)
    await settled(path)
    await fresh.client().set('k3', 'of the target')
    expect(await asked(client, [['GET', 'k3']])).toEqual(['$13\r\nof the target\r\n'])
  })

  test('are told apart when a transaction comes between: only the key that both write is copied', async () => {
    const { old, fresh, path } = await start()
    const [client, other] = [await path.raw(), await path.raw()]
    await other.ask('WATCH', 'nothing')
    await alone(path, client)
    const before = stateOf(path).counters
    old.pause()
    client.send(packet(TEN.map((i) => ['SET', `k${i}`, i])))
    await eventually(() => expect(stateOf(path).inFlight).toBe(10))
    expect(shared.count).toBe(9)
    other.send(packet([['MULTI'], ['SET', 'k3', 'other'], ['SET', 'elsewhere', 1], ['EXEC']]))
    await eventually(() => expect(stateOf(path).inFlight).toBeGreaterThan(10))
    old.resume()
    for (const _ of TEN) expect(`${await client.next()}`).toBe('+OK\r\n')
    for (const reply of ['+OK', '+QUEUED', '+QUEUED', '*2'])
      expect(`${await other.next()}`.split('\r\n')[0]).toBe(reply)
    await settled(path)
    const { counters } = stateOf(path)
    // What the transaction and the packet wrote there, each as its reply came.
    expect(counters.dirtied).toBeGreaterThan(before.dirtied)
    expect(counters.applied).toBeGreaterThanOrEqual(before.applied + 9)
    expect(counters.copied - before.copied).toBeLessThanOrEqual(2)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})

describe('writes that are answered together', () => {
  test('reach the shadow in their order, each counted, those that changed nothing left out', async () => {
    const { old, fresh, path } = await start()
    const client = await path.raw()
    const commands: Words[] = Array.from({ length: 20 }, (_, i) => [
      ['SET', `k${i}`, 'v'.repeat(i)],
      ['INCR', 'count'],
      ['SADD', 'members', i % 3],
      ['RPUSH', 'list', i],
      ['SET', `kept${i}`, i, 'KEEPTTL'],
      ['APPEND', 'text', `${i},`],
      ['GET', 'count'],
      ['HSET', 'hash', i % 5, i],
    ]).flat()
    const replies = await asked(client, commands)
    expect(replies[replies.length - 2]).toBe('$2\r\n20\r\n')
    // All but the 20 reads and the 17 SADDs of a member that was there.
    expect(await fates(path)).toEqual({ applied: 123, failed: 0, dirtied: 0, shadowOk: 123, shadowError: 0 })
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('are each settled by itself: an error of the shadow, or another number, makes one key dirty', async () => {
    const { old, fresh, path } = await start()
    const client = await path.raw()
    const shadow = fresh.client()
    await shadow.rpush('wrong', 'type')
    await shadow.set('other', 40)
    await asked(client, [
      ...Array.from({ length: 10 }, (_, i) => ['INCR', `a${i}`]),
      ['INCR', 'wrong'],
      ['SET', 'b', 1],
      ['INCR', 'other'],
      ...Array.from({ length: 10 }, (_, i) => ['INCR', `a${i}`]),
    ])
    expect(await fates(path)).toEqual({ applied: 22, failed: 1, dirtied: 2, shadowOk: 22, shadowError: 1 })
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('keep to the limit of the backlog, and what is beyond it is copied', async () => {
    const { old, fresh, path } = await start({ backlogBytes: 40_000 })
    const client = await path.raw()
    await asked(client, [['SET', 'first', 1]])
    await settled(path)
    fresh.pause()
    const value = 'x'.repeat(100)
    await asked(
      client,
      Array.from({ length: 1_000 }, (_, i) => ['SET', `k${i}`, value]),
    )
    const { backlogBytes, counters } = stateOf(path)
    expect(backlogBytes).toBeLessThanOrEqual(40_000)
    expect(counters.dropped).toBeGreaterThan(600)
    fresh.resume()
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('are all dirty when the connection to the shadow is lost, but for those that it had answered', async () => {
    const old = await startRedis()
    const got: string[] = []
    const shadow = await FakeStore.start((args) => {
      if (args[0] !== 'SET') return '-ERR no\r\n'
      got.push(args[1]!)
      return args[1] === 'k3' ? 'close' : '+OK\r\n'
    })
    const path = await startDataPath({
      stores: { old, new: shadow },
      routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' }],
    })
    running.push(old, shadow, path)
    const client = await path.raw()
    await asked(
      client,
      Array.from({ length: 8 }, (_, i) => ['SET', `k${i}`, i]),
    )
    await eventually(() => expect(stateOf(path).counters.shadowLost).toBeGreaterThan(0))
    const { counters, backlogBytes, backlogCommands } = stateOf(path)
    expect(counters.applied + counters.shadowLost).toBe(8)
    expect(counters.dirtied).toBe(counters.shadowLost)
    expect({ backlogBytes, backlogCommands }).toEqual({ backlogBytes: 0, backlogCommands: 0 })
    expect(got.slice(0, 4)).toEqual(['k0', 'k1', 'k2', 'k3'])
  })

  test('by clients of both protocols to few keys, and transactions between them, through outages of the shadow, leave both stores equal', async () => {
    const { old, fresh, path } = await start({ options: { args: ['--appendonly', 'yes', '--appendfsync', 'always'] } })
    const random = new Random(11)
    const outages = Outages.start(fresh, random)
    const clients = await Promise.all(Array.from({ length: 6 }, () => path.raw()))
    for (const client of clients.slice(0, 2)) {
      client.send(packet([['HELLO', 3]]))
      await client.next()
    }
    await Promise.all(
      clients.map(async (client, c) => {
        const own = new Random(100 + c)
        // So that some of the time one connection has all the writes.
        const [rounds, isTransaction] = [c < 2 ? ROUNDS / 4 : ROUNDS, c === 5]
        for (let round = 0; round < rounds; round++) {
          // Those that are alike come in stretches.
          const writes = Array.from({ length: 1 + own.below(12) }, (_, i) => {
            const kind = own.below(14)
            return Array.from({ length: 1 + own.below(6) }, (_, j) => writeOf(own, kind, `${c}-${round}-${i}-${j}`))
          }).flat()
          await asked(client, isTransaction ? [['MULTI'], ...writes, ['EXEC']] : writes)
          if (isTransaction) await sleep(own.below(20))
        }
      }),
    )
    await outages.stop()
    await settled(path)
    expect(shared.count).toBeGreaterThan(500)
    expect(await driftBetween(old, fresh, { databases: [0], ttlSlackMs: 3_000 }), outages.happened.join('; ')).toEqual(
      [],
    )
  })
})

/** By hand: more. */
const ROUNDS = Number(process.env['SHADOW_RUNS_ROUNDS'] ?? 80)

/** Nearly all of them go to the shadow as they are; each key has its type. */
function writeOf(random: Random, kind: number, value: string): Words {
  const n = random.below(12)
  switch (kind) {
    case 0:
    case 1:
    case 2:
      return ['SET', `s${n}`, value]
    case 3:
      return ['APPEND', `s${n}`, value]
    case 4:
      return ['INCRBY', `n${n}`, random.below(9)]
    case 5:
      return ['RPUSH', `l${n}`, value]
    case 6:
      return ['LTRIM', `l${n}`, 0, 5]
    case 7:
      return ['LPOP', `l${n}`]
    case 8:
      return ['SADD', `m${n}`, random.below(4)]
    case 9:
      return ['SREM', `m${n}`, random.below(4)]
    case 10:
      return ['HINCRBY', `h${n}`, random.below(4), 1]
    case 11:
      return ['SETEX', `e${n}`, 1000, value]
    case 12:
      return ['DEL', `${'snlmh'[random.below(5)]}${n}`]
    default:
      // An error: nothing is mirrored.
      return ['INCR', `l${n}`]
  }
}
