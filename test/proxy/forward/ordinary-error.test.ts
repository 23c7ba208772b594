import { afterAll, beforeAll, expect, test } from 'vitest'
import { isOrdinary } from '../../../src/proxy/forward/ordinary-error.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let redis: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  redis = await startRedis()
  path = await startDataPath({ stores: { redis } })
})
afterAll(async () => {
  await path.stop()
  await redis.stop()
})

test('errors that clients ask for when they start are counted apart from those that say something about the store', async () => {
  const app = path.client()
  await app.xgroup('CREATE', 'stream', 'group', '$', 'MKSTREAM')
  await expect(app.xgroup('CREATE', 'stream', 'group', '$')).rejects.toThrow('BUSYGROUP')
  await expect(app.evalsha('0'.repeat(40), 0)).rejects.toThrow('NOSCRIPT')
  await expect(app.lpush('stream', 'v')).rejects.toThrow('WRONGTYPE')
  await expect(app.eval("return redis.error_reply('SECRET of the application')", 0)).rejects.toThrow('SECRET')
  const { counters, errorCodes } = path.runtime.stats().routes['all']!
  expect(counters).toMatchObject({ primaryError: 4, primaryOrdinaryError: 2 })
  // What may be the application's own word is not said.
  expect(errorCodes).toEqual({ WRONGTYPE: 1 })
})

test.each([
  ['-NOSCRIPT No matching script.\r\n', true],
  ['-BUSYGROUP Consumer Group name already exists\r\n', true],
  ['-BUSY Redis is busy\r\n', false],
  ['-NOSCRIPT', false],
  ['-', false],
])('%j: %j', (text, ordinary) => {
  const buf = Buffer.from(`+OK\r\n${text}`)
  expect(isOrdinary(buf, 5, buf.length)).toBe(ordinary)
})
