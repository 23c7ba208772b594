import { afterEach, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { farStore } from '../support/far-store.ts'
import { driftBetween } from '../support/keyspace.ts'
import { startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function mirrored(): Promise<{ path: DataPathUnderTest; old: any; fresh: any }> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const way = await farStore(old.port, 15)
  running.push(way)
  const path = await startDataPath({
    stores: { old: { port: way.port }, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
  running.push(path)
  return { path, old, fresh }
}

test('repro', async () => {
  const { path, old, fresh } = await mirrored()
  let going = true
  const load: Promise<void>[] = []
  for (let i = 0; i < 8; i++) {
    const raw = await path.raw()
    load.push(
      (async () => {
        while (going) {
          raw.send(Buffer.concat(Array.from({ length: 10 }, () => encodeCommand(['INCR', 'hot']))))
          await raw.take(10)
        }
      })(),
    )
    const pinned = await path.raw()
    load.push(
      (async () => {
        while (going)
          for (const args of [['WATCH', 'other'], ['MULTI'], ['INCR', 'hot'], ['EXEC']]) await pinned.ask(...args)
      })(),
    )
  }
  for (let i = 0; i < 3; i++) {
    const scripts = await path.raw()
    load.push(
      (async () => {
        while (going) {
          raw2(scripts)
          await scripts.take(5)
        }
      })(),
    )
  }
  function raw2(r: any) {
    r.send(
      Buffer.concat(
        Array.from({ length: 5 }, () =>
          encodeCommand(['EVAL', "redis.call('time') redis.call('incr', KEYS[1])", 1, 'copied']),
        ),
      ),
    )
  }
  const lines = []
  for (let i = 0; i < 24; i++) {
    await new Promise((r) => setTimeout(r, 500))
    const s = path.runtime.stats().routes['all']!
    lines.push(
      [
        s.dirtyKeys, s.hotKeys, s.counters.keyHolds, s.counters.keyHoldsInVain, Math.round(s.counters.keyHeldMs),
        Math.round(s.oldestDirtyMs),
        s.counters.copied,
        await old.client().get('hot'),
        await fresh.client().get('hot'),
        await old.client().get('copied'),
        await fresh.client().get('copied'),
      ].join(' '),
    )
  }
  going = false
  await Promise.all(load)
  await settled(path)
  console.log(lines.join('\n'))
  expect(await driftBetween(old, fresh)).toEqual([])
}, 60000)
