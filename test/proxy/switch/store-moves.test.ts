import { expect, test } from 'vitest'
import type { Endpoint } from '../../../src/config/config.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RedisServer } from '../../support/redis.ts'
import { endedAfterEach } from '../../support/running.ts'

const { running, redis } = endedAfterEach()

const place = ({ port }: RedisServer): Endpoint => ({ kind: 'tcp', host: '127.0.0.1', port })

/** A store behind Sentinels, of which nobody has said where it is. */
async function dataPath(shadow?: RedisServer): Promise<DataPathUnderTest> {
  const sentinel = { username: null, password: null, tls: null }
  const path = await startDataPath({
    stores: {
      only: { port: 1, kind: 'sentinel', sentinelName: 'x', sentinel },
      ...(shadow === undefined ? {} : { new: shadow }),
    },
    routes: [{ source: 'only', ...(shadow === undefined ? {} : { target: 'new', phase: 'mirror' }) }],
  })
  running.push(path)
  return path
}

test('a store behind Sentinels is not taken for one of them, and a replica gets no commands', async () => {
  const primary = await redis()
  // Of nobody who is there: it is one all the same.
  const replica = await redis({ args: ['--replicaof', '127.0.0.1', '1'] })
  const path = await dataPath()
  const client = path.client({ enableReadyCheck: false })
  await expect(client.set('k', 'v')).rejects.toThrow(/'only' is down \(its address is not known yet\); .* not executed/)
  path.runtime.setEndpoint('only', 'no Sentinel answers', false)
  await eventually(() => expect(client.set('k', 'v')).rejects.toThrow(/is down \(no Sentinel answers\)/))
  // It would answer reads with what it has.
  path.runtime.setEndpoint('only', place(replica), false)
  await eventually(() => expect(client.get('k')).rejects.toThrow(/is down \(it is a replica now, .*; .* not executed/))
  await expect(client.blpop('k', 0)).rejects.toThrow(/it is a replica now/)
  expect(path.notices).toContainEqual({ kind: 'look-for', store: 'only' })
  path.runtime.setEndpoint('only', place(primary), false)
  await eventually(async () => expect(await client.set('k', 'v')).toBe('OK'))
  expect(await primary.client().get('k')).toBe('v')
})

test('an old primary that becomes a replica under our connections is asked about at once', async () => {
  const [primary, other] = [await redis(), await redis()]
  const path = await dataPath()
  path.runtime.setEndpoint('only', place(primary), false)
  const client = path.client()
  await eventually(async () => expect(await client.set('k', 'v')).toBe('OK'))
  const before = path.notices.length
  await primary.client().replicaof('127.0.0.1', other.port)
  await eventually(async () => {
    await expect(client.set('k', 'w')).rejects.toThrow(/READONLY|replica now/)
    expect(path.notices.slice(before)).toContainEqual({ kind: 'look-for', store: 'only' })
  })
})

test('every kind of connection goes to where the store is now, while the old place lives on', async () => {
  const [before, after, shadow] = [await redis(), await redis(), await redis()]
  const path = await dataPath(shadow)
  path.runtime.setEndpoint('only', place(before), false)
  const client = path.client()
  await eventually(async () => expect(await client.set('k', 'before')).toBe('OK'))
  const watching = path.client()
  await watching.watch('k')
  const subscriber = path.client()
  const heard: string[] = []
  subscriber.on('message', (_channel, message) => heard.push(message))
  await subscriber.subscribe('news')
  const blocked = path.client()
  const popped = blocked.blpop('queue', 0).then(String, (error: Error) => error.message)
  await eventually(async () => expect(await before.client().client('LIST')).toContain('cmd=blpop'))

  path.runtime.setEndpoint('only', place(after), true)
  expect(await client.set('k', 'after')).toBe('OK')
  expect(await after.client().get('k')).toBe('after')
  expect(await before.client().get('k')).toBe('before')
  await eventually(async () => expect(await before.client().client('LIST')).not.toContain(' name=understudy '))
  await expect(watching.multi().set('k', 'lost').exec()).resolves.toBeNull()
  await eventually(async () => {
    await after.client().publish('news', 'hello')
    expect(heard).toContain('hello')
  })
  await client.rpush('queue', 'job')
  expect(await popped).toMatch(/queue,job|may have been executed/)
  expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual(['failed-over'])
})

test('where a store is now is not forgotten for what a configuration has found out before it was put in force', async () => {
  const [before, after] = [await redis(), await redis()]
  const path = await dataPath()
  path.runtime.setEndpoint('only', place(before), false)
  const client = path.client()
  await eventually(async () => expect(await client.set('k', 'before')).toBe('OK'))
  const change = { config: path.config, endpoints: { only: place(before) }, generation: 1, holdTimeoutMs: 1_000 }
  path.runtime.setEndpoint('only', place(after), true)
  await eventually(async () => expect(await client.set('k', 'after')).toBe('OK'))
  expect(await path.runtime.apply({ ...change, hold: [], needsEqual: [], forget: [] })).toMatchObject({ ok: true })
  await after.client().rpush('l', 'x')
  // A connection of its own, that is opened now.
  expect(await client.blpop('l', 2)).toEqual(['l', 'x'])
})
