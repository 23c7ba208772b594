import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let redis: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  redis = await startRedis()
})

afterAll(async () => {
  await redis?.stop()
})

afterEach(async () => {
  await path?.stop()
})

/** Before a store of that version. */
async function startBefore(version: string): Promise<RawClient> {
  path = await startDataPath({ stores: { redis } })
  const raw = await path.raw()
  await versionIsKnown(raw)
  path.runtime.setFacts('redis', 0, version)
  return raw
}

/** The first connection to the store asks for it. */
async function versionIsKnown(raw: RawClient): Promise<void> {
  const version = /redis_version:(\S+)/.exec(await redis.client().info('server'))![1]!
  await eventually(async () => expect(await raw.ask('HELLO', '2')).toContain(`\r\n${version}\r\n`))
}

test('the version that HELLO tells is the store’s, from its first connection on', async () => {
  path = await startDataPath({ stores: { redis } })
  await versionIsKnown(await path.raw())
})

// From catClientInfoString in networking.c of each version.
const BEGIN = 'id addr laddr fd name age idle flags db sub psub'
const END = 'obl oll omem tot-mem events cmd user redir'
const FIELDS = {
  '6.2.14': `${BEGIN} multi qbuf qbuf-free argv-mem ${END}`,
  '7.0.15': `${BEGIN} ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp ${END} resp`,
  '7.2.4': `${BEGIN} ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp ${END} resp lib-name lib-ver`,
  '7.4.1': `${BEGIN} ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp ${END} resp lib-name lib-ver`,
  '8.0.6': `${BEGIN} ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp ${END} resp lib-name lib-ver io-thread`,
}

test.each(Object.entries(FIELDS))(
  'CLIENT LIST has the fields of a store of version %s, in its order',
  async (version, fields) => {
    path = await startDataPath({ stores: { redis } })
    path.runtime.setFacts('redis', 0, version)
    const raw = await path.raw()
    const line = (await raw.ask('CLIENT', 'LIST')).split('\r\n')[1]!
    expect([...line.matchAll(/([a-z-]+)=/g)].map(([, name]) => name).join(' ')).toBe(fields)
  },
)

test('CLIENT LIST counts the keys that a client watches, each once', async () => {
  const raw = await startBefore('7.4.1')
  expect(await raw.ask('WATCH', 'a', 'b')).toBe('+OK\r\n')
  expect(await raw.ask('WATCH', 'c', 'c', 'a')).toBe('+OK\r\n')
  expect(await raw.ask('CLIENT', 'INFO')).toContain(' watch=3 ')
  expect(await raw.ask('UNWATCH')).toBe('+OK\r\n')
  expect(await raw.ask('CLIENT', 'INFO')).toContain(' watch=0 ')
})

test('CLIENT KILL MAXAGE ends clients of that age, before a store that knows it', async () => {
  const raw = await startBefore('7.2.4')
  const other = await path.raw()
  expect(await other.ask('PING')).toBe('+PONG\r\n')
  expect(await raw.ask('CLIENT', 'KILL', 'MAXAGE', '1')).toBe('-ERR syntax error\r\n')
  path.runtime.setFacts('redis', 0, '7.4.1')
  expect(await raw.ask('CLIENT', 'KILL', 'MAXAGE', 'x')).toBe('-ERR maxage is not an integer or out of range\r\n')
  expect(await raw.ask('CLIENT', 'KILL', 'MAXAGE', '0')).toBe('-ERR maxage should be greater than 0\r\n')
  expect(await raw.ask('CLIENT', 'KILL', 'MAXAGE', '100000')).toBe(':0\r\n')
  await eventually(async () => expect(await raw.ask('CLIENT', 'KILL', 'MAXAGE', '1')).toBe(':1\r\n'))
  await other.closed
})

test('CLIENT LIST ID lists clients in the order of the ids, as often as each is named', async () => {
  const raw = await startBefore('7.0.15')
  const other = await path.raw()
  const [a, b] = [await raw.ask('CLIENT', 'ID'), await other.ask('CLIENT', 'ID')].map((reply) => reply.slice(1).trim())
  const list = await raw.ask('CLIENT', 'LIST', 'ID', b!, a!, '123456789', b!)
  expect([...list.matchAll(/^id=(\d+) /gm)].map(([, id]) => id)).toEqual([b, a, b])
})

test('CLIENT LIST counts the bytes that are kept for a client', async () => {
  const raw = await startBefore('7.0.15')
  const other = await path.raw()
  const id = (await other.ask('CLIENT', 'ID')).slice(1).trim()
  const numbers = async (): Promise<Record<string, number>> => {
    const line = await raw.ask('CLIENT', 'LIST', 'ID', id)
    return Object.fromEntries([...line.matchAll(/([a-z-]+)=(\d+)/g)].map(([, name, value]) => [name!, Number(value)]))
  }
  expect(await numbers()).toMatchObject({ qbuf: 0, 'multi-mem': 0, rbs: 0, obl: 0, oll: 0, omem: 0, 'tot-mem': 0 })

  const frame = encodeCommand(['SET', 'k', 'x'.repeat(500)])
  other.send(frame.subarray(0, 300))
  await eventually(async () => expect(await numbers()).toMatchObject({ qbuf: 300 }))
  const { 'qbuf-free': room, 'tot-mem': kept } = await numbers()
  expect(kept).toBe(300 + room!)
  other.send(frame.subarray(300))
  expect(await other.text()).toBe('+OK\r\n')
  expect(await numbers()).toMatchObject({ qbuf: 0 })

  await other.ask('MULTI')
  expect(await other.ask('SET', 'k', 'v')).toBe('+QUEUED\r\n')
  expect(await numbers()).toMatchObject({ 'multi-mem': encodeCommand(['SET', 'k', 'v']).length })
  expect(await other.ask('DISCARD')).toBe('+OK\r\n')

  await redis.client().set('large', Buffer.alloc(8 * 1024 * 1024))
  other.socket.pause()
  for (let i = 0; i < 4; i++) other.command('GET', 'large')
  await eventually(async () => {
    const { omem, 'tot-mem': all } = await numbers()
    expect(omem).toBeGreaterThan(0)
    expect(all).toBeGreaterThanOrEqual(omem!)
  })
})
