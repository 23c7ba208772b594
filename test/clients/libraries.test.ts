import { RedisStore } from 'connect-redis'
import type { SessionData } from 'express-session'
import { Redis } from 'ioredis'
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import { createClient } from 'redis'
import Redlock from 'redlock'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { PHASES, type Setting, startSetting } from './setting.ts'

describe.each(PHASES)('in %s', (phase) => {
  let setting: Setting
  beforeAll(async () => {
    setting = await startSetting(phase)
  })
  afterAll(async () => {
    await setting.stop()
  })

  test('redlock: one holder at a time, over many takers', async () => {
    const clients = Array.from({ length: 4 }, () => new Redis({ host: setting.host, port: setting.port }))
    let holders = 0
    let most = 0
    try {
      await clients[0]!.del('counted')
      await Promise.all(
        clients.map(async (client) => {
          const locks = new Redlock([client], { retryCount: 10_000, retryDelay: 5 })
          for (let round = 0; round < 5; round++) {
            let lock = await locks.lock('lock:resource', 60_000)
            most = Math.max(most, ++holders)
            await client.incr('counted')
            lock = await lock.extend(60_000)
            holders--
            await lock.unlock()
          }
        }),
      )
      expect(most).toBe(1)
      // A read right behind writes of several connections may not be compared.
      await eventually(async () => {
        expect(await clients[0]!.get('counted')).toBe('20')
        if (phase === 'shadow') expect(setting.path.runtime.stats().routes['all']!.counters.compared).toBeGreaterThan(0)
      })
    } finally {
      for (const client of clients) client.disconnect()
    }
    await setting.verify()
  })

  test('connect-redis: sessions are kept, touched, listed and destroyed', async () => {
    const client = createClient({ url: `redis://127.0.0.1:${setting.port}` })
    await client.connect()
    try {
      const store = new RedisStore({ client, prefix: 'sess:' })
      const session = (user: string): SessionData => ({ cookie: { originalMaxAge: 60_000 }, user })
      for (let i = 0; i < 20; i++) await store.set(`id${i}`, session(`user ${i}`))
      expect(await store.get('id7')).toMatchObject({ user: 'user 7' })
      await store.touch('id7', session('user 7'))
      expect(await store.length()).toBe(20)
      expect((await store.ids()).sort()).toHaveLength(20)
      expect(await store.all()).toHaveLength(20)
      await store.destroy('id7')
      expect(await store.get('id7')).toBeFalsy()
      await setting.verify()
      await store.clear()
      expect(await store.length()).toBe(0)
    } finally {
      client.destroy()
    }
    await setting.verify()
  })

  test('rate-limiter-flexible: as many as allowed pass, in ways of its own and by script', async () => {
    const client = new Redis({ host: setting.host, port: setting.port })
    try {
      const limiter = new RateLimiterRedis({ storeClient: client, points: 10, duration: 60, blockDuration: 30 })
      const outcomes = await Promise.allSettled(Array.from({ length: 25 }, () => limiter.consume('somebody')))
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
      const refused = outcomes.find((outcome) => outcome.status === 'rejected')
      expect(refused?.status === 'rejected' && refused.reason).toBeInstanceOf(RateLimiterRes)
      expect((await limiter.get('somebody'))!.consumedPoints).toBeGreaterThan(10)
      await limiter.delete('somebody')
      await limiter.consume('somebody')
    } finally {
      client.disconnect()
    }
    await setting.verify()
  })
})
