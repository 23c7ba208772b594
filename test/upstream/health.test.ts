import { afterEach, expect, test } from 'vitest'
import { steadyNowMs } from '../../src/base/clock.ts'
import { versionText } from '../../src/base/server-version.ts'
import { HealthProbe } from '../../src/upstream/health.ts'
import { configOf, type StoreOptions } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { FakeStore } from '../support/fake-store.ts'
import { startRedis } from '../support/redis.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Told = ConstructorParameters<typeof HealthProbe>

/** Of a store, begun by the caller. `facts`, `changed`: who is told. */
function probeOf(store: StoreOptions, facts: Told[2] = () => {}, changed: Told[3] = () => {}): HealthProbe {
  const config = configOf({ stores: { old: store } }).stores['old']!
  const probe = new HealthProbe(config, config.endpoints[0]!, facts, changed)
  running.push(probe)
  return probe
}

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
  const told: { offsetMs: number; jumped: boolean }[] = []
  await probeOf(store, ({ clockOffsetMs }, jumped) => told.push({ offsetMs: clockOffsetMs!, jumped })).start()
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
  const probeAs = (settings: object) =>
    probeOf({ port: redis.port, ...settings }, undefined, ({ up }) => changes.push(up))
  const refused = probeAs(store)
  await refused.start()
  const wantsLogin = reason.source === 'NOAUTH'
  expect(refused.health).toMatchObject({ up: false, error: expect.stringMatching(reason), wantsLogin })
  expect(changes).toEqual([])
  const right = probeAs({ database: 3, ...('args' in server ? { password: 'other' } : {}) })
  await right.start()
  expect(right.health).toMatchObject({ up: true, error: null, version: expect.stringMatching(/^\d/) })
})

const UNKNOWN_COMMAND = '-ERR unknown command\r\n'
const NOT_ALLOWED = "-NOPERM User app has no permissions to run the 'x' command\r\n"

test.each([
  [
    'no TIME',
    { TIME: UNKNOWN_COMMAND },
    { clockOffsetMs: null, version: '7.2.0' },
    /^its clock is not known.*\(ERR unknown command\)$/,
  ],
  [
    'no right to TIME',
    { TIME: NOT_ALLOWED },
    { clockOffsetMs: null, version: '7.2.0' },
    /^its clock .*\(NOPERM User app[^)]*\)$/,
  ],
  [
    'no INFO',
    { INFO: UNKNOWN_COMMAND },
    { version: null, role: null },
    /^its version and role are not known \(ERR unknown command\)$/,
  ],
  [
    'neither',
    { INFO: NOT_ALLOWED, TIME: NOT_ALLOWED },
    { clockOffsetMs: null, version: null },
    /^its clock .*; its version .*$/,
  ],
  ['a number for TIME', { TIME: ':1\r\n' }, { clockOffsetMs: null }, /\(what it answers to TIME is no reply to it\)$/],
  [
    'words for TIME',
    { TIME: '*2\r\n$3\r\nabc\r\n$1\r\n0\r\n' },
    { clockOffsetMs: null },
    /\(what it answers to TIME is no reply to it\)$/,
  ],
  [
    'nothing for TIME and INFO',
    { TIME: '$-1\r\n', INFO: '*0\r\n' },
    { clockOffsetMs: null, version: null },
    /TIME is no reply to it.*INFO is no reply to it/,
  ],
])(
  'a store that has %s is up, and what it does not tell is said',
  async (_, answers: Readonly<Record<string, string>>, known, error) => {
    const whileAsked: boolean[] = []
    const store = await FakeStore.start(([name]) => {
      whileAsked.push(probe?.health.up ?? false)
      return (
        answers[name!] ??
        { TIME: '*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n', INFO: '$19\r\nredis_version:7.2.0\r\n' }[name!] ??
        '+OK\r\n'
      )
    })
    running.push(store)
    const facts: unknown[] = []
    const changes: unknown[] = []
    const probe = probeOf(
      store,
      (health) => facts.push(health.version),
      ({ up }) => changes.push(up),
    )
    await probe.start()
    expect(probe.health).toMatchObject({ up: true, ...known, error: expect.stringMatching(error) })
    // The data path waits for this.
    expect(facts).toHaveLength(1)
    const { length } = whileAsked
    expect(whileAsked).toEqual(whileAsked.map(() => false))
    await eventually(() => expect(whileAsked.length).toBeGreaterThan(length + 1))
    expect(whileAsked.slice(length)).not.toContain(false)
    expect(changes).toEqual([true])
  },
)

test('what a store has told of itself is not known any more when it does not tell it any more', async () => {
  let info = '$33\r\nredis_version:7.2.0\r\nrole:master\r\n\r\n'
  let ping = '+PONG\r\n'
  const store = await FakeStore.start(([name]) => (name === 'INFO' ? info : name === 'TIME' ? ping : '+OK\r\n'))
  running.push(store)
  const probe = probeOf(store)
  await probe.start()
  expect(probe.health).toMatchObject({ up: true, version: '7.2.0', role: 'master' })
  // Away for a moment, so that it is asked again.
  ping = '-LOADING Redis is loading the dataset in memory\r\n'
  await eventually(() => expect(probe.health.up).toBe(false))
  info = NOT_ALLOWED
  ping = UNKNOWN_COMMAND
  await eventually(() => expect(probe.health).toMatchObject({ up: true, version: null, role: null }))
})

test('of a Valkey both are known, its own version and the one of Redis that it stands for', async () => {
  const store = await FakeStore.start(([name]) =>
    name === 'INFO' ? '$43\r\nredis_version:7.2.4\r\nvalkey_version:8.1.1\r\n\r\n' : '+OK\r\n',
  )
  running.push(store)
  const probe = probeOf(store)
  await probe.start()
  expect(probe.health).toMatchObject({ version: '7.2.4', valkeyVersion: '8.1.1' })
  expect(versionText(probe.health)).toBe('valkey 8.1.1')
})

test('that a store has become a replica is seen by the next probe, without asking it for everything', async () => {
  const asked: string[] = []
  let role = 'master'
  const store = await FakeStore.start((args) => {
    asked.push(args.join(' '))
    if (args[0] !== 'INFO') return '+OK\r\n'
    const info = args[1] === 'replication' ? `role:${role}\r\n` : `redis_version:7.2.0\r\nrole:${role}\r\n`
    return `$${info.length}\r\n${info}\r\n`
  })
  running.push(store)
  const probe = probeOf(store)
  await probe.start()
  expect(probe.health).toMatchObject({ version: '7.2.0', role: 'master' })
  role = 'slave'
  asked.length = 0
  await eventually(() => expect(probe.health).toMatchObject({ version: '7.2.0', role: 'slave' }))
  expect(asked.filter((words) => words === 'TIME')).toHaveLength(1)
  expect(asked).not.toContain('INFO')
})

test('a store that serves nobody at the moment is not up, whatever it says first, and the reason is the last one', async () => {
  let said = '-LOADING Redis is loading the dataset in memory\r\n'
  const store = await FakeStore.start(([name]) => (name === 'INFO' ? said : '+OK\r\n'))
  running.push(store)
  const probe = probeOf(store)
  await probe.start()
  expect(probe.health).toMatchObject({ up: false, error: expect.stringMatching(/^LOADING /) })
  said = UNKNOWN_COMMAND
  await eventually(() =>
    expect(probe.health).toMatchObject({ up: true, error: expect.stringMatching(/version and role/) }),
  )
  await store.stop()
  await eventually(() =>
    expect(probe.health).toMatchObject({ up: false, error: expect.stringMatching(/ECONNREFUSED/) }),
  )
})
