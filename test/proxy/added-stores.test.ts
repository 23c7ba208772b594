import { afterEach, expect, test } from 'vitest'
import { changeBetween } from '../support/change.ts'
import {
  configOf,
  type DataPathOptions,
  type DataPathUnderTest,
  type RouteOptions,
  startDataPath,
} from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function redis(): Promise<RedisServer> {
  const server = await startRedis()
  running.push(server)
  return server
}

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
