import { afterEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import type { CopyLimits } from '../../src/mirror/copy/copy-state.ts'
import { type RouteOptions, startDataPath } from '../support/data-path.ts'
import { tellFacts } from '../support/facts.ts'
import { countKeys, type DriftOptions, driftBetween } from '../support/keyspace.ts'
import { again, type Load, ROUNDS, SECONDS, Totals } from '../support/model.ts'
import { Outages } from '../support/outages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { payloadsOf, Random } from '../support/write-load.ts'

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
const SOURCE = process.env['MODEL_SOURCE'] ?? 'redis-server'
const TARGET = process.env['MODEL_TARGET'] ?? 'redis-server'
const TIMEOUT_MS = SECONDS * 1_000 + 150_000
/** Relative times are counted from two moments: when the primary executed the command, and when its reply came. */
const SLACK = { ttlSlackMs: 3_000 }

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** Whether all of them know times of hash fields. */
async function knowFieldTimes(...servers: RedisServer[]): Promise<boolean> {
  const known = await Promise.all(servers.map((server) => server.client().call('COMMAND', 'INFO', 'HPEXPIREAT')))
  return known.every((info) => (info as unknown[])[0] !== null)
}

const cases: [string, Phase][] = [
  ['shadow', 'shadow'],
  ['switched', 'switched'],
]

const YOUNGER = /^(HP?EXPIRE(AT)?|HPERSIST|HGETEX|HSETEX|HGETDEL|DELIFEQ|DELEX|MSETEX|XDELEX|XACKDEL)$/

/** A server to migrate to there is not; containers of old servers flag themselves, and some name what is for the server's own use. */
const ELSEWHERE = /^(MIGRATE|CLUSTER FLUSHSLOT|XGROUP|PF(SELFTEST|DEBUG)|RESTORE-ASKING)$/

/** Commands that the server flags as writes, without those that cannot succeed here: there is no server to migrate to. */
async function writesOf(server: RedisServer, fieldTimes: boolean): Promise<string[]> {
  const client = server.client()
  const names = (await areSince(7, server))
    ? ((await client.call('COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', 'write')) as string[])
    : ((await client.call('COMMAND')) as [name: string, arity: number, flags: string[]][])
        .filter(([, , flags]) => flags.includes('write'))
        .map(([name]) => name)
  return names
    .map((name) => name.toUpperCase().replace('|', ' '))
    .filter((name) => !ELSEWHERE.test(name) && (fieldTimes || !YOUNGER.test(name)))
}

/** Whether all of them are of this version or newer: 6.0 tells who tracks them what scripts write, 7.0 what was added to streams, and lists its commands. */
async function areSince(major: number, ...servers: RedisServer[]): Promise<boolean> {
  const infos = await Promise.all(servers.map((server) => server.client().info('server')))
  return infos.every((info) => Number(/^redis_version:(\d+)/m.exec(info)?.[1]) >= major)
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
      await tellFacts(path, { old, new: fresh })
      const load: Load = {
        databases: [0, 1, 2],
        prefixes: ['', 'job:'],
        payloads,
        everywhere: true,
        fieldTimes: await knowFieldTimes(old, fresh),
        undeclared: phase === 'shadow' && (await areSince(6, primary)),
      }
      const countsEntries = await areSince(7, old, fresh)
      const totals = new Totals()
      const names: DriftOptions =
        phase === 'shadow'
          ? { toShadow: (key) => key.replace(/^job:/, 'step:') }
          : { toShadow: (key) => key.replace(/^step:/, 'job:') }
      await again(async (seed) => {
        // The first half as it should be, the second as it sometimes is.
        await totals.run(path, load, seed, [])
        const differs = (): Promise<unknown> =>
          driftBetween(primary, shadow, { ...names, ...load, ...SLACK, countsEntries })
        expect(await differs()).toEqual([])
        // Of a SWAPDB on its way to a shadow that goes away nobody can say whether it happened: the routes need a verify then.
        const outages = Outages.start(shadow, new Random(seed))
        await totals.run(path, { ...load, everywhere: false }, seed + 1_000_000, [outages])
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
      await tellFacts(path, { only: store })
      const load: Load = {
        databases: [0, 1],
        prefixes: ['', 'job:'],
        payloads,
        everywhere: false,
        fieldTimes: await knowFieldTimes(store),
        undeclared: phase === 'shadow' && (await areSince(6, store)),
      }
      const totals = new Totals()
      const [from, to] = phase === 'shadow' ? ['job:', 'step:'] : ['step:', 'job:']
      await again(async (seed) => {
        await totals.run(path, load, seed, [])
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
    ...['--hash-max-ziplist-entries', '0', '--set-max-intset-entries', '0'],
    ...['--zset-max-ziplist-entries', '0', '--list-max-ziplist-size', '1'],
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
      await tellFacts(path, { old, new: fresh })
      const load: Load = {
        databases: [0, 1],
        prefixes: [''],
        payloads,
        everywhere: true,
        fieldTimes: await knowFieldTimes(old, fresh),
        undeclared: await areSince(6, old),
      }
      const countsEntries = await areSince(7, old, fresh)
      const totals = new Totals()
      await again(async (seed) => {
        await totals.run(path, load, seed, [], ROUNDS / 2)
        // SWAPDB takes a copy that is being built to the other database, where it expires.
        const onShadow = (key: string): boolean => !key.startsWith('understudy:copy:')
        expect(await driftBetween(old, fresh, { ...load, ...SLACK, onShadow, countsEntries })).toEqual([])
      })
      totals.keys = await countKeys(old, load.databases)
      totals.report(`copied ${what}`, path)
      expect(await old.client().info('commandstats')).toMatch(/cmdstat_(hscan|getrange)/)
    },
    TIMEOUT_MS,
  )
})
