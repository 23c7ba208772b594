import type { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import type { Finding } from '../../src/compare/finding.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { LIVE_PLANTS, liveWrite, named, PLANTS, type Plant, run } from '../support/planted.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { type LoadOptions, Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Setup {
  readonly servers: 'two' | 'one'
  readonly phase: 'shadow' | 'switched'
  readonly load: Omit<LoadOptions, 'seed'>
}

/** A planted difference at a key of its own. */
interface Planted {
  readonly plant: Plant
  readonly key: string
  readonly live: boolean
}

interface Ground {
  readonly path: DataPathUnderTest
  readonly shadow: RedisServer
  /** The shadow's name of a key. */
  nameThere(key: string): string
}

async function prepare({ servers, phase }: Setup): Promise<Ground> {
  const old = await startRedis()
  running.push(old)
  const fresh = servers === 'one' ? old : await startRedis()
  if (fresh !== old) running.push(fresh)
  const target = servers === 'one' ? 'old' : 'new'
  const shared = { phase, source: 'old', compare: { sample: 1 } } satisfies Partial<RouteOptions>
  // On one server every key needs another name; on two the keys of one route have one.
  const rest = servers === 'one' ? { '*': 'copy:*' } : {}
  const path = await startDataPath({
    stores: servers === 'one' ? { old } : { old, new: fresh },
    routes: [
      { ...shared, name: 'jobs', keys: ['job:{id}'], target: { store: target, keys: { 'job:{id}': 'step:{id}' } } },
      { ...shared, name: 'rest', keys: ['*'], target: { store: target, keys: rest } },
    ],
  })
  running.push(path)
  const toTarget = (key: string): string =>
    key.startsWith('job:') ? key.replace('job:', 'step:') : servers === 'one' ? `copy:${key}` : key
  return {
    path,
    shadow: phase === 'shadow' ? fresh : old,
    nameThere: phase === 'shadow' ? toTarget : (key) => key,
  }
}

function plantsFor(): Planted[] {
  const planted: Planted[] = []
  for (const prefix of ['', 'job:']) {
    for (const [i, plant] of PLANTS.entries()) planted.push({ plant, key: `${prefix}planted:${i}`, live: false })
    for (const [i, plant] of LIVE_PLANTS.entries()) planted.push({ plant, key: `${prefix}live:${i}`, live: true })
  }
  return planted
}

/** Plants, and resolves when the shadow has been tampered with. */
async function plantAll(ground: Ground, planted: readonly Planted[]): Promise<void> {
  const { path, shadow } = ground
  const app = path.client()
  for (const { plant, key } of planted) await run(app, plant.write, key)
  await settled(path)
  const there = shadow.client()
  for (const one of planted) await tamper(ground, there, one)
}

async function tamper({ nameThere }: Ground, there: Redis, { plant, key }: Planted): Promise<void> {
  const commands = plant.tamper.map((command) =>
    command.map((part) => (part === 'K' ? nameThere(key) : part === 'L' ? nameThere(`${key}:other`) : part)),
  )
  await run(there, commands, key)
}

function found(path: DataPathUnderTest): string[] {
  return findings(path).map((finding) => `${finding.key} ${finding.command} ${finding.class}`)
}

function findings(path: DataPathUnderTest): Finding[] {
  return path.notices.flatMap((notice) => (notice.kind === 'finding' ? [notice.finding] : []))
}

function expected({ plant, key }: Planted): string {
  return `${key} ${plant.read[0]} ${plant.class}`
}

/** Reads what is planted by one of two clients, again and again until each has been found: a read may be dropped, for it must not slow anybody. */
async function readUntilFound(ground: Ground, planted: readonly Planted[]): Promise<void> {
  const { path, shadow } = ground
  const there = shadow.client()
  let rounds = 0
  const readers = [await path.raw(), await path.raw()]
  await readers[1]!.ask('HELLO', 3)
  await eventually(
    async () => {
      const seen = new Set(found(path))
      const missing = planted.filter((one) => !seen.has(expected(one)))
      // A key that is written may have been taken for contested (two keys of one hash are enough), and then a state copy has mended what was planted.
      if (++rounds % 100 === 0) for (const one of missing) if (one.live) await tamper(ground, there, one)
      for (const [i, { plant, key }] of missing.entries()) await readers[i % 2]!.ask(...named(plant.read, key))
      expect(missing.map((one) => `${one.plant.kind}: ${expected(one)}`)).toEqual([])
    },
    { timeoutMs: 120_000 },
  )
}

/** Writes and reads of four clients, two of each protocol, and writes to the live plants, until `stop`. */
async function underLoad(path: DataPathUnderTest, options: Omit<LoadOptions, 'seed'>, planted: readonly Planted[]) {
  const clients = await Promise.all(
    ([2, 3, 2, 3] as const).map((protocol, i) =>
      Writer.open(path.port, protocol, { ...options, seed: i + 1, kind: i < 2 ? 'writes' : 'reads' }),
    ),
  )
  let going = true
  const live = planted.filter((one) => one.live)
  const writer = path.client()
  const writeLive = async (): Promise<void> => {
    for (let n = 0; going; n++) {
      for (const { plant, key } of live) {
        const [name, ...args] = liveWrite(plant, key, n)
        await writer.call(String(name), ...args)
      }
    }
  }
  const stop = (): void => {
    going = false
  }
  // However the test ends.
  running.push({ stop: async () => stop() })
  const work = [
    ...clients.map(async (client) => {
      while (going) await client.round()
    }),
    writeLive(),
  ]
  return {
    commands: () => clients.reduce((sum, client) => sum + client.commands, 0),
    async stop(): Promise<void> {
      stop()
      await Promise.all(work)
      for (const client of clients) client.close()
      expect(clients.flatMap((client) => client.ownErrors)).toEqual([])
    },
  }
}

const SETUPS: [name: string, setup: Setup][] = [
  ['two servers, in shadow, every kind of write', { servers: 'two', phase: 'shadow', load: {} }],
  ['two servers, switched, few keys', { servers: 'two', phase: 'switched', load: { keys: 1 } }],
  ['one server, in shadow, many keys', { servers: 'one', phase: 'shadow', load: { keys: 200 } }],
  ['one server, switched, several databases', { servers: 'one', phase: 'switched', load: { databases: [0, 3] } }],
]

describe('of differences planted under a random write load', () => {
  test.each(SETUPS)('all are found and none is invented: %s', { timeout: 240_000 }, async (_name, setup) => {
    const ground = await prepare(setup)
    const planted = plantsFor()
    expect(planted.length).toBeGreaterThanOrEqual(60)
    expect(new Set(planted.map(({ plant }) => plant.class)).size).toBeGreaterThanOrEqual(7)
    await plantAll(ground, planted)
    const load = await underLoad(ground.path, setup.load, planted)
    await readUntilFound(ground, planted)
    await eventually(() => expect(load.commands()).toBeGreaterThan(1_000))
    await load.stop()
    // What the load was the last to show is re-checked, too.
    await eventually(() => {
      for (const { compare } of Object.values(ground.path.runtime.stats().routes))
        expect([compare.underWay, compare.rechecking]).toEqual([0, 0])
    })
    expect([...new Set(found(ground.path))].sort()).toEqual(planted.map(expected).sort())
    for (const finding of findings(ground.path)) expect(finding.phase).toBe(setup.phase)
  })
})
