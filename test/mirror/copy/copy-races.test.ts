import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { driftBetween } from '../../support/keyspace.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
})
afterAll(async () => {
  await path.stop()
  await Promise.all([old.stop(), fresh.stop()])
})
afterEach(() => path.client().flushall())

async function client(protocol: 2 | 3): Promise<RawClient> {
  const raw = await path.raw()
  if (protocol === 3) await raw.ask('HELLO', 3)
  return raw
}

/** Sends the commands `rounds` times, `depth` of them in a packet. */
async function pound(raw: RawClient, rounds: number, depth: number, ...commands: (string | number)[][]): Promise<void> {
  const one = commands.map((args) => encodeCommand(args))
  const packet = Buffer.concat(Array.from({ length: depth }, () => one).flat())
  for (let i = 0; i < rounds; i++) {
    raw.send(packet)
    for (const reply of await raw.take(depth * commands.length)) if (reply.startsWith('-')) throw new Error(reply)
  }
}

/** Scripts that ask for the time are not run again on the shadow: their keys are copied. */
describe('a hot key that must be copied again and again ends equal', () => {
  test('counted by RESP2 and RESP3 clients, by scripts, and in transactions on connections of their own', async () => {
    const [resp2, resp3, scripts, pinned] = await Promise.all([client(2), client(3), client(2), client(3)])
    const transactions = async (): Promise<void> => {
      for (let i = 0; i < 100; i++) {
        for (const args of [['WATCH', 'other'], ['MULTI'], ['INCR', 'hot'], ['EXEC']]) await pinned.ask(...args)
      }
    }
    await Promise.all([
      pound(resp2, 100, 10, ['INCR', 'hot']),
      pound(resp3, 100, 10, ['INCR', 'hot']),
      pound(scripts, 100, 5, ['EVAL', "redis.call('time') redis.call('incr', KEYS[1])", 1, 'hot']),
      transactions(),
    ])
    await settled(path)
    expect(await old.client().get('hot')).toBe('2600')
    expect(await fresh.client().get('hot')).toBe('2600')
  })

  test('a queue that several consumers wait on while others push and scripts trim it', async () => {
    const consumers = await Promise.all([client(2), client(3), client(2)])
    let going = true
    let taken = 0
    const consuming = Promise.all(
      consumers.map(async (consumer) => {
        while (going) if (/^[*]2/.test(await consumer.ask('BLPOP', 'queue', 0.05))) taken++
      }),
    )
    const [pusher, another, trimmer] = await Promise.all([client(2), client(3), client(2)])
    await Promise.all([
      pound(pusher, 150, 3, ['RPUSH', 'queue', 'a', 'b']),
      pound(another, 150, 2, ['LPUSH', 'queue', 'c']),
      pound(trimmer, 150, 1, ['EVAL', "redis.call('time') redis.call('ltrim', KEYS[1], 0, 50)", 1, 'queue']),
    ])
    // However slow the consumers are beside the others.
    while (taken <= 100) await pusher.ask('RPUSH', 'queue', 'a')
    going = false
    await consuming
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('deleted and made again, of one type and another', async () => {
    const [one, other] = await Promise.all([client(2), client(3)])
    await Promise.all([
      pound(
        one,
        100,
        3,
        ['DEL', 'k'],
        ['SADD', 'k', 'a', 'b'],
        ['SPOP', 'k'],
        ['DEL', 'k'],
        ['SET', 'k', 'v', 'PX', 100_000],
      ),
      pound(
        other,
        100,
        3,
        ['EVAL', "redis.call('time') redis.call('del', KEYS[1]) redis.call('rpush', KEYS[1], 1)", 1, 'k'],
        ['UNLINK', 'k'],
      ),
    ])
    await settled(path)
    expect(await driftBetween(old, fresh, { ttlSlackMs: 3_000 })).toEqual([])
  })

  test('moved and copied to another database while another connection writes to it', async () => {
    const [one, other] = await Promise.all([client(2), client(3)])
    await Promise.all([
      pound(
        one,
        150,
        2,
        ['SET', 'm', 'a'],
        ['MOVE', 'm', 1],
        ['SET', 'c', 'a'],
        ['COPY', 'c', 'd', 'DB', 2, 'REPLACE'],
      ),
      pound(other, 150, 2, ['APPEND', 'm', 'b'], ['APPEND', 'c', 'b'], ['DEL', 'd']),
    ])
    await settled(path)
    expect(await driftBetween(old, fresh, { databases: [0, 1, 2] })).toEqual([])
  })

  test('that expires all the time', async () => {
    const [one, other] = await Promise.all([client(2), client(3)])
    const script = "redis.call('set', KEYS[1], ARGV[1], 'px', 2) return redis.call('exists', KEYS[1])"
    await Promise.all([
      pound(one, 200, 3, ['EVAL', script, 1, 'brief', 'x'], ['APPEND', 'brief', 'y'], ['PEXPIRE', 'brief', 1]),
      pound(other, 200, 3, ['SET', 'brief', 'z', 'PX', 1], ['INCR', 'count'], ['PEXPIRE', 'count', 1]),
    ])
    await pound(one, 1, 1, ['DEL', 'brief'], ['SET', 'brief', 'last'], ['DEL', 'count'])
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
    expect(await fresh.client().get('brief')).toBe('last')
  })
})

test('a copy keeps the exact time of expiry', async () => {
  const app = path.client()
  const at = Date.now() + 100_000
  await app.eval(
    "redis.call('time') redis.call('set', KEYS[1], 1) redis.call('pexpireat', KEYS[1], ARGV[1])",
    1,
    'timed',
    at,
  )
  await settled(path)
  expect(await fresh.client().call('PEXPIRETIME', 'timed')).toBe(at)
})

test('absolute times are the same to the millisecond, whatever set them', async () => {
  const app = path.client()
  const shadowErrors = () => path.runtime.stats().routes['all']!.counters.shadowError
  const before = shadowErrors()
  const at = Date.now() + 100_000
  await app.set('a', 1, 'PXAT', at)
  await app.mset('b', 1, 'c', 1)
  await app.pexpireat('b', at)
  await app.getex('c', 'PXAT', at)
  await app.expireat('a', Math.ceil(at / 1000))
  await app.restore('d', at, (await old.client().dumpBuffer('b')) as Buffer, 'ABSTTL')
  await settled(path)
  expect(await driftBetween(old, fresh)).toEqual([])
  expect(shadowErrors()).toBe(before)
})

test('a counter that the shadow saw expire before its last increment came is found by its answer', async () => {
  const app = path.client()
  await app.set('hits', 5, 'PX', 100_000)
  await settled(path)
  // As if the shadow were so late that its key is gone when the increment arrives.
  await fresh.client().del('hits')
  await app.incr('hits')
  await settled(path)
  expect(await driftBetween(old, fresh, { ttlSlackMs: 1_000 })).toEqual([])
})
