import { expect } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { shadowUp } from '../support/shadow-up.ts'

export const PHASES = ['passthrough', 'shadow'] as const

/** What a client's test stands on: two servers with Understudy before them, everything compared. */
export interface Setting {
  readonly host: string
  readonly port: number
  readonly path: DataPathUnderTest
  /** In `shadow`: the target holds what the source holds, and no comparison has found a difference. */
  verify(options?: { databases?: readonly number[]; comparedAtLeast?: number }): Promise<void>
  stop(): Promise<void>
}

export async function startSetting(phase: (typeof PHASES)[number]): Promise<Setting> {
  const [source, target] = await Promise.all([startRedis(), startRedis()])
  const path = await startDataPath({
    stores: { source, target },
    routes: [{ name: 'all', source: 'source', target: 'target', phase, compare: { sample: 1 } }],
  })
  // As the health probe finds out.
  for (const store of ['source', 'target']) path.runtime.setFacts(store, 0, '7.0.15')
  await shadowUp(path, [0, 2, 3])
  return {
    host: '127.0.0.1',
    port: path.port,
    path,
    async verify({ databases = [0], comparedAtLeast = 1 } = {}) {
      if (phase === 'passthrough') return
      await settled(path)
      await quiet(source, target, databases)
      expect(path.notices.filter(({ kind }) => kind === 'finding')).toEqual([])
      const { compared, mismatched } = path.runtime.stats().routes['all']!.counters
      expect(mismatched).toBe(0)
      expect(compared).toBeGreaterThanOrEqual(comparedAtLeast)
    },
    async stop() {
      await path.stop()
      await Promise.all([source.stop(), target.stop()])
    },
  }
}

async function quiet(source: RedisServer, target: RedisServer, databases: readonly number[]): Promise<void> {
  // A relative time becomes an absolute one when the reply arrives: with other processes on the machine that may be a while after the server has set its own.
  expect(await driftBetween(source, target, { databases, ttlSlackMs: 1_000 })).toEqual([])
}
