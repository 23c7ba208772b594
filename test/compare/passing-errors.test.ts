import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { shadowUp } from '../support/shadow-up.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function start(): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest }> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const routes = [{ name: 'all', source: 'old', target: 'new', phase: 'shadow' as const, compare: { sample: 1 } }]
  const path = await startDataPath({ stores: { old, new: fresh }, routes, calm: 4_096 })
  running.push(old, fresh, path)
  await shadowUp(path)
  return { old, fresh, path }
}

const ENDLESS = 'while true do end'

test.each(['primary', 'shadow'] as const)(
  'a server that is busy with a script says nothing of its keys (%s)',
  async (which) => {
    const { old, fresh, path } = await start()
    const server = which === 'primary' ? old : fresh
    const app = await path.raw()
    // In another protocol than the script's: down another connection, on which the store answers by itself.
    await app.ask('HELLO', '3')
    expect(await app.ask('SET', 'k', 'v')).toBe('+OK\r\n')
    const counters = () => path.runtime.stats().routes['all']!
    const script = await RawClient.open(server.port)
    const beside = await RawClient.open(server.port)
    running.push(...[script, beside].map((client) => ({ stop: () => client.destroy() })))
    expect(await script.ask('CONFIG', 'SET', 'busy-reply-threshold', '50')).toBe('+OK\r\n')
    script.command('EVAL', ENDLESS, 0)
    await eventually(async () => expect(await beside.ask('PING')).toMatch(/^-BUSY/))
    for (let i = 0; i < 20; i++) await app.ask('GET', 'k')
    await eventually(() => expect(counters().compare.skipped.busy).toBeGreaterThan(0))
    // Longer than a difference is looked at again.
    await eventually(() => expect(counters().compare).toMatchObject({ rechecking: 0, underWay: 0 }))
    expect(await beside.ask('SCRIPT', 'KILL')).toBe('+OK\r\n')
    expect(counters().counters.mismatched).toBe(0)
    await eventually(async () => {
      await app.ask('GET', 'k')
      expect(counters().counters.matched).toBeGreaterThan(0)
    })
    expect(path.notices.filter(({ kind }) => kind === 'finding')).toEqual([])
  },
)
