import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Endpoint, StoreConfig } from '../../../src/config/config.ts'
import { SentinelWatch } from '../../../src/upstream/sentinel/sentinel-watch.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { freePort } from '../../support/ports.ts'
import { PRIMARY_NAME, type SentinelGroup, startSentinelGroup } from '../../support/sentinels.ts'

let group: SentinelGroup
const watches: SentinelWatch[] = []

beforeAll(async () => {
  group = await startSentinelGroup({ password: 'of-the-store', sentinelPassword: 'of-the-sentinels' })
}, 180_000)
afterAll(() => group?.stop())
afterEach(() => {
  for (const watch of watches.splice(0)) watch.stop()
})

const address = (port: number): Endpoint => ({ kind: 'tcp', host: '127.0.0.1', port })

function watching(changes: Partial<StoreConfig> = {}): { watch: SentinelWatch; moves: (Endpoint | null)[][] } {
  const store = configOf({ stores: { only: { port: 1 } } }).stores['only']!
  const moves: (Endpoint | null)[][] = []
  const watch = new SentinelWatch({
    store: {
      ...store,
      kind: 'sentinel',
      endpoints: group.sentinels.map(({ port }) => address(port)),
      sentinelName: PRIMARY_NAME,
      sentinel: { username: null, password: 'of-the-sentinels', tls: null },
      password: 'of-the-store',
      ...changes,
    },
    onPrimary: (to, from) => moves.push([from, to]),
    onChange: () => {},
  })
  watches.push(watch)
  return { watch, moves }
}

describe('a primary is found', () => {
  test('by its name, with the credentials of the Sentinels and of the store', async () => {
    const { watch, moves } = watching()
    await watch.start()
    const { port } = await group.primary()
    expect(watch.primary).toEqual(address(port))
    expect(moves).toEqual([[null, address(port)]])
    await eventually(() =>
      expect(watch.view).toEqual({
        name: PRIMARY_NAME,
        primary: `127.0.0.1:${port}`,
        sentinels: 3,
        answering: 3,
        failovers: 0,
        lastFailoverAt: null,
        error: null,
      }),
    )
  })

  test('when only one of the Sentinels can be reached', async () => {
    const [dead, unused] = [await freePort(), await freePort()]
    const { watch } = watching({ endpoints: [dead, group.sentinels[1]!.port, unused].map(address) })
    await watch.start()
    expect(watch.primary).toEqual(address((await group.primary()).port))
    await eventually(() => expect(watch.view).toMatchObject({ sentinels: 3, answering: 1, error: null }))
  })
})

describe('it is said why there is no primary, where', () => {
  test('no Sentinel can be reached', async () => {
    const [one, two] = [await freePort(), await freePort()]
    const { watch } = watching({ endpoints: [one, two].map(address) })
    await watch.start()
    expect(watch.primary).toBeNull()
    expect(watch.view.error).toBe(
      `no Sentinel names the primary (127.0.0.1:${one}: connect ECONNREFUSED 127.0.0.1:${one}: nobody listens there; 127.0.0.1:${two}: connect ECONNREFUSED 127.0.0.1:${two}: nobody listens there)`,
    )
  })

  test('the name is unknown to them', async () => {
    const { watch } = watching({ sentinelName: 'another' })
    await watch.start()
    await eventually(() => expect(watch.view).toMatchObject({ primary: null, answering: 3 }))
    expect(watch.view.error).toContain(`it knows no primary called 'another': it watches ${PRIMARY_NAME}`)
  })

  test.each([null, 'wrong'])('their password is %s', async (password) => {
    const { watch } = watching({ sentinel: { username: null, password, tls: null } })
    await watch.start()
    expect(watch.primary).toBeNull()
    expect(watch.view.error).toContain('it refuses the login: look at stores.only.sentinel.password')
    expect(watch.view.error).not.toContain('of-the')
  })

  test('the store does not let us in', async () => {
    const { watch } = watching({ password: 'wrong' })
    await watch.start()
    const { port } = await group.primary()
    expect(watch.primary).toBeNull()
    expect(watch.view.error).toContain(`the Sentinels name 127.0.0.1:${port} as the primary, and it cannot be reached:`)
  })
})

test('a failover is followed at once, and a Sentinel that has missed it is not', async () => {
  const { watch, moves } = watching()
  await watch.start()
  const old = await group.primary()
  // It is cut off from the others, and answers what it knew.
  group.sentinels[2]!.pause()
  const now = await group.failover()
  await eventually(() => expect(watch.primary).toEqual(address(now.port)))
  expect(moves).toEqual([
    [null, address(old.port)],
    [address(old.port), address(now.port)],
  ])
  expect(watch.view).toMatchObject({ failovers: 1, primary: `127.0.0.1:${now.port}` })
  expect(Date.parse(watch.view.lastFailoverAt!)).toBeGreaterThan(Date.now() - 60_000)
  group.sentinels[2]!.resume()
  await eventually(() => expect(watch.view.answering).toBe(3))
  expect(moves).toHaveLength(2)
})

test('the number of a failover is told; Sentinels that were set up anew and name the same primary tell of none', async () => {
  const { port } = await group.failover()
  for (const i of group.sentinels.keys()) await eventually(async () => expect((await group.primary(i)).port).toBe(port))
  const { watch, moves } = watching()
  await watch.start()
  await eventually(() => expect(watch.view.answering).toBe(3))
  expect(watch.epoch).toBeGreaterThan(0)
  // All of them first: one that knows tells the others.
  for (const { client } of group.sentinels) await client.call('SENTINEL', 'REMOVE', PRIMARY_NAME)
  for (const { client } of group.sentinels) {
    await client.call('SENTINEL', 'MONITOR', PRIMARY_NAME, '127.0.0.1', port, 2)
    await client.call('SENTINEL', 'SET', PRIMARY_NAME, 'auth-pass', 'of-the-store')
  }
  await eventually(() => expect(watch.epoch).toBe(0))
  expect(watch.view.failovers).toBe(0)
  expect(moves).toEqual([[null, address(port)]])
})
