import { expect, test, vi } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { Turn } from '../../../src/base/turn.ts'
import { CommandTable } from '../../../src/command/table.ts'
import { ConfiguredStores } from '../../../src/proxy/switch/configured-stores.ts'
import { StorePlaces } from '../../../src/proxy/switch/store-places.ts'
import { configOf, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { endedAfterEach } from '../../support/running.ts'

const { running, redis } = endedAfterEach()

const commands = CommandTable.builtin()

function storesOf(): ConfiguredStores {
  return new ConfiguredStores({
    places: new StorePlaces({}, () => {}),
    commands: () => commands,
    turn: new Turn(),
    clock: new CoarseClock(),
    log: () => {},
    onState: () => {},
    onUserRefused: () => {},
    onDrain: () => {},
    run: () => ({ name: 'test', former: new Set() }),
    met: () => null,
  })
}

test('a store that stays the same is kept, a changed one is another, and one that is dropped leaves its index to nobody', () => {
  const stores = storesOf()
  const before = configOf({ stores: { a: { port: 1 }, b: { port: 2 }, c: { port: 3 } } })
  expect(stores.namesWith(before)).toEqual(['a', 'b', 'c'])
  const [a, b, c] = stores.of(before, [])
  const after = configOf({ stores: { a: { port: 1 }, b: { port: 4 } } })
  expect(stores.namesWith(after)).toEqual(['a', 'b', 'c'])
  const next = stores.of(after, [a!, b!, c!])
  expect(next[0]).toBe(a)
  expect(next[1]).not.toBe(b)
  expect(next[1]!.options.config.endpoints[0]).toMatchObject({ port: 4 })
  expect(next[2]).not.toBe(c)
  expect([next[2]!.name, next[2]!.isClosed]).toEqual(['c', true])
  for (const pipeline of [next[2]!.shared(0, 2), next[2]!.shadows.to(0), next[2]!.dedicated.borrow(0, 3)])
    expect(pipeline.state).toBe('closed')
  expect(stores.of(after, next)[2]).toBe(next[2])
  const back = stores.of(before, next)[2]!
  expect([back.name, back.isClosed]).toEqual(['c', false])
  expect(back).not.toBe(c)
})

test('indexes grow with each configuration and never change, whoever asks first', () => {
  const stores = storesOf()
  const [a] = stores.of(configOf({ stores: { a: { port: 1 } } }), [])
  const both = stores.of(configOf({ stores: { b: { port: 2 }, a: { port: 1 } } }), [a!])
  expect(both.map(({ name }) => name)).toEqual(['a', 'b'])
  expect(both[0]).toBe(a)
  const others = configOf({ stores: { c: { port: 3 }, b: { port: 2 } } })
  expect(stores.of(others, both).map(({ name }) => name)).toEqual(['a', 'b', 'c'])
  expect(stores.namesWith(others)).toEqual(['a', 'b', 'c'])
})

test('a store on which nothing is in flight is retired at once', () => {
  const stores = storesOf()
  const config = configOf({ stores: { a: { port: 1 } } })
  stores.namesWith(config)
  const [a] = stores.of(config, [])
  const pipeline = a!.shared(0, 2)
  stores.retire(a!)
  expect(stores.retiring.size).toBe(0)
  expect(pipeline.state).toBe('closed')
})

test('a store that is in use has left when it is given back, and connects nobody any more', async () => {
  const stores = storesOf()
  const [a] = stores.of(configOf({ stores: { a: { port: 1 } } }), [])
  const lent = a!.dedicated.borrow(0, 2)
  stores.retire(a!)
  let hasLeft = false
  const left = stores.left('a').then(() => {
    hasLeft = true
  })
  await stores.left('b')
  expect([hasLeft, a!.isClosed]).toEqual([false, false])
  a!.dedicated.release(lent, 0)
  await left
  expect(stores.retiring.size).toBe(0)
  expect(a!.shared(0, 2).state).toBe('closed')
})

test.each([
  [300, 400],
  [0, 6_000],
])('a store with a timeout of %d ms is waited for before it is closed, but not for ever', (timeoutMs, endMs) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] })
  try {
    const stores = storesOf()
    const [a] = stores.of(configOf({ stores: { a: { port: 1, timeoutMs } } }), [])
    a!.dedicated.borrow(0, 2)
    stores.retire(a!)
    vi.advanceTimersByTime(200)
    expect(a!.isClosed).toBe(false)
    vi.advanceTimersByTime(endMs)
    expect([a!.isClosed, stores.retiring.size]).toEqual([true, 0])
  } finally {
    vi.useRealTimers()
  }
})

test('where a store was is where it stays, and no place of another one that takes its name', () => {
  const places = new StorePlaces({}, () => {})
  const [before, after] = [1, 2].map((port) => {
    const sentinel = { port, kind: 'sentinel', sentinelName: 'main' } as const
    return configOf({ stores: { a: sentinel } }).stores['a']!
  })
  const primary = { kind: 'tcp', host: '127.0.0.1', port: 6379 } as const
  places.set('a', primary)
  places.leave(before!)
  expect(places.of(before!)).toEqual(primary)
  expect(places.of(after!)).toBe('its address is not known yet')
})

test('a connection that comes and goes does not fill the log, and one that stays away is told', async () => {
  const server = await redis()
  const beganMs = performance.now()
  const path = await startDataPath({ stores: { only: server } })
  running.push(path)
  const said = (what: string) => path.notices.filter((notice) => JSON.stringify(notice).includes(what)).length
  const admin = await RawClient.open(server.port)
  for (let i = 0; i < 10; i++) {
    // One that has just come up is among them.
    await eventually(async () => expect(await admin.ask('CLIENT', 'KILL', 'TYPE', 'normal')).not.toBe(':0\r\n'))
  }
  const losses = said('connection lost')
  expect(losses).toBeGreaterThan(0)
  expect(losses).toBeLessThanOrEqual(1 + Math.floor((performance.now() - beganMs) / 10_000))
  expect(said('store connected')).toBeLessThanOrEqual(losses + 1)
  admin.destroy()
  await server.stop()
  await eventually(() => expect(said('connection lost')).toBe(said('store connected')))
})
