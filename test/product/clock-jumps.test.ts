import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy } from '../support/understudy.ts'
import { Writer } from '../support/write-load.ts'

/** `libfaketime.so.1` (Debian: libfaketime): FAKETIME_LIBRARY=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 vitest run ... */
const LIBRARY = process.env['FAKETIME_LIBRARY']

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

test.skipIf(LIBRARY === undefined)(
  "whoever sets the machine's clock by an hour, forwards or backwards, under load: no time to live is wrong, nothing is lost, nothing is marked or logged in masses",
  async () => {
    const dir = mkdtempSync(join(tmpdir(), 'clock-'))
    running.push({ stop: async () => rmSync(dir, { recursive: true, force: true }) })
    const clock = join(dir, 'clock')
    const set = (offset: string): void => writeFileSync(clock, `${offset}\n`)
    set('+0')
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    running.push(old, fresh)
    const understudy = await startUnderstudy(
      {
        stores: { old: { url: old.url, timeout: '500ms' }, new: { url: fresh.url, timeout: '500ms' } },
        routes: [{ name: 'all', keys: ['*'], source: 'old', target: 'new', phase: 'shadow' }],
      },
      {
        env: { LD_PRELOAD: LIBRARY!, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_NO_CACHE: '1', DONT_FAKE_MONOTONIC: '1' },
      },
    )
    running.push(understudy)
    const status = async (): Promise<Status> => (await understudy.admin<Status>('/api/v1/status')).body
    const settled = () =>
      eventually(async () => {
        const { mirror } = (await status()).routes['all']!
        expect(mirror).toMatchObject({ backlog: 0, dirtyKeys: 0, needsVerify: false })
      })
    const writer = await Writer.open(understudy.port, 3, { seed: 1, prefixes: [''] })
    const drift = () => driftBetween(old, fresh, { databases: [0, 1], ttlSlackMs: 1_000 })
    const app = understudy.client()
    for (const offset of ['+3600', '-3600', '+0', '+3600']) {
      await writer.run(40)
      fresh.pause()
      await writer.run(10)
      set(offset)
      await app.set('after', offset, 'EX', 100)
      await app.set('kept', offset, 'PX', 1_000_000)
      await writer.run(10)
      fresh.resume()
      await writer.run(40)
      await settled()
      expect(await drift()).toEqual([])
      expect(await fresh.client().ttl('after')).toBeGreaterThan(50)
      expect(await fresh.client().ttl('after')).toBeLessThan(101)
      expect((await status()).durability.intact).toBe(true)
    }
    // What was being written, and keys that are dirty, outlive the process whatever the clock says.
    fresh.pause()
    for (let i = 0; i < 100; i++) await app.set(`dirty:${i}`, i, 'EX', 500)
    await understudy.kill9()
    set('-3600')
    await understudy.restart()
    fresh.resume()
    await settled()
    expect(await drift()).toEqual([])
    expect(await fresh.client().exists(...Array.from({ length: 100 }, (_, i) => `dirty:${i}`))).toBe(100)
    writer.close()
    const times = [...understudy.stdout.matchAll(/"time":"([^"]+)"/g)].map(([, time]) => Date.parse(time!))
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(3_500_000)
    expect(understudy.stdout.split('\n').length).toBeLessThan(60)
  },
  90_000,
)
