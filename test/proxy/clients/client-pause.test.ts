import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let store: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  store = await startRedis()
  path = await startDataPath({ stores: { only: store } })
})
afterAll(async () => {
  await path.stop()
  await store.stop()
})

test('WRITE holds writes, and EXECs with a write, until UNPAUSE; reads go on', async () => {
  const [one, writer, multi] = [await path.raw(), await path.raw(), await path.raw()]
  for (const command of [['MULTI'], ['SET', 'in-multi', 'x']]) await multi.ask(...command)
  expect(await one.ask('CLIENT', 'PAUSE', 60_000, 'WRITE')).toBe('+OK\r\n')
  writer.command('SET', 'k', 'v')
  multi.command('EXEC')
  expect(await one.ask('GET', 'k')).toBe('$-1\r\n')
  expect(await one.ask('GET', 'in-multi')).toBe('$-1\r\n')
  expect(await one.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await writer.text()).toBe('+OK\r\n')
  expect(await multi.text()).toBe('*1\r\n+OK\r\n')
})

test('WRITE holds no script that says it writes nothing, by whatever command it is called', async () => {
  const [one, reader, multi, writer] = [await path.raw(), await path.raw(), await path.raw(), await path.raw()]
  const code = [
    '#!lua name=paused',
    "redis.register_function{function_name='reads', callback=function() return 1 end, flags={'no-writes'}}",
    "redis.register_function('writes', function() return 2 end)",
  ]
  expect(await one.ask('FUNCTION', 'LOAD', code.join('\n'))).toBe('$6\r\npaused\r\n')
  expect(await one.ask('CLIENT', 'PAUSE', 60_000, 'WRITE')).toBe('+OK\r\n')
  const script = '#!lua flags=no-writes\nreturn 1'
  expect(await reader.ask('EVAL', script, 0)).toBe(':1\r\n')
  const loaded = await reader.ask('SCRIPT', 'LOAD', '#!lua flags=no-writes\nreturn 3')
  expect(await reader.ask('EVALSHA', loaded.split('\r\n')[1]!, 0)).toBe(':3\r\n')
  expect(await reader.ask('FCALL', 'reads', 0)).toBe(':1\r\n')
  for (const command of [['MULTI'], ['EVAL', script, 0], ['FCALL', 'reads', 0]]) await multi.ask(...command)
  expect(await multi.ask('EXEC')).toBe('*2\r\n:1\r\n:1\r\n')
  writer.command('FCALL', 'writes', 0)
  await eventually(async () => expect(await one.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
  expect(await one.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await writer.text()).toBe(':2\r\n')
})

test('a transaction in one packet that is held lies in nobody’s way', async () => {
  const [one, writer, other] = [await path.raw(), await path.raw(), await path.raw()]
  expect(await one.ask('CLIENT', 'PAUSE', 60_000, 'WRITE')).toBe('+OK\r\n')
  const commands = [['MULTI'], ['GET', 'k'], ['SET', 'held-in-multi', 'v'], ['EXEC']]
  writer.send(Buffer.concat(commands.map((command) => encodeCommand(command))))
  expect(await writer.take(2)).toEqual(['+OK\r\n', '+QUEUED\r\n'])
  expect(await other.ask('GET', 'held-in-multi')).toBe('$-1\r\n')
  expect(await one.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect((await writer.take(2))[0]).toBe('+QUEUED\r\n')
})

test('clients that are held count as blocked in INFO', async () => {
  const [one, writer, reader] = [await path.raw(), await path.raw(), await path.raw()]
  await reader.ask('HELLO', 3)
  expect(await one.ask('CLIENT', 'PAUSE', 60_000, 'WRITE')).toBe('+OK\r\n')
  writer.command('SET', 'held', 1)
  await eventually(async () => expect(await one.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
  expect(await reader.ask('INFO')).toContain('blocked_clients:1\r\n')
  expect(await one.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await writer.text()).toBe('+OK\r\n')
  expect(await one.ask('INFO', 'clients')).toContain('blocked_clients:0\r\n')
})

test('INFO counts the clients of Understudy, not its connections to the store', async () => {
  const clients = await Promise.all(Array.from({ length: 5 }, () => path.raw()))
  const listed = async (): Promise<number> => (await clients[0]!.ask('CLIENT', 'LIST')).match(/^id=|\nid=/g)!.length
  await eventually(async () =>
    expect(await clients[0]!.ask('INFO')).toContain(`connected_clients:${await listed()}\r\n`),
  )
  clients[4]!.destroy()
  await eventually(async () =>
    expect(await clients[0]!.ask('INFO')).toContain(`connected_clients:${await listed()}\r\n`),
  )
})

test('ALL holds everything until the time is over', async () => {
  const [one, other] = [await path.raw(), await path.raw()]
  const startedMs = performance.now()
  expect(await one.ask('CLIENT', 'PAUSE', 200)).toBe('+OK\r\n')
  expect(await other.ask('PING')).toBe('+PONG\r\n')
  expect(performance.now() - startedMs).toBeGreaterThan(150)
})

test('a script that runs for ever is ended by SCRIPT KILL of another client, and the others go on', async () => {
  const [busy, other] = [await path.raw(), await path.raw()]
  const admin = store.client()
  await admin.config('SET', 'busy-reply-threshold', '10')
  busy.command('EVAL', 'while true do end', 0)
  other.command('GET', 'k')
  const killer = await path.raw()
  for (;;) {
    const reply = await killer.ask('SCRIPT', 'KILL')
    if (reply === '+OK\r\n') break
    expect(reply).toMatch(/^-(NOTBUSY|BUSY)/)
  }
  expect(await busy.text()).toMatch(/^-ERR.*Script killed by user/)
  // Told so if it took long to find out.
  expect(await other.text()).toMatch(/^(\$|-BUSY)/)
  admin.disconnect()
})

test('SHUTDOWN ends the store, and the client’s connection without an answer', async () => {
  const own = await startRedis()
  const through = await startDataPath({ stores: { only: own } })
  const client = await through.raw()
  client.command('SHUTDOWN', 'NOSAVE')
  await client.closed
  expect(client.unread).toBe(0)
  await through.stop()
  await own.stop()
})
