import { afterEach, expect, test } from 'vitest'
import { startDataPath } from '../../support/data-path.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** Nothing in this process does anything meanwhile; the stores do. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/**
 * Sends what `send` sends while `store` is frozen, so that it is surely in flight, lets the store go on, and stands still:
 * the replies lie there when this process goes on.
 */
async function standStillOver<T>(store: RedisServer, ms: number, send: () => T, isInFlight: () => boolean): Promise<T> {
  store.pause()
  try {
    const sent = send()
    const deadline = performance.now() + 10_000
    while (!isInFlight()) {
      if (performance.now() > deadline) throw new Error('nothing came to be in flight')
      await new Promise((resolve) => setImmediate(resolve))
    }
    // What was pushed leaves with this turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve))
    return sent
  } finally {
    store.resume()
    standStill(ms)
  }
}

test('times to live are the same on both sides, however late this process comes to read the reply', async () => {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
  running.push(path)
  const app = path.client()
  await app.mset('a', 1, 'b', 1)
  await settled(path)
  const done = await standStillOver(
    old,
    900,
    () => [app.pexpire('a', 100_000), app.set('s', 1, 'EX', 100), app.multi().expire('b', 100).exec()],
    () => path.runtime.stats().routes['all']!.inFlight > 1,
  )
  await Promise.all(done)
  await settled(path)
  expect(await driftBetween(old, fresh, { ttlSlackMs: 500 })).toEqual([])
})

test('a store is not taken for silent because this process stood still for longer than the store may take', async () => {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    store: { timeoutMs: 500 },
  })
  running.push(path)
  const state = () => path.runtime.stats().routes['all']!
  const [app, pinned] = [path.client(), path.client()]
  await Promise.all([app.set('a', 1), pinned.watch('x'), pinned.get('x')])
  await settled(path)
  // Three times as long as the store may take, and the connections would be given up.
  const answers = await standStillOver(
    old,
    2_000,
    () => [app.incr('a'), app.pipeline().incr('a').get('a').exec(), pinned.multi().incr('b').exec()],
    () => state().inFlight > 2,
  )
  expect(await Promise.all(answers)).toEqual([
    2,
    [
      [null, 3],
      [null, '3'],
    ],
    [[null, 1]],
  ])
  await settled(path)
  expect(state().counters).toMatchObject({ primaryTimeout: 0, primaryLost: 0, shadowTimeout: 0, shadowLost: 0 })
  expect(path.notices.filter((notice) => notice.kind === 'log' && notice.line.level === 'warn')).toEqual([])
  expect(await driftBetween(old, fresh)).toEqual([])
})
