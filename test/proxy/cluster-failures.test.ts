import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../support/cluster.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

let cluster: RedisCluster
let single: RedisServer
let path: DataPathUnderTest
/** Keys by the master that has them, in the order of `masters`. */
let masters: RedisServer[]
let keysOf: Map<RedisServer, string[]>

beforeAll(async () => {
  ;[cluster, single] = await Promise.all([startCluster({ replicas: 1 }), startRedis()])
}, 60_000)
afterAll(async () => {
  await Promise.all([cluster?.stop(), single?.stop()])
})
beforeEach(async () => {
  masters = await cluster.masters()
  keysOf = new Map(masters.map((master) => [master, []]))
  for (let i = 0; i < 60; i++) keysOf.get(await cluster.ownerOf(await cluster.slotOf(`key:${i}`)))!.push(`key:${i}`)
})
afterEach(async () => {
  await path?.stop()
  await cluster.ready()
  await cluster.flushAll()
  await single.client().flushall()
})

function ofCluster() {
  const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  return { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } as const
}

/** What both sides hold of the keys, as text, to be compared. */
async function valuesOf(keys: readonly string[]): Promise<{ cluster: unknown[]; single: unknown[] }> {
  const there = cluster.client()
  const here = single.client()
  const values = { cluster: await Promise.all(keys.map((key) => there.get(key))), single: await here.mget(...keys) }
  there.disconnect()
  here.disconnect()
  return values
}

describe('a cluster as the primary', () => {
  beforeEach(async () => {
    const all = { name: 'all', source: 'cluster', target: 'single', phase: 'mirror' } as const
    path = await startDataPath({ stores: { cluster: ofCluster(), single }, routes: [all] })
  })

  test('a node that hangs keeps those waiting who ask it, and nobody else', async () => {
    const [hung, other] = masters as [RedisServer, RedisServer]
    const [slow] = keysOf.get(hung)!
    const [quick] = keysOf.get(other)!
    const patient = path.client()
    const client = path.client()
    await patient.set(slow!, '0')
    await client.set(quick!, '0')
    await settled(path)
    hung.pause()
    let answered = 0
    let replies: Promise<unknown[]>
    try {
      replies = Promise.all(
        Array.from({ length: 20 }, async () => {
          const pair = [patient.incr(quick!), patient.incr(slow!)]
          await Promise.all(pair)
          answered++
        }),
      )
      for (let i = 0; i < 50; i++) await client.incr(quick!)
      expect(await client.mget(quick!)).toEqual(['70'])
      expect(answered).toBe(0)
    } finally {
      hung.resume()
    }
    await replies
    expect(await client.mget(slow!, quick!)).toEqual(['20', '70'])
    await settled(path)
    expect(await single.client().mget(slow!, quick!)).toEqual(['20', '70'])
  })

  test('a write over several nodes, one of which hangs, leaves the shadow as the primary is', async () => {
    const [hung, other] = masters as [RedisServer, RedisServer]
    const [slow] = keysOf.get(hung)!
    const [quick] = keysOf.get(other)!
    const client = path.client()
    await client.set(slow!, '0')
    await settled(path)
    hung.pause()
    let both: Promise<unknown>
    try {
      both = path.client().mset(slow!, 'first', quick!, 'first')
      // Executed at one node already, and overwritten there by another client.
      const at = other.client()
      await eventually(async () => expect(await at.get(quick!)).toBe('first'))
      expect(await client.set(quick!, 'second')).toBe('OK')
      await eventually(async () => expect(await single.client().get(quick!)).toBe('second'))
    } finally {
      hung.resume()
    }
    await both
    await settled(path)
    expect(await valuesOf([slow!, quick!])).toEqual({ cluster: ['first', 'second'], single: ['first', 'second'] })
  })
})
