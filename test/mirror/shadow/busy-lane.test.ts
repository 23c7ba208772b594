import { afterEach, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { farStore } from '../../support/far-store.ts'
import { startRedis } from '../../support/redis.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const WRITES = 3_000

test.each([
  ['of another database', 1, 'store'],
  ['while clients have users of their own', 0, 'passthrough'],
] as const)(
  'a dirty key %s is copied, although another connection’s writes never cease and the primary is far away',
  async (_which, db, auth) => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    const way = await farStore(old.port, 100)
    const path = await startDataPath({
      stores: { old: { port: way.port }, new: fresh },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
      clients: { auth },
    })
    running.push(old, fresh, way, path)
    const busy = await path.raw()
    const packet = Buffer.concat(Array.from({ length: WRITES }, (_, i) => encodeCommand(['SET', `k:${i % 50}`, 'v'])))
    let isOver = false
    const load = async (): Promise<void> => {
      while (!isOver) {
        busy.send(packet)
        await busy.take(WRITES)
      }
    }
    const loaded = load()
    await fresh.client({ db }).set('list', 'is none here')
    const client = await path.raw()
    if (db > 0) await client.ask('SELECT', `${db}`)
    expect(await client.ask('LPUSH', 'list', 'x')).toBe(':1\r\n')
    const state = () => path.runtime.stats().routes['all']!
    await eventually(() => expect(state().counters.dirtied).toBeGreaterThan(0))
    const before = state().counters.primaryOk
    await eventually(() => expect(state().dirtyKeys).toBe(0))
    // It went on all the while.
    expect(state().counters.primaryOk).toBeGreaterThan(before)
    expect(state().counters.keyHolds).toBe(0)
    isOver = true
    await loaded
    expect(await fresh.client({ db }).lrange('list', 0, -1)).toEqual(['x'])
  },
)
