import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { freePort } from '../../support/ports.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let single: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  single = await startRedis()
})
afterAll(() => single.stop())
beforeEach(async () => {
  path = await startDataPath({
    // Nobody has to be there: slots are a matter of names.
    stores: { single, new: { port: await freePort(), kind: 'cluster' } },
    routes: [
      {
        name: 'carts',
        keys: ['cart:{user}:{n}'],
        source: 'single',
        target: { store: 'new', keys: { 'cart:{user}:{n}': '{{cart:{user}}}:{n}' } },
      },
      { name: 'rest', source: 'single', target: 'new' },
      { name: 'stays', keys: ['stays:{id}'], source: 'single' },
    ],
  })
})
afterEach(() => path.stop())

function counted(route: string): Record<string, number> {
  const { crossSlots } = path.runtime.stats().routes[route]!
  return Object.fromEntries(crossSlots.map(({ command, count }) => [command, count]))
}

test('commands whose keys share no slot under the names of the cluster are counted, by route and command', async () => {
  const client = path.client()
  await client.sunionstore('a', 'b', 'c')
  await client.sunionstore('a', 'b', 'c')
  await client.rename('missing', 'other').catch(() => {})
  await client.eval('return 1', 2, 'a', 'b')
  await client.blpop('a', 'b', 0.01)
  await client.xread('STREAMS', 'a', 'b', '0', '0')
  await client.sunion('cart:7:1', 'cart:8:1')
  expect(counted('rest')).toEqual({ SUNIONSTORE: 2, RENAME: 1, EVAL: 1, BLPOP: 1, XREAD: 1 })
  expect(counted('carts')).toEqual({ SUNION: 1 })
  const said = path.notices.flatMap((notice) => (notice.kind === 'log' ? [notice.line] : []))
  expect(said.filter(({ fields }) => fields?.['command'] === 'SUNIONSTORE')).toMatchObject([
    { level: 'warn', fields: { route: 'rest', store: 'new' } },
  ])
})

test('not counted: one slot there, what is split by slot, keys that stay where they are', async () => {
  const client = path.client()
  await client.sunion('{x}:1', '{x}:2')
  await client.sunion('cart:7:1', 'cart:7:2')
  await client.mset('a', '1', 'b', '2')
  await client.mget('a', 'b')
  await client.sunion('stays:1', 'stays:2')
  await client.multi().set('{x}:1', '1').mget('{x}:1', '{x}:2').exec()
  expect([counted('rest'), counted('carts'), counted('stays')]).toEqual([{}, {}, {}])
})

test('a transaction counts once, whether it comes whole or waits for its answers', async () => {
  const client = path.client()
  await client.multi().set('a', '1').set('b', '2').mget('c', 'd').exec()
  expect(counted('rest')).toEqual({ MULTI: 1 })
  await client.multi({ pipeline: false })
  await client.set('a', '1')
  await client.mget('c', 'd')
  await client.exec()
  expect(counted('rest')).toEqual({ MULTI: 2 })
})
