import { afterEach, beforeEach, expect, test } from 'vitest'
import { configFromUrls } from '../../../src/config/file/load.ts'
import { KeyWatch } from '../../../src/jobs/compare/key-watch.ts'
import { EndKeys } from '../../../src/jobs/stores/end-keys.ts'
import { StoreConnections } from '../../../src/jobs/stores/store-connection.ts'
import { StoreLost } from '../../../src/jobs/stores/store-lost.ts'
import { startCluster } from '../../support/cluster.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let server: RedisServer
let aborter: AbortController
let watch: KeyWatch

beforeEach(async () => {
  server = await startRedis()
  const { config } = configFromUrls({ env: {}, source: server.url, phase: 'passthrough' })
  aborter = new AbortController()
  watch = new KeyWatch(
    new EndKeys(config, config.routes[0]!.name, 'source'),
    () =>
      new StoreConnections(
        () => config,
        () => ({ kind: 'tcp', host: server.host, port: server.port }),
      ),
    aborter.signal,
  )
})
afterEach(() => server.stop())

function during<T>(work: () => Promise<T>, database = 0): Promise<{ done: T; written: boolean }> {
  return watch.during(database, Buffer.from('k'), work)
}

test('a key that nobody writes is not written, whatever else is', async () => {
  const redis = server.client()
  expect(await during(async () => 'nothing there')).toEqual({ done: 'nothing there', written: false })
  await redis.rpush('k', 'a', 'b')
  expect(await during(() => redis.rpush('other', 'c'))).toEqual({ done: 1, written: false })
  expect(await during(() => redis.lrange('k', 0, -1), 1)).toEqual({ done: ['a', 'b'], written: false })
})

test('a key that somebody writes is written, however', async () => {
  const redis = server.client()
  await redis.rpush('k', 'a', 'b')
  for (const work of [() => redis.lmove('k', 'k', 'LEFT', 'RIGHT'), () => redis.del('k'), () => redis.flushall()]) {
    await redis.rpush('k', 'a', 'b')
    expect(await during<unknown>(work)).toMatchObject({ written: true })
  }
})

test('a connection that was lost meanwhile has watched nothing', async () => {
  const redis = server.client()
  const seen = await during(() => redis.call('CLIENT', 'KILL', 'TYPE', 'normal')).catch((thrown: unknown) => thrown)
  if (!(seen instanceof StoreLost)) expect(seen).toMatchObject({ written: true })
})

test('a store that lets nobody watch says nothing; a job that is over waits for nobody', async () => {
  await server.client().acl('SETUSER', 'default', '-watch')
  await expect(during(async () => 1)).rejects.toThrow('a store answers WATCH with NOPERM')
  await server.client().acl('SETUSER', 'default', '+watch')
  await expect(during(async () => aborter.abort())).rejects.toBeInstanceOf(StoreLost)
  await expect(during(async () => 1)).rejects.toThrow('aborted')
})

test('so it is on the node of a cluster that has the key', async () => {
  const cluster = await startCluster({ masters: 2 })
  try {
    const { config } = configFromUrls({ env: {}, source: cluster.url, phase: 'passthrough' })
    const open = () =>
      new StoreConnections(
        () => config,
        () => null,
      )
    const there = new KeyWatch(new EndKeys(config, config.routes[0]!.name, 'source'), open, aborter.signal)
    const client = cluster.client()
    for (const key of ['a', 'b', 'c', 'd']) {
      const name = Buffer.from(key)
      expect(await there.during(0, name, async () => 1)).toEqual({ done: 1, written: false })
      expect(await there.during(0, name, () => client.rpush(key, 'x'))).toEqual({ done: 1, written: true })
    }
  } finally {
    await cluster.stop()
  }
}, 60_000)
