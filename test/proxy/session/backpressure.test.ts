import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../../support/understudy.ts'

const MB = 1024 * 1024

let understudy: UnderstudyProcess | null = null
let store: RedisServer | FakeStore | null = null

afterEach(async () => {
  // Its store will never answer: nothing to wait for.
  await understudy?.kill9()
  await understudy?.stop()
  await store?.stop()
})

/** Resident memory of the process, MB. */
function memory(): number {
  const status = readFileSync(`/proc/${understudy!.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024
}

describe('memory', () => {
  test('is bounded when a store does not read, however many clients go on sending', async () => {
    store = await FakeStore.start((args, socket) => {
      if (args[0] === 'PING') return '+PONG\r\n'
      socket.pause()
      return '+OK\r\n'
    })
    understudy = await startUnderstudy(
      {
        stores: { only: { url: `redis://127.0.0.1:${store.port}`, timeout: '60s' } },
        routes: [{ name: 'all', keys: ['*'], source: 'only' }],
      },
      { until: 'live' },
    )
    const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.open(understudy!.port)))
    const before = memory()
    const value = Buffer.alloc(64 * 1024, 'x')
    // 480 MB, of which most stays in the clients.
    for (const client of clients) for (let i = 0; i < 125; i++) client.command('SET', 'k', value)
    let last = -1
    await eventually(
      () => {
        const now = memory()
        const still = Math.abs(now - last) < 1
        last = now
        expect(still).toBe(true)
      },
      { intervalMs: 300 },
    )
    // What is in flight (64 MB), what waits of all clients (64 MB), one read of each client, and what the heap needs.
    expect(memory() - before).toBeLessThan(300)
    for (const client of clients) client.destroy()
  })

  test('is bounded when clients ask for much and read nothing, and others are served meanwhile', async () => {
    const redis = await startRedis()
    store = redis
    await redis.client().set('large', 'x'.repeat(2 * MB))
    understudy = await startUnderstudy({
      stores: { only: { url: redis.url, timeout: '60s' } },
      routes: [{ name: 'all', keys: ['*'], source: 'only' }],
      clients: { outputBuffer: '16mb' },
    })
    const before = memory()
    const lazy = await Promise.all(Array.from({ length: 5 }, () => RawClient.open(understudy!.port)))
    // In one packet: a client that has not read what it has is not asked for more commands, and never gets as far as the limit.
    const reads = Buffer.concat(Array.from({ length: 40 }, () => encodeCommand(['GET', 'large'])))
    for (const client of lazy) {
      client.socket.pause()
      client.send(reads)
    }
    const other = await RawClient.open(understudy.port)
    for (let i = 0; i < 200; i++) expect(await other.ask('PING')).toBe('+PONG\r\n')
    other.destroy()
    await eventually(() => expect(understudy!.stdout).toContain('beyond the hard limit of clients.outputBuffer'))
    expect(memory() - before).toBeLessThan(5 * 16 + 250)
    for (const client of lazy) client.destroy()
  })
})
