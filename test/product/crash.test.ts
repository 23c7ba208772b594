import { afterEach, describe, expect, test } from 'vitest'
import type { Status } from '../../src/admin/control.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'
import { Consumer, Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Side = 'shadow' | 'switched'

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly understudy: UnderstudyProcess
}

async function setUp(phase: Side): Promise<Setup> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const target = { store: 'new', keys: { 'job:{id}': 'step:{id}' } }
  const understudy = await startUnderstudy({
    stores: { old: { url: old.url, timeout: '500ms' }, new: { url: fresh.url, timeout: '500ms' } },
    routes: [
      { name: 'jobs', keys: ['job:{id}'], source: { store: 'old' }, target, phase },
      { name: 'rest', keys: ['*'], source: 'old', target: 'new', phase },
    ],
  })
  running.push(understudy)
  return { old, fresh, understudy }
}

async function routesOf(understudy: UnderstudyProcess): Promise<Status['routes'][string][]> {
  return Object.values((await understudy.admin<Status>('/api/v1/status')).body.routes)
}

async function sum(understudy: UnderstudyProcess, field: 'mirrored' | 'dirtyKeys' | 'backlog'): Promise<number> {
  return (await routesOf(understudy)).reduce((total, { mirror }) => total + mirror[field], 0)
}

async function settled(understudy: UnderstudyProcess): Promise<void> {
  await eventually(async () => {
    for (const { mirror } of await routesOf(understudy))
      expect(mirror).toMatchObject({ backlog: 0, dirtyKeys: 0, needsVerify: false })
  })
}

async function drift({ old, fresh }: Setup, phase: Side): Promise<unknown[]> {
  const options = { databases: [0, 1], ttlSlackMs: 1_000 }
  if (phase === 'shadow')
    return driftBetween(old, fresh, { ...options, toShadow: (key) => key.replace(/^job:/, 'step:') })
  return driftBetween(fresh, old, { ...options, toShadow: (key) => key.replace(/^step:/, 'job:') })
}

/** Clients of every kind, until their connections end: random commands, takers that block, and one that writes as fast as it can. */
async function load(understudy: UnderstudyProcess, seed: number): Promise<{ ended(): Promise<unknown> }> {
  const { port } = understudy
  const writers = await Promise.all(
    [2, 3, 2].map((protocol, i) =>
      Writer.open(port, protocol as 2 | 3, { seed: seed + i, databases: i === 0 ? [0, 1] : [0] }),
    ),
  )
  const takers = await Promise.all([2, 3].map((protocol, i) => Consumer.start(port, protocol as 2 | 3, seed + 10 + i)))
  const flood = await RawClient.open(port)
  const ends = writers.map(async (writer) => {
    for (;;) await writer.round()
  })
  ends.push(
    (async () => {
      for (let i = 0; ; i = (i + 1) % 100) {
        const batch = Array.from({ length: 200 }, (_, j) =>
          encodeCommand(['SET', `${j % 2 === 0 ? 'job:' : ''}flood:${i * 200 + j}`, `${seed} ${performance.now()}`]),
        )
        flood.send(Buffer.concat(batch))
        await flood.take(batch.length)
      }
    })(),
  )
  // Their command under way ends with the connection.
  ends.push(...takers.map((taker) => taker.done as Promise<never>))
  const ended = Promise.allSettled(ends)
  return { ended: () => ended }
}

describe.each<Side>(['shadow', 'switched'])('kill -9 of the sidecar under full load, phase %s', (phase) => {
  test('four times: what was being written is known after the start, and both stores become equal by themselves', async () => {
    const setup = await setUp(phase)
    const { understudy } = setup
    for (let round = 0; round < 4; round++) {
      const { ended } = await load(understudy, 1_000 * round)
      const before = await sum(understudy, 'mirrored')
      await eventually(async () => expect(await sum(understudy, 'mirrored')).toBeGreaterThan(before + 3_000))
      await understudy.kill9()
      await ended()
      await understudy.restart()
      expect(understudy.stdout).toContain('the last run ended without being stopped')
      await settled(understudy)
      expect(await drift(setup, phase)).toEqual([])
    }
  }, 60_000)
})
