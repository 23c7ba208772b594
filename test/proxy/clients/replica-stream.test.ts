import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { configOf, type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { bytesInBuffers } from '../../support/memory.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let source: RedisServer
let target: RedisServer
let path: DataPathUnderTest
const more: RedisServer[] = []

const options = (phase: 'mirror' | 'switched'): DataPathOptions => ({
  stores: { source, target },
  routes: [{ source: 'source', target: 'target', phase }],
})

beforeEach(async () => {
  // The stream of a replica begins at once, and without a file.
  const args = ['--repl-diskless-sync', 'yes', '--repl-diskless-sync-delay', '0', '--rdbcompression', 'no']
  ;[source, target] = await Promise.all([startRedis({ args }), startRedis({ args })])
  path = await startDataPath(options('mirror'))
})
afterEach(async () => {
  await path.stop()
  await Promise.all([source, target, ...more.splice(0)].map((server) => server.stop()))
})

const replicaOf = async (port: number): Promise<RedisServer> => {
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(port)] })
  more.push(replica)
  return replica
}

/** Its bytes are not replies: a bare socket. */
const open = async (): Promise<Socket> => {
  const socket = connect(path.port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

test('a redis-server becomes a replica through Understudy, and follows the new primary after a switch', async () => {
  const app = path.client()
  await app.mset(Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`k:${i}`, 'x'.repeat(200)])))
  const replica = await replicaOf(path.port)
  await eventually(async () => expect(await replica.client().dbsize()).toBe(5_000), { timeoutMs: 20_000 })
  await app.set('later', 1)
  await eventually(async () => expect(await replica.client().get('later')).toBe('1'))
  expect(await app.wait(1, 15_000)).toBe(1)

  await settled(path)
  const config = { ...configOf(options('switched')), listen: path.config.listen }
  const change = { config, endpoints: {}, generation: 1, hold: ['all'], needsEqual: ['all'], forget: [] }
  expect(await path.runtime.apply({ ...change, holdTimeoutMs: 30_000 })).toMatchObject({ ok: true })
  await app.set('after', 2)
  await eventually(async () => expect(await replica.client().get('after')).toBe('2'), { timeoutMs: 20_000 })
  expect(await target.client().info('replication')).toContain('connected_slaves:1')
  expect(await driftBetween(target, replica)).toEqual([])
})

test('SYNC sends the file and then every write, byte by byte as the store does', async () => {
  const client = await open()
  let received = ''
  client.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1')
  })
  client.write('SYNC\r\n')
  await eventually(() => expect(received).toContain('REDIS0010'))
  await path.client().set('hello', 'replica')
  await eventually(() => expect(received).toMatch(/\$5\r\nhello\r\n\$7\r\nreplica\r\n/))
  client.destroy()
  await eventually(async () => expect(await source.client().info('replication')).toContain('connected_slaves:0'))
})

test('a file that its reader takes slowly comes whole, although the store closes behind it', async () => {
  const app = path.client()
  for (let i = 0; i < 12; i++) await app.set(`k:${i}`, randomBytes(1024 * 1024))
  const client = await open()
  for (const words of ['capa eof', 'rdb-only 1']) {
    client.write(`REPLCONF ${words}\r\n`)
    await once(client, 'data')
  }
  const pieces: Buffer[] = []
  const ended = once(client, 'end')
  client.on('data', (chunk: Buffer) => {
    pieces.push(chunk)
    // Slower than the store says it, so that bytes wait everywhere on the way.
    client.pause()
    setTimeout(() => client.resume(), 3)
  })
  client.write('SYNC\r\n')
  await ended
  const said = Buffer.concat(pieces)
  const mark = /\$EOF:(.{40})\r\n/.exec(said.toString('latin1', 0, 1024))![1]!
  expect(said.toString('latin1', said.length - mark.length)).toBe(mark)
})

test('CLIENT KILL TYPE replica ends the stream of a replica, and no other connection', async () => {
  const [socket, client] = [await open(), await path.raw()]
  const closed = once(socket, 'close')
  const began = once(socket, 'data')
  socket.write('SYNC\r\n')
  await began
  socket.resume()
  expect(await client.ask('CLIENT', 'KILL', 'TYPE', 'slave')).toBe(':1\r\n')
  await closed
  expect(await client.ask('PING')).toBe('+PONG\r\n')
})

test('a connection that has asked to be a replica takes no other commands: their writes would not be mirrored', async () => {
  const client = await path.raw()
  expect(await client.ask('REPLCONF', 'listening-port', '1')).toBe('+OK\r\n')
  expect(await client.ask('PING')).toBe('+PONG\r\n')
  expect(await client.ask('SET', 'a', '1')).toMatch(/^-ERR this connection has asked to be a replica/)
  expect(await source.client().exists('a')).toBe(0)
})

test('a replica that does not read does not fill the memory, and others go on', async () => {
  const app = path.client()
  const value = 'x'.repeat(1024 * 1024)
  for (let i = 0; i < 60; i++) await app.set(`big:${i}`, value)
  await settled(path)
  const client = await open()
  client.pause()
  const before = bytesInBuffers()
  client.write('SYNC\r\n')
  await eventually(async () => expect(await source.client().info('replication')).toMatch(/state=(send_bulk|online)/))
  for (let i = 0; i < 500; i++) await app.incr('n')
  expect(bytesInBuffers() - before).toBeLessThan(16 * 1024 * 1024)
  let received = 0
  client.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  client.resume()
  await eventually(() => expect(received).toBeGreaterThan(60 * 1024 * 1024))
  client.destroy()
})

test('the connection to a store that is down ends, and says so', async () => {
  await source.kill9()
  const client = await path.raw()
  client.send('SYNC\r\n')
  await client.closed
  expect(path.notices).toContainEqual(
    expect.objectContaining({ line: expect.objectContaining({ msg: 'the stream of a replica has ended' }) }),
  )
})
