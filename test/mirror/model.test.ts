import { afterEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import type { CopyLimits } from '../../src/mirror/copy-state.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { countKeys, type DriftOptions, driftBetween } from '../support/keyspace.ts'
import { Outages } from '../support/outages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { Consumer, type Payloads, payloadsOf, Random, Writer } from '../support/write-load.ts'

/**
 * The model: whatever clients write, and whatever happens to the shadow meanwhile, both sides hold the same in the end. The other end's own server is the model that the shadow is compared with, type by
 * type.
 *
 *   MODEL_SEED=7 vitest run test/mirror/model.test.ts                     the sequences of another seed
 *   MODEL_SECONDS=600 vitest run test/mirror/model.test.ts                each case again and again with one seed after the other
 *   MODEL_SOURCE=redis-server MODEL_TARGET=valkey-server vitest run ...   servers of other versions and makes
 *
 * What fails names its seed. How the clients' commands meet is up to the machine, so a seed gives the same sequences, not the same history.
 */
const SEED = Number(process.env['MODEL_SEED'] ?? 1)
const SECONDS = Number(process.env['MODEL_SECONDS'] ?? 0)
const SOURCE = process.env['MODEL_SOURCE'] ?? 'redis-server'
const TARGET = process.env['MODEL_TARGET'] ?? 'redis-server'
/** Of each of four writers; about seven commands a round. */
const ROUNDS = 200
const TIMEOUT_MS = SECONDS * 1_000 + 150_000
/** Relative times are counted from two moments: when the primary executed the command, and when its reply came. */
const SLACK = { ttlSlackMs: 3_000 }

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Load {
  readonly databases: readonly number[]
  readonly prefixes: readonly string[]
  readonly payloads: Payloads
  readonly everywhere: boolean
  readonly fieldTimes: boolean
  /** Not where the primary has other names than the application. */
  readonly undeclared: boolean
}

/** Whether all of them know times of hash fields. */
async function knowFieldTimes(...servers: RedisServer[]): Promise<boolean> {
  const known = await Promise.all(servers.map((server) => server.client().call('COMMAND', 'INFO', 'HPEXPIREAT')))
  return known.every((info) => (info as unknown[])[0] !== null)
}

/** What was sent in all rounds of a case. */
class Totals {
  commands = 0
  taken = 0
  keys = 0
  readonly names = new Set<string>()
  readonly happened: string[] = []

  async run(
    path: DataPathUnderTest,
    load: Load,
    seed: number,
    outages: Outages | null,
    rounds = ROUNDS,
  ): Promise<void> {
    const writers = await Promise.all(
      [2, 3, 2, 3].map((protocol, i) => Writer.open(path.port, protocol as 2 | 3, { ...load, seed: seed * 100 + i })),
    )
    const consumers = await Promise.all(
      [2, 3].map((protocol, i) => Consumer.start(path.port, protocol as 2 | 3, seed * 100 + 50 + i, load.prefixes)),
    )
    await Promise.all(writers.map((writer) => writer.run(rounds)))
    for (const consumer of consumers) await consumer.stop()
    for (const writer of writers) writer.close()
    await outages?.stop()
    this.happened.push(...(outages?.happened ?? []))
    expect([...writers, ...consumers].flatMap((one) => one.ownErrors)).toEqual([])
    for (const one of [...writers, ...consumers]) for (const name of one.succeeded) this.names.add(name)
    for (const writer of writers) this.commands += writer.commands
    for (const consumer of consumers) this.taken += consumer.taken
    await settled(path, 60_000)
  }

  report(what: string, path: DataPathUnderTest): void {
    const routes = Object.values(path.runtime.stats().routes).map(
      ({ counters: c }) =>
        `applied ${c.applied}, copied ${c.copied}, dirtied ${c.dirtied}, shadow errors ${c.shadowError}`,
    )
    console.info(
      `${what}: ${this.commands} commands, ${this.taken} taken by blocking ones, ${this.keys} keys; ${routes.join('; ')}; ${this.happened.length} outages`,
    )
  }
}

/** Once, or one seed after the other for `MODEL_SECONDS`. */
async function again(one: (seed: number) => Promise<void>): Promise<void> {
  const until = Date.now() + SECONDS * 1_000
  for (let seed = SEED; ; seed++) {
    try {
      await one(seed)
    } catch (error) {
      throw new Error(`with MODEL_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
    if (Date.now() >= until) return
  }
}

const cases: [string, Phase][] = [
  ['shadow', 'shadow'],
  ['switched', 'switched'],
]

const YOUNGER = /^(HP?EXPIRE(AT)?|HPERSIST|HGETEX|HSETEX|HGETDEL|DELIFEQ|DELEX|MSETEX|XDELEX|XACKDEL)$/

/** Commands that the server flags as writes, without those that cannot succeed here: there is no server to migrate to. */
async function writesOf(server: RedisServer, fieldTimes: boolean): Promise<string[]> {
  const names = (await server.client().call('COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', 'write')) as string[]
  return names
    .map((name) => name.toUpperCase().replace('|', ' '))
    .filter((name) => name !== 'MIGRATE' && name !== 'CLUSTER FLUSHSLOT' && (fieldTimes || !YOUNGER.test(name)))
}

describe('after random writes of every kind by several clients, RESP2 and RESP3, the stores are equal', () => {
  test.each(cases)(
    'two stores, some keys renamed, phase %s, through outages of the shadow',
    async (_name, phase) => {
      const args = ['--appendonly', 'yes', '--appendfsync', 'always']
      const [old, fresh] = await Promise.all([
        startRedis({ program: SOURCE, args }),
        startRedis({ program: TARGET, args }),
      ])
      running.push(old, fresh)
      const [primary, shadow] = phase === 'shadow' ? [old, fresh] : [fresh, old]
      const payloads = await payloadsOf(primary)
      const routes: RouteOptions[] = [
        {
          name: 'jobs',
          keys: ['job:{id}'],
          source: 'old',
          target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
          phase,
          mirror: { mode: 'sync', timeoutMs: 50 },
        },
        { name: 'rest', keys: ['*'], source: 'old', target: 'new', phase },
      ]
      const path = await startDataPath({ stores: { old, new: fresh }, routes })
      running.push(path)
      const load: Load = {
        databases: [0, 1, 2],
        prefixes: ['', 'job:'],
        payloads,
        everywhere: true,
        fieldTimes: await knowFieldTimes(old, fresh),
        undeclared: phase === 'shadow',
      }
      const totals = new Totals()
      const names: DriftOptions =
        phase === 'shadow'
          ? { toShadow: (key) => key.replace(/^job:/, 'step:') }
          : { toShadow: (key) => key.replace(/^step:/, 'job:') }
      await again(async (seed) => {
        // The first half as it should be, the second as it sometimes is.
        await totals.run(path, load, seed, null)
        const differs = (): Promise<unknown> => driftBetween(primary, shadow, { ...names, ...load, ...SLACK })
        expect(await differs()).toEqual([])
        // Of a SWAPDB on its way to a shadow that goes away nobody can say whether it happened: the routes need a verify then.
        const outages = Outages.start(shadow, new Random(seed))
        await totals.run(path, { ...load, everywhere: false }, seed + 1_000_000, outages)
        expect(await differs(), outages.happened.join('; ')).toEqual([])
      })
      totals.keys = await countKeys(primary, load.databases)
      totals.report(`two stores, ${phase}`, path)
      expect(totals.taken).toBeGreaterThan(0)
      expect((await writesOf(primary, load.fieldTimes)).filter((name) => !totals.names.has(name))).toEqual([])
    },
    TIMEOUT_MS,
  )

  test.each(cases)(
    'one store under a new key schema, phase %s',
    async (_name, phase) => {
      const store = await startRedis({ program: SOURCE })
      running.push(store)
      const payloads = await payloadsOf(store)
      const routes: RouteOptions[] = [
        {
          name: 'jobs',
          keys: ['job:{id}'],
          source: 'only',
          target: { store: 'only', keys: { 'job:{id}': 'step:{id}' } },
          phase,
        },
        { name: 'rest', keys: ['*'], source: 'only' },
      ]
      const path = await startDataPath({ stores: { only: store }, routes })
      running.push(path)
      const load: Load = {
        databases: [0, 1],
        prefixes: ['', 'job:'],
        payloads,
        everywhere: false,
        fieldTimes: await knowFieldTimes(store),
        undeclared: phase === 'shadow',
      }
      const totals = new Totals()
      const [from, to] = phase === 'shadow' ? ['job:', 'step:'] : ['step:', 'job:']
      await again(async (seed) => {
        await totals.run(path, load, seed, null)
        const options: DriftOptions = {
          ...load,
          onPrimary: (key) => key.startsWith(from),
          onShadow: (key) => key.startsWith(to),
          toShadow: (key) => to + key.slice(from.length),
          ...SLACK,
        }
        expect(await driftBetween(store, store, options)).toEqual([])
      })
      totals.keys = await countKeys(store, load.databases)
      totals.report(`one store, ${phase}`, path)
    },
    TIMEOUT_MS,
  )

  /** Small enough that keys of a few elements are read in several pieces; and no key in an encoding that a scan gives as a whole. */
  const SMALL_PIECES: Partial<CopyLimits> = { bigKeyBytes: 0, pieceBytes: 120, firstElements: 1, fewestElements: 1 }
  const SPREAD = [
    ...['--hash-max-listpack-entries', '0', '--set-max-intset-entries', '0'],
    ...['--zset-max-listpack-entries', '0', '--list-max-listpack-size', '1'],
  ]

  test.each<[string, Partial<CopyLimits>, string[], string[]]>([
    ['in pieces', SMALL_PIECES, SPREAD, []],
    ['by commands of their types', {}, [], ['--rename-command', 'RESTORE', '']],
  ])(
    'two stores, whose keys are copied %s',
    async (what, copyLimits, args, shadowArgs) => {
      const [old, fresh] = await Promise.all([
        startRedis({ program: SOURCE, args }),
        startRedis({ program: TARGET, args: [...args, ...shadowArgs] }),
      ])
      running.push(old, fresh)
      const payloads = await payloadsOf(old)
      const path = await startDataPath({
        stores: { old, new: fresh },
        routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
        copyLimits,
      })
      running.push(path)
      const load: Load = {
        databases: [0, 1],
        prefixes: [''],
        payloads,
        everywhere: true,
        fieldTimes: await knowFieldTimes(old, fresh),
        undeclared: true,
      }
      const totals = new Totals()
      await again(async (seed) => {
        await totals.run(path, load, seed, null, ROUNDS / 2)
        // SWAPDB takes a copy that is being built to the other database, where it expires.
        const onShadow = (key: string): boolean => !key.startsWith('understudy:copy:')
        expect(await driftBetween(old, fresh, { ...load, ...SLACK, onShadow })).toEqual([])
      })
      totals.keys = await countKeys(old, load.databases)
      totals.report(`copied ${what}`, path)
      expect(await old.client().info('commandstats')).toMatch(/cmdstat_(hscan|getrange)/)
    },
    TIMEOUT_MS,
  )
})
