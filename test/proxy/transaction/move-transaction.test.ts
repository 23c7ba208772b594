import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../../src/config/config.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type HeldReplies, holdReplies } from '../../support/held-replies.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let server: RedisServer
let other: RedisServer
let network: HeldReplies
let path: DataPathUnderTest
let atServer: RawClient

beforeEach(async () => {
  ;[server, other] = await Promise.all([startRedis(), startRedis()])
  network = await holdReplies(server.port)
  atServer = await RawClient.open(server.port)
})
afterEach(async () => {
  atServer.destroy()
  await path.stop()
  await network.stop()
  await Promise.all([server.stop(), other.stop()])
})

/** The route `jobs` is switched, to other names on the same server or to the other one; the route `rest` stays. */
const options = (phase: Phase, more: Partial<DataPathOptions> & { target?: 'one' | 'two' } = {}): DataPathOptions => ({
  stores: { one: { port: network.port }, two: other },
  routes: [
    {
      name: 'jobs',
      keys: ['job:{id}'],
      source: 'one',
      target: { store: more.target ?? 'one', keys: { 'job:{id}': 'step:{id}' } },
      phase,
    },
    { name: 'rest', source: 'one' },
  ],
  ...more,
})
/** The server's line about the connection on which so many commands are queued. */
const queuedAt = (count: number): Promise<string> =>
  eventually(async () => {
    const lines = (await atServer.ask('CLIENT', 'LIST')).split('\n')
    const line = lines.find((each) => each.includes(` multi=${count} `))
    expect(line).toBeDefined()
    return line!
  })

describe('a transaction of which another route than that of its first key is switched', () => {
  let client: RawClient

  beforeEach(async () => {
    path = await startDataPath(options('mirror'))
    client = await path.raw()
  })

  test('is given the replies that were under way, and executed once', async () => {
    for (const command of [['MULTI'], ['INCR', 'total'], ['INCR', 'job:1']]) await client.ask(...command)
    network.hold((sent) => sent.includes('MULTI'))
    client.command('INCR', 'total')
    await queuedAt(3)
    await path.apply(options('switched'))
    client.command('INCR', 'job:1')
    client.command('EXEC')
    network.release()
    expect(await client.take(3)).toEqual(['+QUEUED\r\n', '+QUEUED\r\n', '*4\r\n:1\r\n:1\r\n:2\r\n:2\r\n'])
    expect(await atServer.ask('MGET', 'total', 'step:1')).toBe('*2\r\n$1\r\n2\r\n$1\r\n2\r\n')
    await eventually(async () => expect(await atServer.ask('GET', 'job:1')).toBe('$1\r\n2\r\n'))
  })

  test('is given up when the replies that were under way are lost', async () => {
    for (const command of [['MULTI'], ['INCR', 'total'], ['INCR', 'job:1']]) await client.ask(...command)
    network.hold((sent) => sent.includes('MULTI'))
    client.command('INCR', 'total')
    const [, id] = /^(?:.*\n)?id=(\d+) /.exec(await queuedAt(3))!
    await path.apply(options('switched'))
    client.command('EXEC')
    await atServer.ask('CLIENT', 'KILL', 'ID', id!)
    expect(await client.text()).toContain("the connection to store 'one' was lost")
    expect(await client.text()).toMatch(
      /^-EXECABORT .* because of: the connection on which it was queued was lost\r\n$/,
    )
    network.release()
    expect(await client.ask('MGET', 'total', 'job:1')).toBe('*2\r\n$-1\r\n$-1\r\n')
  })

  test('queues nothing while the switch is under way', async () => {
    for (const command of [['MULTI'], ['INCR', 'job:1'], ['INCR', 'total']]) await client.ask(...command)
    const [writer, waiting, looker] = [await path.raw(), await path.raw(), await path.raw()]
    await waiting.ask('CLIENT', 'SETNAME', 'waiting')
    // Something of the route is under way until it is let go: the switch waits for it.
    network.hold((sent) => sent.includes('job:2'))
    writer.command('INCR', 'job:2')
    await eventually(async () => expect(await atServer.ask('GET', 'job:2')).toBe('$1\r\n1\r\n'))
    const switching = path.apply(options('switched'))
    const clients = (): Promise<string> => looker.ask('CLIENT', 'LIST')
    await eventually(async () => {
      waiting.command('GET', 'job:3')
      expect(await clients()).toMatch(/ name=waiting .* qbuf=[1-9]/)
    })
    client.command('INCR', 'total')
    await eventually(async () => expect(await clients()).toMatch(/ multi=2 qbuf=[1-9]/))
    network.release()
    await switching
    expect(await client.ask('EXEC')).toBe('+QUEUED\r\n')
    expect(await client.text()).toBe('*3\r\n:1\r\n:1\r\n:2\r\n')
  })

  test('that has only watched gets the replies that were under way, each command done once', async () => {
    await client.ask('WATCH', 'job:1')
    network.hold((sent) => sent.includes('WATCH'))
    client.command('INCR', 'total')
    await eventually(async () => expect(await atServer.ask('GET', 'total')).toBe('$1\r\n1\r\n'))
    await path.apply(options('switched'))
    client.command('INCR', 'total')
    for (const command of ['MULTI', 'INCR total', 'EXEC']) client.command(...command.split(' '))
    network.release()
    expect(await client.take(5)).toEqual([':1\r\n', ':2\r\n', '+OK\r\n', '+QUEUED\r\n', '*-1\r\n'])
  })
})

test('a transaction on a connection of the client’s own is executed once, by the new names', async () => {
  path = await startDataPath(options('mirror', { listen: { connections: 'dedicated' } }))
  const [queued, watching] = [await path.raw(), await path.raw()]
  await queued.ask('MULTI')
  await queued.ask('INCR', 'job:1')
  await watching.ask('WATCH', 'job:2')
  await path.apply(options('switched'))
  expect(await queued.ask('INCR', 'total')).toBe('+QUEUED\r\n')
  expect(await queued.ask('EXEC')).toBe('*2\r\n:1\r\n:1\r\n')
  await watching.ask('MULTI')
  expect(await watching.ask('EXEC')).toBe('*-1\r\n')
  // What was watched by its old name is watched no more.
  await atServer.ask('SET', 'job:2', 'x')
  await watching.ask('MULTI')
  expect(await watching.ask('EXEC')).toBe('*0\r\n')
  await eventually(async () =>
    expect(await atServer.ask('MGET', 'step:1', 'job:1')).toBe('*2\r\n$1\r\n1\r\n$1\r\n1\r\n'),
  )
})

test('EXEC names the stores when a switch has put what was queued on two', async () => {
  path = await startDataPath(options('mirror', { target: 'two' }))
  const client = await path.raw()
  for (const command of [['MULTI'], ['INCR', 'total'], ['INCR', 'job:1']]) await client.ask(...command)
  await path.apply(options('switched', { target: 'two' }))
  expect(await client.ask('EXEC')).toMatch(
    /^-EXECABORT Transaction discarded because of: CROSSROUTE .*'rest' on store 'one', 'jobs' on store 'two'/,
  )
  expect(await client.ask('GET', 'total')).toBe('$-1\r\n')
})

describe('a transaction that begins with commands that may be executed anywhere', () => {
  let client: RawClient

  beforeEach(async () => {
    path = await startDataPath(options('switched', { target: 'two' }))
    client = await path.raw()
  })

  const begin = [['MULTI'], ['PING'], ['SELECT', 1], ['CLIENT', 'SETNAME', 'me'], ['ECHO', 'x']]

  test('is executed where its first key is', async () => {
    for (const command of begin) await client.ask(...command)
    expect(await client.ask('INCR', 'job:1')).toBe('+QUEUED\r\n')
    expect(await client.ask('INCR', 'total')).toMatch(/^-CROSSROUTE .* began on store 'two'/)
    expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
    for (const command of begin) await client.ask(...command)
    await client.ask('INCR', 'job:1')
    expect(await client.ask('EXEC')).toBe('*5\r\n+PONG\r\n+OK\r\n+OK\r\n$1\r\nx\r\n:1\r\n')
    expect(await client.ask('GET', 'job:1')).toBe('$1\r\n1\r\n')
    expect(await other.client().call('INFO', 'keyspace')).toContain('db1:keys=1')
  })

  test('also while the replies to these are under way', async () => {
    await client.ask('MULTI')
    network.hold((sent) => sent.includes('PING'))
    client.command('PING')
    await queuedAt(1)
    client.command('INCR', 'job:1')
    client.command('EXEC')
    network.release()
    expect(await client.take(3)).toEqual(['+QUEUED\r\n', '+QUEUED\r\n', '*2\r\n+PONG\r\n:1\r\n'])
  })
})

describe('a transaction whose only key so far was watched', () => {
  const [multi, ping, watch] = [['MULTI'], ['PING'], ['WATCH', 'job:1']]

  test.each([
    { before: [watch], after: [multi, ping] },
    { before: [watch, multi], after: [ping] },
    { before: [watch, multi, ping], after: [] },
  ])('goes where its next key is when it has moved: $before | $after', async ({ before, after }) => {
    path = await startDataPath(options('mirror', { target: 'two' }))
    const client = await path.raw()
    for (const command of before) await client.ask(...command)
    await path.apply(options('switched', { target: 'two' }))
    for (const command of after) await client.ask(...command)
    expect(await client.ask('INCR', 'job:1')).toBe('+QUEUED\r\n')
    expect(await client.ask('EXEC')).toBe('*-1\r\n')
  })

  test('stays where a command has its place that is not the same everywhere', async () => {
    path = await startDataPath(options('mirror', { target: 'two' }))
    const client = await path.raw()
    for (const command of [watch, multi, ['DBSIZE']]) await client.ask(...command)
    await path.apply(options('switched', { target: 'two' }))
    expect(await client.ask('INCR', 'job:1')).toMatch(/^-CROSSROUTE .* began on store 'one'/)
  })
})
