import { afterEach, expect, test } from 'vitest'
import { ReplyWindow } from '../../src/proxy/reply-window.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import { startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

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

test('a client that reads gets them all, large and small, in order', async () => {
  const { path } = await start()
  const app = path.client()
  const pipeline = app.pipeline()
  for (let i = 0; i < 1_500; i++) pipeline.incr('n').get(i % 10 === 0 ? 'big' : 'n')
  const results = (await pipeline.exec())!.map(([error, value]) => error ?? value)
  const wanted = Array.from({ length: 1_500 }, (_, i) => [i + 1, i % 10 === 0 ? BIG_BYTES : String(i + 1)]).flat()
  expect(results.map((value) => (String(value).length === BIG_BYTES ? BIG_BYTES : value))).toEqual(wanted)
})

test('the window is as many replies of the last size as make eight megabytes, within bounds', () => {
  const window = new ReplyWindow()
  expect(window.size).toBe(128)
  window.look(0, 0)
  expect(window.size).toBe(128)
  window.look(5_000, 1_000)
  expect(window.size).toBe(2_048)
  window.look(5_000 + 10 * 100_000, 1_010)
  expect(window.size).toBe(83)
  window.look(5_000 + 10 * 100_000 + 50_000_000, 1_011)
  expect(window.size).toBe(16)
  window.look(60_000_000, 1_011)
  expect(window.size).toBe(16)
})
