import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function redis(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await startRedis(options)
  cleanUps.push(() => server.stop())
  return server
}
async function through(options: DataPathOptions): Promise<DataPathUnderTest> {
  const path = await startDataPath(options)
  cleanUps.push(() => path.stop())
  return path
}

function advice(path: DataPathUnderTest): string[] {
  return path.notices.flatMap((n) => (n.kind === 'log' && n.line.fields?.code !== undefined ? [n.line.msg] : []))
}

describe('what a store says when it cannot serve reaches the client as it is', () => {
  test('READONLY of a replica, and MASTERDOWN when it has lost its primary; what is not written is not mirrored', async () => {
    const primary = await redis({ args: ['--repl-diskless-sync-delay', '0'] })
    const replica = await redis({
      args: ['--replicaof', '127.0.0.1', String(primary.port), '--replica-serve-stale-data', 'no'],
    })
    const shadow = await redis()
    const path = await through({
      stores: { replica, shadow },
      routes: [{ source: 'replica', target: 'shadow', phase: 'mirror' }],
    })
    const [raw, direct] = [await path.raw(), await RawClient.open(replica.port)]
    await primary.client().set('k', 'v')
    await eventually(async () => expect(await raw.ask('GET', 'k')).toBe('$1\r\nv\r\n'))
    for (const command of [
      ['SET', 'k', 'x'],
      ['INCR', 'n'],
    ]) {
      expect(await raw.ask(...command)).toBe(await direct.ask(...command))
    }
    expect(await raw.ask('SET', 'k', 'x')).toMatch(/^-READONLY/)
    await settled(path)
    expect(await shadow.client().dbsize()).toBe(0)
    await primary.kill9()
    await eventually(async () => expect(await raw.ask('GET', 'k')).toMatch(/^-MASTERDOWN/))
    expect(await raw.ask('SET', 'k', 'x')).toBe(await direct.ask('SET', 'k', 'x'))
    expect(advice(path).sort()).toEqual([
      expect.stringContaining('the store is a replica and refuses writes'),
      expect.stringContaining('has lost its primary'),
    ])
    direct.destroy()
  })

  test('OOM, from either side: the application is told of its own store only, and the other is copied when there is room', async () => {
    const source = await redis()
    const target = await redis()
    const path = await through({
      stores: { source, target },
      routes: [{ source: 'source', target: 'target', phase: 'mirror' }],
    })
    const raw = await path.raw()
    await target.client().config('SET', 'maxmemory', '1')
    for (let i = 0; i < 20; i++) expect(await raw.ask('SET', `k${i}`, i)).toBe('+OK\r\n')
    await eventually(() => expect(path.runtime.stats().routes['all']!.dirtyKeys).toBe(20))
    await source.client().config('SET', 'maxmemory', '1')
    expect(await raw.ask('SET', 'k0', 'refused')).toMatch(/^-OOM command not allowed/)
    expect(await raw.ask('GET', 'k0')).toBe('$1\r\n0\r\n')
    await source.client().config('SET', 'maxmemory', '0')
    await target.client().config('SET', 'maxmemory', '0')
    await settled(path)
    expect(await driftBetween(source, target)).toEqual([])
    expect(advice(path)).toEqual([expect.stringContaining('maxmemory')])
  })

  test('BUSY while a script runs; SCRIPT KILL ends it, and everybody goes on', async () => {
    const store = await redis({ args: ['--busy-reply-threshold', '50'] })
    const path = await through({ stores: { store } })
    const [script, other, killer] = [await path.raw(), await path.raw(), await path.raw()]
    expect(await other.ask('PING')).toBe('+PONG\r\n')
    const direct = await RawClient.open(store.port)
    script.command('EVAL', 'while true do end', 0)
    await eventually(async () => expect(await direct.ask('PING')).toMatch(/^-BUSY/))
    await eventually(async () => expect(await killer.ask('SCRIPT', 'KILL')).toBe('+OK\r\n'))
    expect(await script.text()).toMatch(/^-ERR Error running script|^-ERR .*Script killed/)
    expect(await other.ask('SET', 'k', 'v')).toBe('+OK\r\n')
    direct.destroy()
  })

  test('LOADING, TRYAGAIN, NOREPLICAS, MISCONF, and whatever comes later', async () => {
    const words = [
      'LOADING Redis is loading the dataset in memory',
      'TRYAGAIN Multiple keys',
      'NOREPLICAS Not enough good replicas to write.',
      'MISCONF Redis is configured to save RDB snapshots',
      'FUTURE word',
    ]
    let at = 0
    const store = await FakeStore.start(() => `-${words[at]}\r\n`)
    cleanUps.push(() => store.stop())
    const path = await through({ stores: { store: { port: store.port } } })
    const raw = await path.raw()
    for (at = 0; at < words.length; at++) expect(await raw.ask('SET', 'k', 'v')).toBe(`-${words[at]}\r\n`)
    expect(advice(path)).toEqual([expect.stringContaining('is loading its data')])
  })

  test('MOVED of a cluster that was named by mistake: the log says what to do, once', async () => {
    const store = await FakeStore.start((args) => (args[0] === 'GET' ? '-MOVED 3999 127.0.0.1:6381\r\n' : '+OK\r\n'))
    cleanUps.push(() => store.stop())
    const path = await through({ stores: { store: { port: store.port } } })
    const raw = await path.raw()
    for (let i = 0; i < 50; i++) expect(await raw.ask('GET', 'k')).toBe('-MOVED 3999 127.0.0.1:6381\r\n')
    expect(advice(path)).toEqual([expect.stringContaining('node of a cluster')])
    expect(JSON.stringify(path.notices)).not.toContain('6381')
  })

  test('CLUSTERDOWN of a real node without its slots', async () => {
    const store = await redis({ args: ['--cluster-enabled', 'yes'] })
    const path = await through({ stores: { store } })
    const [raw, direct] = [await path.raw(), await RawClient.open(store.port)]
    // A node that has just started may say it in other words a moment later.
    await eventually(async () => expect(await raw.ask('GET', 'k')).toBe(await direct.ask('GET', 'k')))
    expect(advice(path)).toEqual([expect.stringContaining('does not serve every slot')])
    direct.destroy()
  })
})

describe('a connection that is dead without a word', () => {
  test('is found by the kernel: its probes are on, to stores and to clients', async () => {
    const store = await redis()
    const path = await through({ stores: { store } })
    const raw = await path.raw()
    raw.command('BLPOP', 'queue', 0)
    // The shared connection and the one that blocks; and this end of the client's.
    await eventually(() => {
      expect(probed().filter(({ to }) => to === store.port).length).toBeGreaterThan(1)
      expect(probed().filter(({ from, to }) => from === path.port && to === raw.socket.localPort).length).toBe(1)
    })
  })
})

/** Ports of the TCP connections of this machine whose keepalive timer runs (timer 2 in /proc/net/tcp). */
function probed(): { from: number; to: number }[] {
  const port = (address: string): number => Number.parseInt(address.split(':')[1]!, 16)
  return readFileSync('/proc/net/tcp', 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[5]?.startsWith('02:'))
    .map((fields) => ({ from: port(fields[1]!), to: port(fields[2]!) }))
}
