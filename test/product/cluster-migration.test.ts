import { expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { type RedisCluster, startCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { mirroredRoute, mirrorSettled } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const COUNTERS = Array.from({ length: 40 }, (_, i) => `counter:${i}`)

/** Counts without a pause, and knows what each counter has to be. One whose answer was lost is read again: nobody knows whether it was counted. */
function count(understudy: UnderstudyProcess): {
  stop(): Promise<ReadonlyMap<string, number>>
  readonly total: number
} {
  const client = understudy.client()
  const expected = new Map<string, number>(COUNTERS.map((key) => [key, 0]))
  let [on, total] = [true, 0]
  const load = (async () => {
    while (on) {
      const pipeline = client.pipeline()
      for (const key of COUNTERS) pipeline.incr(key)
      for (const [i, [error, value]] of (await pipeline.exec())!.entries()) {
        const key = COUNTERS[i]!
        if (error === null) expect(value, key).toBe(expected.get(key)! + 1)
        const now = error === null ? Number(value) : await eventually(async () => Number(await client.get(key)))
        expect(now).toBeGreaterThanOrEqual(expected.get(key)!)
        expected.set(key, now)
        total++
      }
    }
  })()
  return {
    get total() {
      return total
    },
    async stop() {
      on = false
      await load
      return expected
    },
  }
}

async function statusOf(understudy: UnderstudyProcess): Promise<Status> {
  return (await understudy.admin<Status>('/api/v1/status')).body
}

async function setPhase(understudy: UnderstudyProcess, phase: string): Promise<void> {
  await eventually(
    async () => {
      const { status, body } = await understudy.admin('/api/v1/routes/all/phase', {
        method: 'PUT',
        body: JSON.stringify({ phase }),
      })
      expect(status, JSON.stringify(body)).toBe(200)
    },
    { timeoutMs: 60_000 },
  )
}

async function valuesAt(cluster: RedisCluster): Promise<Map<string, number>> {
  const client = cluster.client()
  return new Map(await Promise.all(COUNTERS.map(async (key) => [key, Number(await client.get(key))] as const)))
}

test('under counters without a pause one server moves to a cluster through every phase and back, and a master fails over: every count is right on both sides', {
  timeout: 240_000,
}, async () => {
  const [source, cluster] = await Promise.all([
    startRedis(), // A node that the test takes away is not replaced by the cluster itself, however long a busy machine takes.
    startCluster({ masters: 2, replicas: 1, nodeTimeoutMs: 60_000 }),
  ])
  const direct = source.client()
  const understudy = await startUnderstudy({
    stores: { old: { url: source.url }, new: { url: cluster.url } },
    routes: [mirroredRoute({ phase: 'passthrough', compare: { sample: '100%' } })],
  })
  try {
    await direct.rpush('list', ...Array.from({ length: 500 }, (_, i) => String(i)))
    const counting = count(understudy)
    await setPhase(understudy, 'mirror')
    await doJob(understudy, 'backfill', 'all')
    expect((await doJob(understudy, 'verify', 'all')).report).toMatchObject({ clean: true })
    for (const phase of ['shadow', 'read-target', 'switched']) await setPhase(understudy, phase)
    const before = counting.total
    const [first] = await cluster.masters()
    const replaced = await cluster.failover(first!)
    await eventually(() => expect(counting.total).toBeGreaterThan(before + 400), { timeoutMs: 60_000 })
    // What a replica had not received is lost: a verify has to say that it was nothing.
    await eventually(async () => expect((await statusOf(understudy)).routes['all']!.mirror.needsVerify).toBe(true), {
      timeoutMs: 60_000,
    })
    expect((await doJob(understudy, 'verify', 'all')).report).toMatchObject({ clean: true })
    await setPhase(understudy, 'shadow')
    const back = counting.total
    await eventually(() => expect(counting.total).toBeGreaterThan(back + 400), { timeoutMs: 60_000 })
    const expected = await counting.stop()
    await mirrorSettled(understudy)
    expect(await valuesAt(cluster)).toEqual(expected)
    for (const [key, value] of expected) expect(await direct.get(key), key).toBe(String(value))

    await setPhase(understudy, 'switched')
    expect(await understudy.client().lrange('list', 0, -1)).toHaveLength(500)

    // A node that is away: told, and no reason to send clients elsewhere.
    await replaced.kill9()
    await eventually(async () => {
      const { status, body } = await understudy.admin<{ degraded: string[] }>('/readyz')
      expect({ status, degraded: body.degraded.join() }).toMatchObject({
        status: 200,
        degraded: expect.stringMatching(/1 of 2 masters does not answer/),
      })
      expect((await statusOf(understudy)).application.reasons).toEqual([
        expect.stringMatching(/^a part of the primary of every route is away: 1 of 2 masters does not answer: /),
      ])
      expect(await understudy.metrics()).toMatch(/understudy_store_node_up\{[^}]*role="master"\} 0/)
    })
    await replaced.start()
    await eventually(
      async () => expect((await statusOf(understudy)).stores['new']).toMatchObject({ up: true, role: 'cluster' }),
      {
        timeoutMs: 60_000,
      },
    )
  } finally {
    await understudy.stop()
    await Promise.all([source.stop(), cluster.stop()])
  }
})
