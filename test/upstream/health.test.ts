import { afterEach, expect, test } from 'vitest'
import { steadyNowMs } from '../../src/base/clock.ts'
import { HealthProbe } from '../../src/upstream/health.ts'
import { configOf } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { FakeStore } from '../support/fake-store.ts'
import { startRedis } from '../support/redis.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** A store whose clock is `offsetMs` from ours, and that takes `delayMs` to tell. */
async function clockStore(clock: { offsetMs: number; delayMs: number }) {
  const store = await FakeStore.start((args, socket) => {
    if (args[0] === 'INFO') return '$19\r\nredis_version:7.2.0\r\n'
    if (args[0] !== 'TIME') return '+OK\r\n'
    const nowMs = steadyNowMs() + clock.delayMs / 2 + clock.offsetMs
    const words = [String(Math.floor(nowMs / 1000)), String(Math.floor(nowMs % 1000) * 1000)]
    const reply = `*2\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
    setTimeout(() => socket.write(reply), clock.delayMs)
    return null
  })
  running.push(store)
  const config = configOf({ stores: { old: { port: store.port } } }).stores['old']!
  const told: { offsetMs: number; jumped: boolean }[] = []
  const probe = new HealthProbe(
    config,
    config.endpoints[0]!,
    ({ clockOffsetMs }, jumped) => told.push({ offsetMs: clockOffsetMs!, jumped }),
    () => {},
  )
  running.push(probe)
  await probe.start()
  return told
}

test.each([0, 300])(
  'that somebody has set the clock of a store is told, also where it takes %i ms to answer',
  async (delayMs) => {
    const clock = { offsetMs: 0, delayMs }
    const told = await clockStore(clock)
    await eventually(() => expect(told.length).toBeGreaterThan(0))
    clock.offsetMs = 3_600_000
    await eventually(() => expect(told.some(({ offsetMs }) => offsetMs > 3_590_000)).toBe(true))
    clock.offsetMs = 0
    await eventually(() => expect(Math.abs(told.at(-1)!.offsetMs)).toBeLessThan(10_000))
    expect(told.filter(({ jumped }) => jumped)).toHaveLength(2)
  },
)

test('a clock that is read late has not been set', async () => {
  const clock = { offsetMs: 0, delayMs: 0 }
  const told = await clockStore(clock)
  const before = told.length
  clock.offsetMs = 200
  await eventually(() => expect(told.length).toBeGreaterThan(before))
  expect(told.filter(({ jumped }) => jumped)).toEqual([])
})

test.each([
  ['that has no password', {}, { password: 'secret' }, /AUTH/],
  [
    'with another password',
    { args: ['--requirepass', 'other'], password: 'other' },
    { password: 'secret' },
    /WRONGPASS/,
  ],
  ['that wants one', { args: ['--requirepass', 'other'], password: 'other' }, {}, /NOAUTH/],
  ['without that database', {}, { database: 99 }, /out of range/],
])('a store %s is not up, and is when it lets us in', async (_, server, store, reason) => {
  const redis = await startRedis(server)
  running.push(redis)
  const changes: boolean[] = []
  const probeOf = (settings: object) => {
    const config = configOf({ stores: { old: { port: redis.port, ...settings } } }).stores['old']!
    const probe = new HealthProbe(
      config,
      config.endpoints[0]!,
      () => {},
      ({ up }) => changes.push(up),
    )
    running.push(probe)
    return probe
  }
  const refused = probeOf(store)
  await refused.start()
  expect(refused.health).toMatchObject({ up: false, error: expect.stringMatching(reason) })
  expect(changes).toEqual([])
  const right = probeOf({ database: 3, ...('args' in server ? { password: 'other' } : {}) })
  await right.start()
  expect(right.health).toMatchObject({ up: true, error: null, version: expect.stringMatching(/^\d/) })
})
