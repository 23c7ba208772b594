import { afterEach, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/**
 *   m:*     mirrored under new names: n:*, on the same server or another one
 *   far:*   mirrored from store two to store one
 *   *       not mirrored
 */
async function setUp(target: 'one' | 'two'): Promise<{ one: RedisServer; two: RedisServer; path: DataPathUnderTest }> {
  const [one, two] = await Promise.all([startRedis(), startRedis()])
  running.push(one, two)
  const path = await startDataPath({
    stores: { one, two },
    routes: [
      {
        name: 'm',
        keys: ['m:{id}'],
        source: 'one',
        target: { store: target, keys: { 'm:{id}': 'n:{id}' } },
        phase: 'mirror',
      },
      { name: 'far', keys: ['far:{id}'], source: 'two', target: 'one', phase: 'mirror' },
      { name: 'rest', source: 'one' },
    ],
  })
  running.push(path)
  return { one, two, path }
}

describe.each(['one', 'two'] as const)(
  'writes over a mirrored and an unmirrored route (target on store %s)',
  (target) => {
    test.each(['alone', 'in MULTI'])('give the mirrored keys their state (%s)', async (way) => {
      const { one, two, path } = await setUp(target)
      const app = path.client()
      const commands: (string | number)[][] = [
        ['MSET', 'm:1', 'a', 'u:1', 'b', 'm:2', 'c'],
        ['RENAME', 'u:1', 'm:3'],
        ['RENAME', 'm:2', 'u:2'],
        ['COPY', 'u:2', 'm:4'],
        ['SADD', 'u:s', 'x', 'y'],
        ['SADD', 'm:s', 'y', 'z'],
        ['SUNIONSTORE', 'm:union', 'u:s', 'm:s'],
        ['SMOVE', 'u:s', 'm:s', 'x'],
        ['RPUSH', 'u:l', 1, 2, 3],
        ['LMOVE', 'u:l', 'm:l', 'LEFT', 'RIGHT'],
        ['EVAL', "redis.call('INCR', KEYS[1]); return redis.call('APPEND', KEYS[2], 'x')", 2, 'u:n', 'm:n'],
        ['DEL', 'm:1', 'u:1'],
        ['SORT', 'u:l', 'STORE', 'm:sorted'],
      ]
      if (way === 'alone') for (const [name, ...args] of commands) await app.call(name as string, ...args)
      else {
        await app.call('MULTI')
        for (const [name, ...args] of commands) expect(await app.call(name as string, ...args)).toBe('QUEUED')
        await app.call('EXEC')
      }
      await settled(path)
      const shadow = target === 'one' ? one : two
      expect((await shadow.client().keys('n:*')).sort()).toEqual([
        'n:3',
        'n:4',
        'n:l',
        'n:n',
        'n:s',
        'n:sorted',
        'n:union',
      ])
      const drift = await driftBetween(one, shadow, {
        toShadow: (key) => key.replace('m:', 'n:'),
        onPrimary: (key) => key.startsWith('m:'),
        onShadow: (key) => key.startsWith('n:'),
      })
      expect(drift).toEqual([])
      expect(await two.client().keys('u:*')).toEqual([])
    })
  },
)

test('a split write is mirrored part by part', async () => {
  const { one, two, path } = await setUp('two')
  const app = path.client()
  await app.mset('m:1', 'a', 'far:1', 'b', 'u:1', 'c', 'm:2', 'd')
  await app.del('m:2', 'far:2')
  await settled(path)
  expect((await one.client().keys('*')).sort()).toEqual(['far:1', 'm:1', 'u:1'])
  expect((await two.client().keys('*')).sort()).toEqual(['far:1', 'n:1'])
})
