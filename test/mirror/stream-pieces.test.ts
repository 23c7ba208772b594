import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Args } from '../../src/command/effects.ts'
import { KEY, LATER } from '../../src/mirror/pieces/pieces.ts'
import { StreamPieces } from '../../src/mirror/pieces/stream.ts'
import type { Reply } from '../../src/resp/reply.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

let old: RedisServer
let fresh: RedisServer
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
afterEach(() => Promise.all([old, fresh].map((server) => server.client().flushall())))

/** Copies the stream `x` two entries a round. `meanwhile`: when the names, what is pending and the first two have been read; gives the writes' arguments. False: the copy is worth nothing. */
async function copy(meanwhile: (redis: Redis) => Promise<string[]>): Promise<boolean> {
  const [from, to] = [old.client(), fresh.client()]
  for (let i = 1; i <= 9; i++) await from.xadd('x', `${i}-1`, 'f', 'v')
  await from.xgroup('CREATE', 'x', 'g', '0')
  const call = (redis: Redis, [name, ...args]: Args) =>
    redis.callBuffer(name!.toString(), ...args.map((arg) => (arg === KEY ? 'x' : arg))) as Promise<Reply>
  const pieces = new StreamPieces(Buffer.from('x'), Date.now, true)
  for (let step = 1; ; step++) {
    const replies: Reply[] = []
    for (const args of pieces.reads(2)) replies.push(await call(from, args))
    const taken = pieces.take(replies)
    if (taken === null) return false
    for (const args of taken.writes) await call(to, args)
    if (taken.done) return true
    if (step !== 3) continue
    const args = await meanwhile(from)
    expect(
      pieces.effect(
        args[0]!,
        args.map((arg) => Buffer.from(arg)),
      ),
    ).toBe(LATER)
  }
}

const deliver = (redis: Redis, count: number) =>
  redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', count, 'STREAMS', 'x', '>')

async function write(redis: Redis, ...args: string[]): Promise<string[]> {
  await redis.call(...(args as [string, ...string[]]))
  return args
}

test.each([
  ['some of them were read', 7, ['2-1', '5-1', '6-1', '9-1']],
  ['none is left', 9, ['3-1', '4-1', '5-1', '6-1', '7-1', '8-1', '9-1']],
])(
  'entries that are delivered, and deleted before they are read, are pending in the copy, too: %s',
  async (_, count, ids) => {
    const isWhole = await copy(async (redis) => {
      await deliver(redis, count)
      return write(redis, 'XDEL', 'x', ...ids)
    })
    expect(isWhole).toBe(true)
    expect(await fresh.client().xpending('x', 'g')).toEqual(await old.client().xpending('x', 'g'))
    expect(await driftBetween(old, fresh)).toEqual([])
  },
)

test('a copy that lacks what was delivered and trimmed before it was read is worth nothing', async () => {
  const deliverAndTrim = (count: number) => async (redis: Redis) => {
    await deliver(redis, count)
    return write(redis, 'XTRIM', 'x', 'MINID', '5-1')
  }
  expect(await copy(deliverAndTrim(3))).toBe(false)
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
  // What was read before it was delivered and trimmed is in the copy.
  expect(await copy(deliverAndTrim(2))).toBe(true)
  expect(await driftBetween(old, fresh)).toEqual([])
})
