import { afterEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { FakeStore } from '../support/fake-store.ts'
import { driftBetween } from '../support/keyspace.ts'
import { Outages } from '../support/outages.ts'
import type { RawClient } from '../support/raw-client.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { Random } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
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

  test('by clients of both protocols to few keys, through outages of the shadow, leave both stores equal', async () => {
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
        for (let round = 0; round < 60; round++) {
          await asked(
            client,
            Array.from({ length: 1 + own.below(40) }, (_, i) => writeOf(own, `${c}-${round}-${i}`)),
          )
        }
      }),
    )
    await outages.stop()
    await settled(path)
    expect(await driftBetween(old, fresh, { databases: [0], ttlSlackMs: 3_000 }), outages.happened.join('; ')).toEqual(
      [],
    )
  })
})

/** Nearly all of them go to the shadow as they are; each key has its type. */
function writeOf(random: Random, value: string): Words {
  const n = random.below(12)
  switch (random.below(14)) {
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
