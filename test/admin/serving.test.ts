import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Readiness } from '../../src/admin/control.ts'
import { servingOf } from '../../src/admin/serving.ts'
import type { Status } from '../../src/admin/status.ts'
import { steadyNowMs } from '../../src/base/clock.ts'
import type { ClusterView } from '../../src/upstream/cluster-watch.ts'
import type { Health } from '../../src/upstream/health.ts'
import { startCluster } from '../support/cluster.ts'
import { configOf, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { mirroredRoute, startMigration } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** The probe gives up after five seconds. */
const PATIENCE = { timeoutMs: 30_000 }
const SERVES = { down: null, partly: null }

async function readiness(understudy: UnderstudyProcess): Promise<Readiness & { status: number }> {
  const { status, body } = await understudy.admin<Readiness>('/readyz')
  return { ...body, status }
}

async function applicationIn(understudy: UnderstudyProcess): Promise<Status['application']> {
  return (await understudy.admin<Status>('/api/v1/status')).body.application
}

describe('a store that is a primary', () => {
  const sight = (
    lastReadMs: number,
    health: Partial<Health>,
    nodes: readonly Partial<ClusterView['nodes'][0]>[] = [],
  ) =>
    servingOf('old', {
      config: configOf({ stores: { old: { port: 1, ...(nodes.length === 0 ? {} : { kind: 'cluster' }) } } }),
      stats: { stores: { old: { state: 'up', error: null, sameAs: null, lastReadMs } } } as never,
      health: new Map([['old', health as Health]]),
      sentinels: new Map(),
      clusters: new Map(nodes.length === 0 ? [] : [['old', { nodes, slotsCovered: 16_384, error: 'so' } as never]]),
    })

  test('serves while its connections bring answers, whatever its probe says', () => {
    const silent = { up: false, error: 'no answer within 5000 ms', silentSinceMs: 5 }
    expect(sight(4, silent)).toEqual({ down: 'does not answer: no answer within 5000 ms', partly: null })
    expect(sight(6, silent)).toEqual(SERVES)
    expect(sight(4, { ...silent, error: 'NOAUTH', silentSinceMs: null })).toEqual(SERVES)
  })

  test('says why it is not connected: in the words of its connection, else of its probe', () => {
    const password = 'old'
    const away = (error: string | null, health: Partial<Health>, auth?: 'passthrough') => {
      const config = configOf({ stores: { old: { port: 1, password } }, ...(auth && { clients: { auth } }) })
      const stats = { stores: { old: { state: 'connecting', error, sameAs: null, lastReadMs: 0 } } } as never
      const views = { health: new Map([['old', health as Health]]), sentinels: new Map(), clusters: new Map() }
      return servingOf('old', { config, stats, ...views }).down
    }
    const expired = 'its certificate has expired: renew it on the store'
    expect(away(expired, { up: false, error: 'connection closed' })).toBe(`is not connected: ${expired}`)
    expect(away(null, { up: false, error: expired })).toBe(`is not connected: ${expired}`)
    expect(away(null, { up: true, error: 'it does not tell its clock' })).toBe('is not connected')
    expect(away(null, { up: false, error: 'NOAUTH Authentication required.' }, 'passthrough')).toBe('is not connected')
    const advice = "if the password was changed, change stores.old.password or its file, then run 'understudy reload'"
    for (const said of ['WRONGPASS invalid password', 'auth was refused: ERR invalid password'])
      expect(away(`${said}.`, {})).toBe(`is not connected: ${said}: ${advice}`)
  })

  test('serves a part, if it is a cluster, as long as a master is up', () => {
    const nodes = [{ role: 'master', up: false } as const, { role: 'replica', up: true } as const]
    expect(sight(0, {}, nodes)).toEqual({ down: 'does not answer: so', partly: null })
    expect(sight(0, { silentSinceMs: 5 }, [...nodes, { role: 'master', up: true }])).toEqual({
      down: null,
      partly: 'so',
    })
  })
})

test('what a store has answered counts on whichever of its connections it came', async () => {
  const store = await startRedis()
  const path = await startDataPath({ stores: { store }, listen: { connections: 'dedicated' } })
  running.push(store, path)
  const lastReadMs = () => path.runtime.stats().stores['store']!.lastReadMs
  for (let i = 0; i < 2; i++) {
    const client = await path.raw()
    await client.ask('PING')
    const beforeMs = steadyNowMs()
    await eventually(async () => {
      await client.ask('PING')
      expect(lastReadMs()).toBeGreaterThan(beforeMs + 10)
    })
    const heardMs = lastReadMs()
    expect(heardMs).toBeLessThan(steadyNowMs() + 10)
    client.socket.destroy()
    await eventually(() => expect(path.runtime.stats().clients).toBe(0))
    expect(lastReadMs()).toBeGreaterThanOrEqual(heardMs - 1)
  }
})

test.each([
  ['', {}],
  [', also without a timeout', { timeout: 0 }],
])(
  'a primary that hangs while nobody asks is not ready, and is when it goes on%s',
  async (_, settings) => {
    const [source, target] = [await startRedis(), await startRedis()]
    const understudy = await startUnderstudy({
      stores: { old: { url: source.url, ...settings }, new: { url: target.url, ...settings } },
      routes: [mirroredRoute()],
    })
    running.push(source, target, understudy)
    await understudy.client().set('k', 'v')
    source.pause()
    const says = /^the primary of route 'all', store 'old', does not answer: no answer within 5000 ms$/
    await eventually(
      async () =>
        expect(await readiness(understudy)).toMatchObject({ status: 503, reasons: [expect.stringMatching(says)] }),
      PATIENCE,
    )
    expect(await applicationIn(understudy)).toEqual({
      served: false,
      reasons: ['the primary of every route does not answer: no answer within 5000 ms'],
    })
    source.resume()
    await eventually(async () => expect(await readiness(understudy)).toMatchObject({ status: 200, reasons: [] }))
    target.pause()
    await eventually(async () => {
      const { stores, application } = (await understudy.admin<Status>('/api/v1/status')).body
      expect(stores['new']).toMatchObject({ up: false, error: 'no answer within 5000 ms' })
      expect(application).toEqual({ served: true, reasons: [] })
    }, PATIENCE)
    target.resume()
  },
  90_000,
)

test('a primary whose password was changed says so, and what to do', async () => {
  const source = await startRedis({ args: ['--requirepass', 'before'], password: 'before' })
  running.push(source)
  const file = join(mkdtempSync(join(tmpdir(), 'password-')), 'password')
  onTestFinished(() => rmSync(dirname(file), { recursive: true }))
  writeFileSync(file, 'before')
  const understudy = await startUnderstudy({
    stores: { old: { url: `redis://${source.host}:${source.port}`, password: { file } } },
    routes: [{ name: 'all', keys: ['*'], source: { store: 'old' } }],
  })
  running.push(understudy)
  await understudy.client().set('k', 'v')
  const admin = source.client()
  await admin.config('SET', 'requirepass', 'after')
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  const why =
    /is not connected: (auth was refused: )?WRONGPASS .*: if the password was changed, .* then run 'understudy reload'$/
  await eventually(async () => {
    expect(await readiness(understudy)).toMatchObject({ status: 503, reasons: [expect.stringMatching(why)] })
    expect((await applicationIn(understudy)).reasons).toEqual([expect.stringMatching(why)])
  }, PATIENCE)
  writeFileSync(file, 'after')
  expect(await understudy.admin('/api/v1/config/reload', { method: 'POST' })).toMatchObject({ status: 200 })
  await eventually(
    async () => expect(await readiness(understudy)).toMatchObject({ status: 200, reasons: [] }),
    PATIENCE,
  )
}, 60_000)

test('a primary that hangs under load is not ready before its connection is given up', async () => {
  const migration = await startMigration()
  running.push(migration)
  const { understudy, source } = migration
  const app = understudy.client()
  await app.set('k', 'v')
  source.pause()
  const writes = Array.from({ length: 10 }, () => app.set('k', 'v').catch(() => {}))
  await eventually(async () => {
    const { status, reasons } = await readiness(understudy)
    expect({ status, reasons }).toEqual({
      status: 503,
      reasons: ["the primary of route 'all', store 'old', does not answer: no answer within 5000 ms"],
    })
  }, PATIENCE)
  source.resume()
  await Promise.all(writes)
}, 60_000)

test('a cluster without one node that is up is not ready; with one it is, and says what is away', async () => {
  const cluster = await startCluster({ masters: 3 })
  running.push(cluster)
  const understudy = await startUnderstudy({
    stores: { old: { url: cluster.url } },
    routes: [{ name: 'all', keys: ['*'], source: { store: 'old' } }],
  })
  running.push(understudy)
  await eventually(async () => {
    const { stores } = (await understudy.admin<Status>('/api/v1/status')).body
    expect(stores['old']!.cluster?.nodes).toHaveLength(3)
  })
  const [first, ...others] = cluster.servers
  await first!.kill9()
  await eventually(
    async () =>
      expect(await readiness(understudy)).toMatchObject({
        status: 200,
        degraded: [expect.stringMatching(/^store 'old': 1 of 3 masters does not answer/)],
      }),
    PATIENCE,
  )
  for (const server of others) await server.kill9()
  await eventually(
    async () =>
      expect(await readiness(understudy)).toMatchObject({
        status: 503,
        reasons: [
          expect.stringMatching(
            /^the primary of route 'all', store 'old', does not answer: 3 of 3 masters do not answer/,
          ),
        ],
        degraded: [],
      }),
    PATIENCE,
  )
  expect((await applicationIn(understudy)).reasons).toEqual([
    expect.stringMatching(/^the primary of every route does not answer: 3 of 3 masters do not answer/),
  ])
}, 240_000)
