import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { countKeys, driftBetween } from '../../support/keyspace.ts'
import { freePort } from '../../support/ports.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const WRITES = 4_000
const CLIENTS = 8

/** Each client's writes, answered, in batches of ten. */
async function write(open: () => Promise<RawClient>): Promise<string[]> {
  const replies = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, me) => {
      const client = await open()
      const all: string[] = []
      for (let i = 0; i < WRITES / CLIENTS; i += 10) {
        const batch = Array.from({ length: 10 }, (_, j) => encodeCommand(['SET', `key:${me}:${i + j}`, 'v']))
        client.send(Buffer.concat(batch))
        all.push(...(await client.take(batch.length)))
      }
      return all
    }),
  )
  return replies.flat()
}

describe('no reply waits for a shadow that', () => {
  /** What a slow shadow has not answered yet: nothing, until the clients have all of their replies. */
  const unanswered: Socket[] = []
  const late = (socket: Socket): null => {
    unanswered.push(socket)
    return null
  }
  const shadows: [string, (() => Promise<FakeStore>) | null][] = [
    ['refuses connections', null],
    ['says nothing at all', () => FakeStore.start(() => null, false)],
    ['says nothing to commands', () => FakeStore.start(() => null)],
    ['closes every connection at its first command', () => FakeStore.start(() => 'close')],
    [
      'resets every connection at its first command',
      () =>
        FakeStore.start((_, socket) => {
          socket.resetAndDestroy()
          return null
        }),
    ],
    ['answers garbage', () => FakeStore.start(() => 'garbage\r\n')],
    ['is slow', () => FakeStore.start((_, socket) => late(socket))],
    ['refuses every command', () => FakeStore.start(() => '-OOM no room\r\n')],
  ]

  test.each(shadows)('%s', async (name, start) => {
    const old = await startRedis()
    const shadow = start === null ? null : await start()
    running.push(old, ...(shadow === null ? [] : [shadow]))
    unanswered.length = 0
    const path = await startDataPath({
      stores: { old, new: { port: shadow?.port ?? (await freePort()), connectTimeoutMs: 300 } },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    })
    running.push(path)
    const replies = await write(() => path.raw())
    expect(replies).toEqual(Array(WRITES).fill('+OK\r\n'))
    if (name === 'is slow') {
      await eventually(() => expect(unanswered.length).toBeGreaterThan(0))
      for (const socket of unanswered.splice(0)) socket.write('+OK\r\n')
      await eventually(() => expect(path.runtime.stats().routes['all']!.counters.applied).toBeGreaterThan(0))
    }
    expect(await countKeys(old)).toBe(WRITES)
    // And none is forgotten: each waits in the queue, or is dirty.
    const { backlogCommands, dirtyKeys, counters } = path.runtime.stats().routes['all']!
    expect(backlogCommands + dirtyKeys + counters.applied).toBeGreaterThanOrEqual(WRITES)
    expect(counters.primaryError).toBe(0)
  })
})

test('twenty thousand keys that did not fit into the backlog while the shadow was dead are remembered in little memory, and repaired', async () => {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror', mirror: { backlogBytes: 64 * 1024 } }],
  })
  running.push(path)
  await fresh.kill9()
  const client = await path.raw()
  for (let i = 0; i < 20_000; i += 500) {
    const batch = Array.from({ length: 500 }, (_, j) => encodeCommand(['SET', `some:key:${i + j}`, `${i}`]))
    client.send(Buffer.concat(batch))
    await client.take(500)
  }
  const { dirtyKeys, dirtyReasons, repair } = path.runtime.stats().routes['all']!
  expect(dirtyKeys).toBeGreaterThan(18_000)
  expect(dirtyReasons).toEqual({ 'backlog-full': dirtyKeys })
  expect(['paused', 'idle']).toContain(repair)
  await fresh.restart()
  await settled(path, 60_000)
  expect(await driftBetween(old, fresh)).toEqual([])
  expect(await countKeys(fresh)).toBe(20_000)
}, 240_000)
