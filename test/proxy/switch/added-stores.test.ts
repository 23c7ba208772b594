import { expect, test } from 'vitest'
import { changeBetween } from '../../support/change.ts'
import {
  configOf,
  type DataPathOptions,
  type DataPathUnderTest,
  type RouteOptions,
  startDataPath,
} from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RedisServer } from '../../support/redis.ts'
import { endedAfterEach } from '../../support/running.ts'

const { running, redis } = endedAfterEach()

/** Puts one configuration after the other in force. */
function reloads(path: DataPathUnderTest): (next: DataPathOptions) => Promise<void> {
  let [config, generation] = [path.config, 0]
  return async (next) => {
    const changed = { ...configOf(next), listen: path.config.listen }
    expect(await path.runtime.apply(changeBetween(config, changed, ++generation))).toMatchObject({ ok: true })
    config = changed
  }
}

test('a store that comes with the route that mirrors to it gets its writes', async () => {
  const [a, b] = [await redis(), await redis()]
  const path = await startDataPath({ stores: { a } })
  running.push(path)
  const reload = reloads(path)
  const client = path.client()
  expect(await client.set('before', '1')).toBe('OK')
  await reload({ stores: { a, b }, routes: [{ source: 'a', target: 'b', phase: 'mirror' }] })
  expect(await client.set('after', '2')).toBe('OK')
  await eventually(async () => expect(await b.client().get('after')).toBe('2'))
})

test('stores that leave and come back, elsewhere too, and new ones before them in the file, are each reached as themselves', async () => {
  const [a, b, c, d] = [await redis(), await redis(), await redis(), await redis()]
  const path = await startDataPath({ stores: { a } })
  running.push(path)
  const reload = reloads(path)
  const client = path.client()
  const routesTo = (target: string): RouteOptions[] => [{ source: 'a', target, phase: 'mirror' }]
  const reaches = async (server: RedisServer, key: string): Promise<void> => {
    expect(await client.set(key, 'v')).toBe('OK')
    await eventually(async () => expect(await server.client().get(key)).toBe('v'))
  }
  await reload({ stores: { b, a }, routes: routesTo('b') })
  await reaches(b, 'one')
  await reload({ stores: { c, a }, routes: routesTo('c') })
  await reaches(c, 'two')
  expect(await b.client().get('two')).toBeNull()
  await reload({ stores: { a } })
  expect(await client.get('two')).toBe('v')
  await reload({ stores: { d, c, b, a }, routes: routesTo('b') })
  await reaches(b, 'three')
  // The same name, another server.
  await reload({ stores: { b: d, a }, routes: routesTo('b') })
  await reaches(d, 'four')
  expect(await b.client().get('four')).toBeNull()
  expect(await c.client().get('four')).toBeNull()
})

/** Connections of Understudy, as the server lists them. */
async function connectionsAt(server: RedisServer): Promise<number> {
  const client = server.client()
  const list = String(await client.client('LIST'))
  client.disconnect()
  return list.split('\n').filter((line) => / name=understudy/.test(line)).length
}

test('a store that leaves keeps no connection, is told of no more, and is a new one when it comes back', async () => {
  const [a, b] = [await redis(), await redis()]
  const path = await startDataPath({ stores: { a } })
  running.push(path)
  const reload = reloads(path)
  const client = path.client()
  const both: DataPathOptions = { stores: { a, b }, routes: [{ source: 'a', target: 'b', phase: 'mirror' }] }
  for (const round of ['one', 'two']) {
    await reload(both)
    expect(await client.set(round, 'v')).toBe('OK')
    await eventually(async () => expect(await b.client().get(round)).toBe('v'))
    expect(await connectionsAt(b)).toBeGreaterThan(0)
    await reload({ stores: { a } })
    await path.runtime.left('b')
    await eventually(async () => expect(await connectionsAt(b)).toBe(0))
    expect(Object.keys(path.runtime.stats().stores)).toEqual(['a'])
  }
  expect(await client.get('two')).toBe('v')
})

test('a store that is down when it leaves is given up with what waited for it, and works when it comes back', async () => {
  const [a, b] = [await redis(), await redis()]
  const store = { timeoutMs: 500 }
  const both: DataPathOptions = { stores: { a, b }, routes: [{ source: 'a', target: 'b', phase: 'mirror' }], store }
  const path = await startDataPath(both)
  running.push(path)
  const reload = reloads(path)
  const client = path.client()
  await client.set('k', '1')
  await eventually(async () => expect(await b.client().get('k')).toBe('1'))
  await b.kill9()
  await client.set('k', '2')
  await reload({ stores: { a }, store })
  await path.runtime.left('b')
  expect(Object.keys(path.runtime.stats().stores)).toEqual(['a'])
  await b.start()
  expect(await client.set('k', '3')).toBe('OK')
  await reload(both)
  expect(await client.set('other', '4')).toBe('OK')
  await eventually(async () => expect(await b.client().get('other')).toBe('4'))
  expect(await b.client().get('k')).toBeNull()
})

test('whoever is connected to a store that is given another name with its route goes on: subscribers, blocked commands, transactions', async () => {
  const server = await redis()
  const path = await startDataPath({ stores: { a: server }, routes: [{ name: 'one', source: 'a' }] })
  running.push(path)
  const [subscriber, blocked, transaction, client] = [path.client(), path.client(), path.client(), path.client()]
  const heard: string[] = []
  subscriber.on('message', (_channel, message) => heard.push(message))
  const lost: string[] = []
  for (const one of [subscriber, blocked, transaction, client]) one.on('close', () => lost.push('a client'))
  await subscriber.subscribe('news')
  const popped = blocked.blpop('queue', 0)
  await eventually(async () => expect(String(await server.client().client('LIST'))).toMatch(/ cmd=blpop/))
  await transaction.multi({ pipeline: false })
  await transaction.set('within', '1')
  await reloads(path)({ stores: { b: server }, routes: [{ name: 'other', source: 'b' }] })
  await path.runtime.left('a')
  expect(await client.publish('news', 'hello')).toBe(1)
  await eventually(() => expect(heard).toEqual(['hello']))
  await client.rpush('queue', 'item')
  expect(await popped).toEqual(['queue', 'item'])
  expect(await transaction.exec()).toEqual([[null, 'OK']])
  expect(lost).toEqual([])
})
