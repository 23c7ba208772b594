import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { type Difference, differencesIn } from './differences.ts'
import { type Unit, unitsOf } from './forms.ts'
import { listedBy } from './listed.ts'
import { Peer, type Way } from './peer.ts'

/** Three servers that are started alike: one is asked directly, two stand behind Understudy. */
const ARGS = ['--enable-debug-command', 'yes']

let direct: RedisServer
let source: RedisServer
let target: RedisServer
let units: Unit[]

beforeAll(async () => {
  ;[direct, source, target] = await Promise.all([startRedis({ args: ARGS }), startRedis({ args: ARGS }), startRedis()])
  units = unitsOf(...(await listedBy(direct)))
})
afterAll(async () => {
  await Promise.all([direct.stop(), source.stop(), target.stop()])
})

/** `dedicated`: in shadow, every client on a connection of its own. */
type Setup = 'passthrough' | 'shadow' | 'dedicated'

/** Each way in both phases, and in both protocols. */
const RUNS: Readonly<Record<Setup, readonly (readonly [Way, 2 | 3])[]>> = {
  passthrough: [
    ['alone', 2],
    ['packet', 3],
    ['whole', 2],
    ['pinned', 3],
    ['watched', 2],
  ],
  shadow: [
    ['alone', 3],
    ['packet', 2],
    ['whole', 3],
    ['pinned', 2],
    ['watched', 3],
  ],
  dedicated: [
    ['packet', 3],
    ['pinned', 2],
  ],
}

describe.each(['passthrough', 'shadow', 'dedicated'] as const)('%s', (setup) => {
  const phase = setup === 'passthrough' ? 'passthrough' : 'shadow'
  let path: DataPathUnderTest
  beforeAll(async () => {
    path = await startDataPath({
      stores: { source, target },
      routes: [{ name: 'all', source: 'source', target: 'target', phase, compare: { sample: 1 } }],
      listen: { connections: setup === 'dedicated' ? 'dedicated' : 'shared' },
    })
    // As the health probe finds out.
    path.runtime.setFacts('source', 0, '7.0.15')
    path.runtime.setFacts('target', 0, '7.0.15')
    const client = await path.raw()
    await client.ask('FLUSHALL')
    client.destroy()
  })
  afterAll(async () => {
    await path.stop()
  })

  test.each(RUNS[setup])(
    'every command is answered byte for byte as by the server (%s, RESP%i)',
    async (way, protocol) => {
      const [there, here] = await Promise.all([Peer.open(direct.port, protocol), Peer.open(path.port, protocol)])
      const differences: Difference[] = []
      for (const unit of units) {
        await Promise.all([there.prepare(), here.prepare()])
        const [wanted, got] = await Promise.all([there.ask(unit.forms, way), here.ask(unit.forms, way)])
        differences.push(...differencesIn(unit.forms, way, wanted, got))
      }
      there.close()
      here.close()
      expect(differences).toEqual([])
    },
    240_000,
  )

  test.runIf(phase === 'shadow')(
    'what was written is on the target, and no comparison found a difference',
    async () => {
      await settled(path)
      expect(await driftBetween(source, target, { databases: [0, 1, 3] })).toEqual([])
      expect(path.notices.filter(({ kind }) => kind === 'finding')).toEqual([])
      expect(path.runtime.stats().routes['all']!.counters.compared).toBeGreaterThan(10)
    },
  )
})
