import { afterEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { countKeys, type DriftOptions, driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { Consumer, Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const ROUNDS = Number(process.env['LOAD_ROUNDS'] ?? 150)
const SEED = Number(process.env['LOAD_SEED'] ?? 1)
/** Relative times are counted from two moments: when the primary executed the command, and when its reply came. */
const SLACK = { ttlSlackMs: 1_000 }

async function load(
  path: DataPathUnderTest,
  databases: readonly number[],
  prefixes: readonly string[],
): Promise<Writer[]> {
  const writers = await Promise.all(
    [2, 3, 2, 3].map((protocol, i) =>
      Writer.open(path.port, protocol as 2 | 3, { seed: SEED * 100 + i, databases, prefixes }),
    ),
  )
  const consumers = await Promise.all(
    [2, 3].map((protocol, i) => Consumer.start(path.port, protocol as 2 | 3, SEED * 100 + 50 + i, prefixes)),
  )
  await Promise.all(writers.map((writer) => writer.run(ROUNDS)))
  for (const consumer of consumers) await consumer.stop()
  for (const writer of writers) writer.close()
  expect([...writers, ...consumers].flatMap((one) => one.ownErrors)).toEqual([])
  expect(Math.max(...consumers.map((consumer) => consumer.taken))).toBeGreaterThan(0)
  await settled(path)
  return writers
}

function report(what: string, path: DataPathUnderTest, writers: readonly Writer[], keys: number): void {
  const { routes } = path.runtime.stats()
  const counters = Object.values(routes).map(
    ({ counters: c }) =>
      `applied ${c.applied}, copied ${c.copied}, dirtied ${c.dirtied}, shadow errors ${c.shadowError}`,
  )
  console.info(
    `${what}: ${writers.reduce((sum, writer) => sum + writer.commands, 0)} commands, ${keys} keys; ${counters.join('; ')}`,
  )
}

describe('after random writes of every kind by several clients, RESP2 and RESP3, the stores are equal', () => {
  const cases: [string, Phase][] = [
    ['shadow', 'shadow'],
    ['switched', 'switched'],
  ]

  test.each(cases)('two stores, some keys renamed, phase %s', async (_name, phase) => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    running.push(old, fresh)
    const routes: RouteOptions[] = [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'old',
        target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
        phase,
      },
      { name: 'rest', keys: ['*'], source: 'old', target: 'new', phase },
    ]
    const path = await startDataPath({ stores: { old, new: fresh }, routes })
    running.push(path)
    const databases = [0, 1, 2]
    const writers = await load(path, databases, ['', 'job:'])
    report(`two stores, ${phase}`, path, writers, await countKeys(old, databases))
    const toShadow = (key: string): string => key.replace(/^job:/, 'step:')
    const sides: [RedisServer, RedisServer, DriftOptions] =
      phase === 'shadow'
        ? [old, fresh, { toShadow }]
        : [fresh, old, { toShadow: (key) => key.replace(/^step:/, 'job:') }]
    expect(await driftBetween(sides[0], sides[1], { ...sides[2], databases, ...SLACK })).toEqual([])
  })

  test.each(cases)('one store under a new key schema, phase %s', async (_name, phase) => {
    const store = await startRedis()
    running.push(store)
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
    const writers = await load(path, [0, 1], ['', 'job:'])
    report(`one store, ${phase}`, path, writers, await countKeys(store, [0, 1]))
    const [from, to] = phase === 'shadow' ? ['job:', 'step:'] : ['step:', 'job:']
    const options: DriftOptions = {
      databases: [0, 1],
      onPrimary: (key) => key.startsWith(from),
      onShadow: (key) => key.startsWith(to),
      toShadow: (key) => to + key.slice(from.length),
      ...SLACK,
    }
    expect(await driftBetween(store, store, options)).toEqual([])
  })
})
