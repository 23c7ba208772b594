import { afterEach, expect, test } from 'vitest'
import { ReplyWindow } from '../../../src/proxy/session/reply-window.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const GET = encodeCommand(['GET', 'big'])
const BIG_BYTES = 200_000

async function start() {
  const store = await startRedis()
  const path = await startDataPath({ stores: { store } })
  running.push(store, path)
  await store.client().set('big', Buffer.alloc(BIG_BYTES, 'x'))
  return { store, path }
}

async function readsOf(store: RedisServer): Promise<number> {
  return Number(/cmdstat_get:calls=(\d+)/.exec(await store.client().info('commandstats'))?.[1] ?? 0)
}

test.each(['stays and does not read', 'goes away'])(
  'of thousands of large values that a client asks for at once and then %s, the store is asked for a few',
  async (then) => {
    const { store, path } = await start()
    const [greedy, other] = [await path.raw(), path.client()]
    greedy.socket.pause()
    greedy.send(Buffer.concat(Array.from({ length: 5_000 }, () => GET)))
    await eventually(async () => expect(await readsOf(store)).toBeGreaterThan(0))
    if (then === 'goes away') greedy.destroy()
    for (let i = 0; i < 100; i++) expect(await other.set('k', i)).toBe('OK')
    expect(await readsOf(store)).toBeLessThan(400)
  },
)

test.each([
  [
    'a RESP3 subscriber',
    [
      ['HELLO', '3'],
      ['SUBSCRIBE', 'news'],
    ],
  ],
  ['a client that monitors', [['MONITOR']]],
  ['a client that watches a key', [['WATCH', 'k']]],
  [
    'a RESP3 subscriber that watches a key',
    [
      ['HELLO', '3'],
      ['SUBSCRIBE', 'news'],
      ['WATCH', 'k'],
    ],
  ],
])('%s is no exception', async (_, commands) => {
  const { store, path } = await start()
  const [greedy, other] = [await path.raw(), path.client()]
  for (const command of commands) await greedy.ask(...command)
  greedy.socket.pause()
  greedy.send(Buffer.concat(Array.from({ length: 5_000 }, () => GET)))
  await eventually(async () => expect(await readsOf(store)).toBeGreaterThan(0))
  for (let i = 0; i < 100; i++) expect(await other.set('k', i)).toBe('OK')
  expect(await readsOf(store)).toBeLessThan(400)
})

test('a client that reads gets them all, large and small, in order', async () => {
  const { path } = await start()
  const app = path.client()
  const pipeline = app.pipeline()
  for (let i = 0; i < 1_500; i++) pipeline.incr('n').get(i % 10 === 0 ? 'big' : 'n')
  const results = (await pipeline.exec())!.map(([error, value]) => error ?? value)
  const wanted = Array.from({ length: 1_500 }, (_, i) => [i + 1, i % 10 === 0 ? BIG_BYTES : String(i + 1)]).flat()
  expect(results.map((value) => (String(value).length === BIG_BYTES ? BIG_BYTES : value))).toEqual(wanted)
})

test('whatever a subscriber has under way goes on beyond the window: transactions, whole and not, waits, replies that it does not want', async () => {
  const { store, path } = await start()
  const app = await path.raw()
  await app.ask('HELLO', '3')
  await app.ask('SUBSCRIBE', 'news')
  const times = (...command: string[]): Buffer => Buffer.concat(Array.from({ length: 3_000 }, () => frame(command)))
  const frame = (command: string[]): Buffer => encodeCommand(command)
  const packet = [
    times('INCR', 'n'),
    frame(['MULTI']),
    times('INCR', 'n'),
    frame(['EXEC']),
    frame(['WATCH', 'w']),
    times('GET', 'n'),
    frame(['MULTI']),
    times('INCR', 'n'),
    frame(['PUBLISH', 'news', 'hello']),
    frame(['EXEC']),
    frame(['CLIENT', 'REPLY', 'OFF']),
    times('INCR', 'n'),
    frame(['RPUSH', 'list', 'a']),
    frame(['CLIENT', 'REPLY', 'ON']),
    frame(['BLPOP', 'list', '0']),
    times('INCR', 'n'),
    frame(['SUBSCRIBE', 'other']),
    frame(['ECHO', 'the end']),
  ]
  app.send(Buffer.concat(packet))
  let last = ''
  while (!last.includes('the end')) last = await app.text()
  expect(await store.client().get('n')).toBe('15000')
})

test('the window is as many replies of the last size as make eight megabytes, within bounds', () => {
  const window = new ReplyWindow()
  expect(window.size).toBe(128)
  window.look(0, 0)
  expect(window.size).toBe(128)
  window.look(5, 1)
  expect(window.size).toBe(129)
  window.look(25_000, 5_000)
  expect(window.size).toBe(2_048)
  window.look(25_000 + 10 * 100_000, 5_010)
  expect(window.size).toBe(83)
  window.look(25_000 + 10 * 100_000 + 50_000_000, 5_011)
  expect(window.size).toBe(16)
  window.look(60_000_000, 5_011)
  expect(window.size).toBe(16)
})

test('messages are no replies', () => {
  const window = new ReplyWindow()
  window.look(0, 0)
  window.pushed += 50_000_000
  window.look(50_025_000, 5_000)
  expect(window.size).toBe(2_048)
})
