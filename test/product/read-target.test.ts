import { afterEach, describe, expect, test } from 'vitest'
import type { Mismatch } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { RawClient } from '../support/raw-client.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

describe('read-target', () => {
  test('the target answers sampled reads too, and what differs is still found', async () => {
    const source = await startRedis()
    const target = await startRedis()
    running.push(source, target)
    const understudy = await startUnderstudy(`
stores: { old: { url: "${source.url}" }, new: { url: "${target.url}" } }
routes:
  - name: all
    keys: ["*"]
    source: { store: old }
    target: { store: new }
    phase: read-target
    compare: { sample: 0%, always: ["watched:{id}"] }
`)
    running.push(understudy)
    const app = understudy.client()
    await app.mset('watched:1', 'a', 'watched:2', 'b', 'other:1', 'c')
    await eventually(async () => expect(await target.client().dbsize()).toBe(3))
    await target.client().mset('watched:1', 'planted', 'other:1', 'planted')
    expect(await app.mget('watched:1', 'watched:2', 'other:1')).toEqual(['planted', 'b', 'planted'])
    await eventually(async () => {
      await app.get('watched:1')
      await app.get('watched:2')
      await app.get('other:1')
      const found = (await understudy.admin<Mismatch[]>('/api/v1/mismatches')).body
      expect(found.map(({ command, key }) => `${command} ${key}`).sort()).toEqual(['GET watched:1', 'MGET watched:1'])
    })
  })

  test('what only the source has is served from there, and copied over', async () => {
    const source = await startRedis()
    const target = await startRedis()
    running.push(source, target)
    await source.client().hset('user:1', 'name', 'x')
    const understudy = await startUnderstudy(`
stores: { old: { url: "${source.url}" }, new: { url: "${target.url}" } }
routes:
  - { name: all, keys: ["*"], source: { store: old }, target: { store: new }, phase: read-target, compare: { sample: 100% } }
`)
    running.push(understudy)
    expect(await understudy.client().hgetall('user:1')).toEqual({ name: 'x' })
    await eventually(async () => expect(await target.client().hgetall('user:1')).toEqual({ name: 'x' }))
    expect(await understudy.metrics()).toMatch(/understudy_fallback_reads_total\{route="all",reason="miss"\} 1/)
    const { routes } = (await understudy.admin<Status>('/api/v1/status')).body
    expect(routes['all']?.compare.mismatched).toBe(0)
    // Now the target has it: a client of either protocol gets the form that it would get from its Redis.
    await target.client().sadd('tags', 'a')
    await target.client().hset('user:1', 'name', 'of the target')
    for (const protocol of [2, 3]) {
      const raw = await RawClient.open(understudy.port)
      running.push({ stop: async () => raw.destroy() })
      await raw.ask('HELLO', protocol)
      expect(await raw.ask('HGETALL', 'user:1')).toBe(
        `${protocol === 3 ? '%1' : '*2'}\r\n$4\r\nname\r\n$13\r\nof the target\r\n`,
      )
      expect(await raw.ask('SMEMBERS', 'tags')).toBe(`${protocol === 3 ? '~' : '*'}1\r\n$1\r\na\r\n`)
    }
  })
})
