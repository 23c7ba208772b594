import { afterEach, expect, test } from 'vitest'
import { startDataPath } from '../../support/data-path.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Words = readonly [string, ...(string | number)[]]

/** What made the key, and a write whose effect has another answer where the key is not there. */
const TELLING: readonly (readonly [Words, Words])[] = [
  [
    ['SET', 'k', 'v'],
    ['EXPIRE', 'k', 1_000],
  ],
  [
    ['SET', 'k', 'v'],
    ['PEXPIRE', 'k', 1_000_000, 'NX'],
  ],
  [
    ['SET', 'k', 'v'],
    ['GETEX', 'k', 'EX', 1_000],
  ],
  [
    ['SET', 'k', 'v', 'EX', 1_000],
    ['GETEX', 'k', 'PERSIST'],
  ],
  [
    ['SET', 'k', 'v', 'EX', 1_000],
    ['PERSIST', 'k'],
  ],
  [
    ['SET', 'k', 'v'],
    ['COPY', 'k', 'other'],
  ],
  [
    ['SET', 'k', 'v'],
    ['RENAME', 'k', 'other'],
  ],
  [
    ['SET', 'k', 'v'],
    ['RENAMENX', 'k', 'other'],
  ],
  [
    ['SADD', 'k', 'a', 'b', 'c'],
    ['SPOP', 'k', 2],
  ],
  [
    ['SADD', 'k', 'a', 'b', 'c'],
    ['SMOVE', 'k', 'other', 'a'],
  ],
  [
    ['RPUSH', 'k', 'a', 'b'],
    ['LMOVE', 'k', 'other', 'LEFT', 'RIGHT'],
  ],
  [
    ['RPUSH', 'k', 'a', 'b'],
    ['RPOPLPUSH', 'k', 'other'],
  ],
  [
    ['RPUSH', 'k', 'a', 'b'],
    ['BLMOVE', 'k', 'other', 'LEFT', 'RIGHT', 1],
  ],
  [
    ['RPUSH', 'k', 'a', 'b'],
    ['RPUSH', 'k', 'c'],
  ],
]

for (const how of ['by itself', 'in a transaction'] as const) {
  test.each(TELLING)(
    `after %j, a shadow without the key is found out by the answer to %j, ${how}`,
    async (first, second) => {
      const [old, fresh] = await Promise.all([startRedis(), startRedis()])
      running.push(old, fresh)
      const path = await startDataPath({
        stores: { old, new: fresh },
        routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' }],
      })
      running.push(path)
      const app = path.client()
      await app.call(...(first as [string]))
      await settled(path)
      await fresh.client().del('k')
      if (how === 'by itself') await app.call(...(second as [string]))
      else
        await app
          .multi()
          .set('beside', 1)
          .call(...(second as [string]))
          .exec()
      await settled(path)
      expect(await driftBetween(old, fresh, { ttlSlackMs: 100 })).toEqual([])
    },
  )
}
