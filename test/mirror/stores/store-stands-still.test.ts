import { afterEach, expect, test } from 'vitest'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const KEYS = Array.from({ length: 200 }, (_, i) => `set:${i}`)

for (const which of ['primary', 'shadow'] as const) {
  test(`a ${which} that stands still in the middle of copies, and goes on when its connections have long been given up: no write that was answered is lost, and both stores become equal`, async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    running.push(old, fresh)
    const path = await startDataPath({
      stores: { old, new: fresh },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
      store: { timeoutMs: 200 },
    })
    running.push(path)
    const route = () => path.runtime.stats().routes['all']!
    const store = which === 'primary' ? old : fresh
    const stateOf = () => path.runtime.stats().stores[which === 'primary' ? 'old' : 'new']!.state
    const app = path.client()
    const sure = new Map<string, string[]>(KEYS.map((key) => [key, []]))
    let member = 0
    // Unlike counters, sets do not give it away when a write is missing.
    const write = async (): Promise<void> => {
      const name = `m${member++}`
      await Promise.allSettled(KEYS.map((key) => app.sadd(key, name).then(() => sure.get(key)!.push(name))))
    }
    await write()
    // What comes before its first connection would only wait for that.
    await settled(path)
    // Every key is dirty: what it last became is in no store but the primary.
    fresh.pause()
    // Once is enough, unless this machine pauses for longer than the timeout: the primary is given up then, too, and refuses what comes.
    await eventually(
      async () => {
        await write()
        expect(route().dirtyKeys).toBe(KEYS.length)
      },
      { intervalMs: 250 },
    )
    fresh.resume()
    await eventually(() => expect(route().dirtyKeys).toBeLessThan(KEYS.length))
    store.pause()
    const written = write()
    await eventually(() => expect(stateOf()).not.toBe('up'))
    await written
    store.resume()
    await write()
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
    for (const key of KEYS) {
      const members = await old.client().smembers(key)
      expect(sure.get(key)!.filter((name) => !members.includes(name))).toEqual([])
    }
  })
}
