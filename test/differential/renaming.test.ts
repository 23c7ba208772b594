import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { driftBetween } from '../support/keyspace.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { type Difference, differencesIn } from './differences.ts'
import { differsUnderOtherNames } from './exceptions.ts'
import { type Unit, unitsOf } from './forms.ts'
import { listedBy } from './listed.ts'
import { Peer, type Way } from './peer.ts'

/**
 * The forms of `differential.test.ts` once more: one application talks to its own Redis, the other through Understudy to one that knows all of its keys under other names.
 */
const ARGS = ['--enable-debug-command', 'yes']

let direct: RedisServer
let store: RedisServer
let units: Unit[]

beforeAll(async () => {
  ;[direct, store] = await Promise.all([startRedis({ args: ARGS }), startRedis({ args: ARGS })])
  units = unitsOf(...(await listedBy(direct)))
})
afterAll(async () => {
  await Promise.all([direct.stop(), store.stop()])
})

/** A namespace among neighbours; and both ends of a migration on one server, the target being the primary. */
const SETUPS: readonly (readonly [string, RouteOptions, readonly (readonly [Way, 2 | 3])[]])[] = [
  [
    'namespace',
    { name: 'all', source: { store: 'store', keys: { '*': 'app1:*' } } },
    [
      ['packet', 3],
      ['whole', 2],
    ],
  ],
  [
    'switched',
    {
      name: 'all',
      source: { store: 'store', keys: { '*': 'old:*' } },
      target: { store: 'store', keys: { '*': 'new:*' } },
      phase: 'switched',
      compare: { sample: 1 },
    },
    [['pinned', 3]],
  ],
]

describe.each(SETUPS)('%s', (setup, route, runs) => {
  let path: DataPathUnderTest
  beforeAll(async () => {
    path = await startDataPath({ stores: { store }, routes: [route] })
    // As the health probe finds out.
    path.runtime.setFacts('store', 0, '7.0.15')
  })
  afterAll(async () => {
    await path.stop()
  })

  test.each(runs)(
    'every command is answered byte for byte as by a server of the application’s own (%s, RESP%i)',
    async (way, protocol) => {
      const [there, here, neighbour] = await Promise.all([
        Peer.open(direct.port, protocol),
        Peer.open(path.port, protocol, store.port),
        RawClient.open(store.port),
      ])
      const differences: Difference[] = []
      const harmed: string[] = []
      for (const unit of units.map(comparedUnder)) {
        await Promise.all([there.prepare(), here.prepare()])
        // Under the names that the application gives keys of its own, of other types.
        if (setup === 'namespace') await neighbour.ask('MSET', ...NEIGHBOURS.flatMap((key) => [key, 'not yours']))
        const [wanted, got] = await Promise.all([there.ask(unit.forms, way), here.ask(unit.forms, way)])
        differences.push(...differencesIn(unit.forms, way, wanted, got))
        if (setup === 'namespace' && (await neighbour.ask('MGET', ...NEIGHBOURS)) !== UNHARMED) harmed.push(unit.name)
      }
      there.close()
      here.close()
      neighbour.destroy()
      expect(differences).toEqual([])
      expect(harmed).toEqual([])
    },
    240_000,
  )

  test.runIf(setup === 'switched')('both names hold the same, and no comparison found a difference', async () => {
    await settled(path)
    const names = {
      onPrimary: (key: string) => key.startsWith('new:'),
      onShadow: (key: string) => key.startsWith('old:'),
    }
    expect(
      await driftBetween(store, store, {
        ...names,
        toShadow: (key) => key.replace('new:', 'old:'),
        databases: [0, 1, 3],
      }),
    ).toEqual([])
    expect(path.notices.filter(({ kind }) => kind === 'finding')).toEqual([])
    expect(path.runtime.stats().routes['all']!.counters.compared).toBeGreaterThan(10)
  })
})

function comparedUnder({ name, forms }: Unit): Unit {
  return { name, forms: forms.filter(({ text }) => !differsUnderOtherNames(text)) }
}

const NEIGHBOURS = ['l', 'h', 'z', 'x', 'nosuchkey', 'app2:s', 'app1', 'new']
const UNHARMED = `*${NEIGHBOURS.length}\r\n${NEIGHBOURS.map(() => '$9\r\nnot yours\r\n').join('')}`
