import { afterEach, beforeEach, expect, test } from 'vitest'
import { EmptyProbes } from '../../../src/jobs/scan/empty-probe.ts'
import { configOf, type RouteOptions } from '../../support/data-path.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let one: RedisServer
let two: RedisServer
beforeEach(async () => {
  ;[one, two] = await Promise.all([startRedis(), startRedis()])
})
afterEach(async () => {
  await Promise.all([one.stop(), two.stop()])
})

const renamed = (name: string): RouteOptions => ({
  name,
  keys: [`${name}:{id}`],
  source: 'one',
  target: { store: 'two', keys: { [`${name}:{id}`]: `new-${name}:{id}` } },
  phase: 'mirror',
})

function probesOf(routes: RouteOptions[]) {
  const config = configOf({ stores: { one, two }, routes: [...routes, { name: 'rest', source: 'one' }] })
  const probes = new EmptyProbes((store) => config.stores[store]!.endpoints[0]!)
  return (route: string, which: 'source' | 'target') => probes.contentsOf(config, route, which)
}

test('every end is told for itself whether it holds keys of its route, whatever else is in the store', async () => {
  const contentsOf = probesOf([renamed('a'), renamed('b'), renamed('c')])
  await one.client().mset({ 'a:1': 1, other: 1, 'new-b:1': 1 })
  // A key of a by its name there; what has c's names of the application is nobody's at the target.
  await two.client({ db: 3 }).mset({ 'new-b:7': 1, 'c:1': 1 })
  expect(
    await Promise.all([
      contentsOf('a', 'source'),
      contentsOf('a', 'target'),
      contentsOf('b', 'source'),
      contentsOf('b', 'target'),
      contentsOf('c', 'source'),
      contentsOf('c', 'target'),
      contentsOf('rest', 'source'),
    ]),
  ).toEqual(['some', 'none', 'none', 'some', 'none', 'none', 'some'])
  await expect(contentsOf('nobody', 'source')).rejects.toThrow(/no route/)
})

test('the ends of hundreds of routes are found by one look through each store', async () => {
  const routes = Array.from({ length: 300 }, (_, i) => renamed(`r${i}`))
  const contentsOf = probesOf(routes)
  await one.client().mset({ 'r7:1': 1, 'r9:1': 1 })
  const found = await Promise.all(
    routes.flatMap(({ name }) => [contentsOf(name!, 'source'), contentsOf(name!, 'target')]),
  )
  expect(found.flatMap((contents, i) => (contents === 'none' ? [] : [i]))).toEqual([14, 18])
  for (const server of [one, two]) {
    expect(await server.client().info('commandstats')).toMatch(/cmdstat_scan:calls=1,/)
  }
})

test('a store that does not answer is told as such, and the others by what they hold', async () => {
  const contentsOf = probesOf([renamed('a'), renamed('b')])
  await two.stop()
  expect(
    await Promise.all([
      contentsOf('a', 'target'),
      contentsOf('b', 'target'),
      contentsOf('b', 'source'),
      contentsOf('a', 'source'),
    ]),
  ).toEqual(['unanswered', 'unanswered', 'none', 'none'])
})
