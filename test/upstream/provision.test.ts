import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Config, Endpoint } from '../../src/config/config.ts'
import type { Log } from '../../src/observability/log.ts'
import { ProvisionedStores } from '../../src/upstream/provision.ts'
import { configOf, type StoreOptions } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { PRIMARY_NAME, type SentinelGroup, startSentinelGroup } from '../support/sentinels.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log

let group: SentinelGroup
let dir: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'understudy-test-'))
  writeFileSync(join(dir, 'file'), '')
  group = await startSentinelGroup()
}, 180_000)
afterAll(async () => {
  await group?.stop()
  await rm(dir, { recursive: true })
})

/** `sentinels`: how many of the group it names. */
function configWith(sentinels: number, more: Record<string, StoreOptions> = {}): Config {
  const endpoints = group.sentinels
    .slice(0, sentinels)
    .map(({ port }): Endpoint => ({ kind: 'tcp', host: '127.0.0.1', port }))
  const followed = { port: 1, kind: 'sentinel', endpoints, sentinelName: PRIMARY_NAME } as const
  return configOf({
    stores: {
      followed: { ...followed, sentinel: { username: null, password: null, tls: null } },
      plain: { port: 2 },
      ...more,
    },
  })
}

test('what is provided in vain leaves the stores in force where they are, and followed', async () => {
  const places: [store: string, place: Endpoint | string, failedOver: boolean][] = []
  const stores = new ProvisionedStores(log, {
    onFacts() {},
    onPlace: (store, place, failedOver) => places.push([store, place, failedOver]),
    left: async () => {},
  })
  try {
    const inForce = configWith(1)
    await stores.provide(inForce)
    await stores.settle(inForce)
    const refused = configWith(3, {
      plain: { port: 3 },
      own: { port: 4, kind: 'managed', endpoints: [], dataDir: join(dir, 'file', 'inside') },
    })
    await expect(stores.provide(refused)).rejects.toThrow('dataDir')
    const { port } = await group.primary()
    expect(stores.endpointsOf(inForce)).toMatchObject({ followed: { port }, plain: { port: 2 } })
    expect(stores.endpointsOf(refused)).toMatchObject({ plain: { port: 3 } })
    expect(stores.endpointIn(refused, 'own')).toBeNull()
    // It is called off.
    await stores.settle(inForce)
    expect(stores.sentinels.get('followed')).toMatchObject({ sentinels: 1 })
    const now = await group.failover()
    await eventually(() => expect(places.at(-1)).toMatchObject(['followed', { port: now.port }, true]))
  } finally {
    stores.stopProbes()
    await stores.stopServers()
  }
}, 180_000)
