import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../../src/config/config.ts'
import { changeBetween } from '../../support/change.ts'
import { configOf, type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** A route is switched while a client, on a connection of its own, is inside MULTI with keys of another one. */
let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
let options: DataPathOptions
let generation = 0

beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(async () => {
  await Promise.all([old.stop(), fresh.stop()])
})
beforeEach(async () => {
  for (const server of [old, fresh]) await server.client().flushall()
})
afterEach(() => path?.stop())

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
const invalidation = (key: string) => `>2\r\n${bulk('invalidate')}*1\r\n${bulk(key)}`
const EVERYTHING = `>2\r\n${bulk('invalidate')}_\r\n`
const OK = '+OK\r\n'
const QUEUED = '+QUEUED\r\n'

function routesIn(jobs: Phase, rest: Phase, names: boolean): DataPathOptions['routes'] {
  const keys = names ? { 'job:{id}': 'step:{id}' } : {}
  return [
    { name: 'jobs', keys: ['job:{id}'], source: 'old', target: { store: 'new', keys }, phase: jobs },
    { name: 'rest', source: 'old', target: 'new', phase: rest },
  ]
}

async function start(jobs: Phase, rest: Phase, more: Partial<DataPathOptions> = {}, names = false): Promise<void> {
  options = { stores: { old, new: fresh }, routes: routesIn(jobs, rest, names)!, ...more }
  path = await startDataPath(options)
}

async function apply(jobs: Phase, rest: Phase, names = false): Promise<void> {
  const before = configOf(options)
  options = { ...options, routes: routesIn(jobs, rest, names)! }
  const change = changeBetween(before, configOf(options), ++generation)
  expect(
    await path.runtime.apply({ ...change, config: { ...change.config, listen: path.config.listen } }),
  ).toMatchObject({ ok: true })
}

async function tracking(): Promise<RawClient> {
  const client = await path.raw()
  await client.ask('HELLO', 3)
  expect(await client.ask('CLIENT', 'TRACKING', 'ON')).toBe(OK)
  return client
}

/** Connections that take the invalidations of others: they speak RESP3, and have said nothing but PING. */
async function takingInvalidations(): Promise<number> {
  const lists = await Promise.all([old, fresh].map((server) => server.client().client('LIST') as Promise<string>))
  return lists.flatMap((list) => list.split('\n')).filter((line) => / cmd=ping .* resp=3/.test(line)).length
}

describe.each([
  ['where its keys are already', 'switched'],
  ['from where its keys stay', 'mirror'],
] as const)('the route of all others goes %s', (_, jobs) => {
  test.each([false, true])(
    'EXEC answers what was queued, and the client goes on tracking (other names: %s)',
    async (names) => {
      await start(jobs, 'mirror', {}, names)
      const [app, writer] = [await tracking(), await path.raw()]
      expect(await app.ask('MULTI')).toBe(OK)
      expect(await app.ask('INCR', 'job:1')).toBe(QUEUED)
      await apply(jobs, 'switched', names)
      expect(await app.text()).toBe(EVERYTHING)
      expect(await app.ask('GET', 'job:1')).toBe(QUEUED)
      expect(await app.ask('EXEC')).toBe(`*2\r\n:1\r\n${bulk('1')}`)
      expect(await app.text()).toBe(EVERYTHING)
      for (const key of ['job:1', 'other']) {
        await app.ask('GET', key)
        await writer.ask('SET', key, 'x')
        expect(await app.text()).toBe(invalidation(key))
      }
      await settled(path)
    },
  )

  test('DISCARD, and the client goes on tracking', async () => {
    await start(jobs, 'mirror')
    const [app, writer] = [await tracking(), await path.raw()]
    for (const command of [['MULTI'], ['INCR', 'job:1']]) await app.ask(...command)
    await apply(jobs, 'switched')
    expect(await app.text()).toBe(EVERYTHING)
    expect(await app.ask('DISCARD')).toBe(OK)
    expect(await app.text()).toBe(EVERYTHING)
    for (const key of ['job:1', 'other']) {
      expect(await app.ask('GET', key)).toBe('_\r\n')
      await writer.ask('SET', key, 'x')
      expect(await app.text()).toBe(invalidation(key))
    }
  })
})

test.each([[[]], [['BCAST', 'PREFIX', 'job:']]])(
  'until EXEC the store that the transaction is at tells the client that it redirects to %j as before, and nobody else',
  async (how) => {
    await start('mirror', 'mirror')
    const [app, reader, writer] = [await path.raw(), await path.raw(), await path.raw()]
    for (const client of [app, reader]) await client.ask('HELLO', 3)
    const id = (await reader.ask('CLIENT', 'ID')).slice(1).trim()
    expect(await app.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, ...how)).toBe(OK)
    expect(await takingInvalidations()).toBe(1)
    await app.ask('GET', 'job:1')
    for (const command of [['MULTI'], ['GET', 'job:2']]) await app.ask(...command)
    for (const rest of ['switched', 'mirror'] as const) {
      await apply('mirror', rest)
      expect(await reader.text()).toBe(EVERYTHING)
    }
    await writer.ask('SET', 'job:1', 'x')
    expect(await reader.text()).toBe(invalidation('job:1'))
    expect(await app.ask('EXEC')).toBe('*1\r\n_\r\n')
    expect(await reader.text()).toBe(EVERYTHING)
    await app.ask('GET', 'job:2')
    await writer.ask('SET', 'job:2', 'x')
    expect(await reader.text()).toBe(invalidation('job:2'))
    expect(await app.ask('GET', 'job:1')).toBe(bulk('x'))
    // Those of before are closed.
    await eventually(async () => expect(await takingInvalidations()).toBe(1))
  },
)

test('a client that tracks keeps what it has watched', async () => {
  await start('mirror', 'mirror')
  const app = await tracking()
  expect(await app.ask('WATCH', 'job:1')).toBe(OK)
  await apply('mirror', 'switched')
  expect(await app.text()).toBe(EVERYTHING)
  for (const command of [['MULTI'], ['INCR', 'job:1']]) await app.ask(...command)
  expect(await app.ask('EXEC')).toBe('*1\r\n:1\r\n')
  expect(await app.ask('GET', 'other')).toBe('_\r\n')
})

test.each(['MULTI', 'WATCH'])(
  'on a listener with a connection for each client a %s goes on where it is',
  async (begin) => {
    await start('mirror', 'mirror', { listen: { connections: 'dedicated' } })
    const app = await path.raw()
    if (begin === 'WATCH') expect(await app.ask('WATCH', 'job:1')).toBe(OK)
    else for (const command of [['MULTI'], ['INCR', 'job:1']]) await app.ask(...command)
    await apply('mirror', 'switched')
    if (begin === 'WATCH') for (const command of [['MULTI'], ['INCR', 'job:1']]) await app.ask(...command)
    expect(await app.ask('INCR', 'job:1')).toBe(QUEUED)
    expect(await app.ask('EXEC')).toBe('*2\r\n:1\r\n:2\r\n')
    expect(await app.ask('INCR', 'job:1')).toBe(':3\r\n')
    expect(await app.ask('INCR', 'other')).toBe(':1\r\n')
    await settled(path)
  },
)

test.each([true, false])(
  'what asks about tracking goes on with the transaction (the client tracks: %s)',
  async (tracks) => {
    await start('mirror', 'mirror')
    const app = tracks ? await tracking() : await path.raw()
    for (const command of [['MULTI'], ['INCR', 'job:1'], ['CLIENT', 'TRACKINGINFO']]) await app.ask(...command)
    await apply('switched', 'mirror')
    if (tracks) expect(await app.text()).toBe(EVERYTHING)
    const answer = await app.ask('EXEC')
    expect(answer).toContain(tracks ? bulk('on') : bulk('off'))
    expect(answer).toMatch(/^\*2\r\n:1\r\n/)
    expect(await fresh.client().get('job:1')).toBe('1')
  },
)
