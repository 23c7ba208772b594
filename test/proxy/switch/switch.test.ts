import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { packBytes } from '../../../src/base/packed-bytes.ts'
import type { Phase } from '../../../src/config/config.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let source: RedisServer
let target: RedisServer
let path: DataPathUnderTest
let atSource: RawClient
let atTarget: RawClient

const options = (phase: Phase, more: Partial<DataPathOptions> = {}): DataPathOptions => ({
  stores: { source, target },
  routes: [{ source: 'source', target: 'target', phase }],
  ...more,
})

beforeEach(async () => {
  ;[source, target] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath(options('mirror'))
  ;[atSource, atTarget] = await Promise.all([RawClient.open(source.port), RawClient.open(target.port)])
})
afterEach(async () => {
  atSource.destroy()
  atTarget.destroy()
  await path.stop()
  await Promise.all([source.stop(), target.stop()])
})

const blockedAt = (store: RawClient, count: number): Promise<void> =>
  eventually(async () => expect(await store.ask('INFO', 'clients')).toContain(`blocked_clients:${count}\r\n`))

describe('a switch', () => {
  test('takes blocked commands along', async () => {
    const [taker, reader, giver] = [await path.raw(), await path.raw(), await path.raw()]
    await giver.ask('XADD', 's', '1-1', 'f', 'v')
    taker.command('BLPOP', 'l', 0)
    reader.command('XREAD', 'BLOCK', 60_000, 'STREAMS', 's', '$')
    await blockedAt(atSource, 2)
    await path.apply(options('switched'))
    await blockedAt(atTarget, 2)
    await blockedAt(atSource, 0)
    await giver.ask('RPUSH', 'l', 'x')
    await giver.ask('XADD', 's', '2-2', 'f', 'w')
    expect(await taker.text()).toBe('*2\r\n$1\r\nl\r\n$1\r\nx\r\n')
    expect(await reader.text()).toContain('2-2')
    expect(await atTarget.ask('EXISTS', 'l')).toBe(':0\r\n')
    await eventually(async () => expect(await atSource.ask('EXISTS', 'l')).toBe(':0\r\n'))
  })

  test('takes them along also behind changes that left them where they were, and what they take is mirrored', async () => {
    const [taker, mover, giver] = [await path.raw(), await path.raw(), await path.raw()]
    const ids = [taker, mover].map(async (client) => (await client.ask('CLIENT', 'ID')).slice(1).trim())
    taker.command('BLPOP', 'l', 0)
    mover.command('BLMOVE', 'm', 'n', 'LEFT', 'LEFT', 0)
    await blockedAt(atSource, 2)
    // A server lets them wait on, and refuses them who come now.
    for (const key of ['l', 'm']) await giver.ask('SET', key, 'x')
    for (const phase of ['shadow', 'read-target', 'mirror', 'shadow'] as const) await path.apply(options(phase))
    await blockedAt(atSource, 2)
    for (const id of await Promise.all(ids)) expect(await giver.ask('CLIENT', 'LIST', 'ID', id)).toContain(' flags=b ')
    await giver.ask('DEL', 'l', 'm')
    await giver.ask('RPUSH', 'l', 'a', 'b')
    expect(await taker.text()).toBe('*2\r\n$1\r\nl\r\n$1\r\na\r\n')
    await path.apply(options('switched'))
    await blockedAt(atTarget, 1)
    await giver.ask('RPUSH', 'm', 'c', 'd')
    expect(await mover.text()).toBe('$1\r\nc\r\n')
    await settled(path)
    for (const store of [atSource, atTarget]) {
      expect(await store.ask('LRANGE', 'l', 0, -1)).toBe('*1\r\n$1\r\nb\r\n')
      expect(await store.ask('LRANGE', 'm', 0, -1)).toBe('*1\r\n$1\r\nd\r\n')
      expect(await store.ask('LRANGE', 'n', 0, -1)).toBe('*1\r\n$1\r\nc\r\n')
    }
  })

  test('ends blocked commands that it may not call back, and says that they may have been executed', async () => {
    const taker = await path.raw()
    taker.command('BLPOP', 'l', 0)
    await blockedAt(atSource, 1)
    expect(await atSource.ask('ACL', 'SETUSER', 'default', '-client|unblock')).toBe('+OK\r\n')
    await path.apply(options('switched'))
    expect(await taker.text()).toMatch(/^-ERR .*called back.*may have been executed/)
    await blockedAt(atSource, 0)
    expect(await taker.ask('RPUSH', 'l', 'x')).toBe(':1\r\n')
    expect(await taker.ask('BLPOP', 'l', 0)).toBe('*2\r\n$1\r\nl\r\n$1\r\nx\r\n')
  })

  test('leaves blocked commands their own timeout', async () => {
    const taker = await path.raw()
    const began = performance.now()
    taker.command('BLPOP', 'l', '0.6')
    // Its last command, which it remains when it is over already.
    const looker = await path.raw()
    await eventually(async () => expect(await looker.ask('CLIENT', 'LIST')).toContain(' cmd=blpop '))
    await path.apply(options('switched'))
    await path.apply(options('mirror'))
    expect(await taker.text()).toBe('*-1\r\n')
    const took = performance.now() - began
    expect(took).toBeGreaterThan(550)
    expect(took).toBeLessThan(15_000)
  })

  test('takes along what is queued, and lets go what is watched', async () => {
    const [queued, watching, both, wrong] = [await path.raw(), await path.raw(), await path.raw(), await path.raw()]
    await queued.ask('MULTI')
    await queued.ask('INCR', 'n')
    await watching.ask('WATCH', 'n')
    await both.ask('WATCH', 'm')
    await both.ask('MULTI')
    await both.ask('INCR', 'm')
    for (const command of [['WATCH', 'm'], ['MULTI'], ['INCR']]) await wrong.ask(...command)
    await path.apply(options('switched'))
    expect(await queued.ask('INCR', 'n')).toBe('+QUEUED\r\n')
    expect(await queued.ask('EXEC')).toBe('*2\r\n:1\r\n:2\r\n')
    expect(await both.ask('EXEC')).toBe('*-1\r\n')
    expect(await wrong.ask('EXEC')).toMatch(/^-EXECABORT .* because of previous errors/)
    await watching.ask('MULTI')
    await watching.ask('INCR', 'n')
    expect(await watching.ask('EXEC')).toBe('*-1\r\n')
    expect(await watching.ask('INCR', 'n')).toBe(':3\r\n')
    expect(await atTarget.ask('MGET', 'n', 'm')).toBe('*2\r\n$1\r\n3\r\n$-1\r\n')
    await eventually(async () => expect(await atSource.ask('MGET', 'n', 'm')).toBe('*2\r\n$1\r\n3\r\n$-1\r\n'))
  })

  test('takes subscribers and monitors along, and drops nobody', async () => {
    const [subscriber, resp3, monitor, client] = [
      await path.raw(),
      await path.raw(),
      await path.raw(),
      await path.raw(),
    ]
    await subscriber.ask('SUBSCRIBE', 'ch')
    subscriber.command('PSUBSCRIBE', 'p*')
    await subscriber.text()
    await resp3.ask('HELLO', 3)
    await resp3.ask('SUBSCRIBE', 'ch')
    await monitor.ask('MONITOR')
    await path.apply(options('switched'))
    await eventually(async () => expect(await atTarget.ask('PUBSUB', 'NUMSUB', 'ch')).toContain(':2\r\n'))
    await eventually(async () => expect(await atSource.ask('PUBSUB', 'NUMSUB', 'ch')).toContain(':0\r\n'))
    await client.ask('PUBLISH', 'ch', 'one')
    await client.ask('PUBLISH', 'pq', 'two')
    expect(await subscriber.take(2)).toEqual([
      '*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$3\r\none\r\n',
      '*4\r\n$8\r\npmessage\r\n$2\r\np*\r\n$2\r\npq\r\n$3\r\ntwo\r\n',
    ])
    expect(await resp3.text()).toBe('>3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$3\r\none\r\n')
    for (;;) if ((await monitor.text()).includes('"PUBLISH" "ch" "one"')) break
    subscriber.command('UNSUBSCRIBE')
    subscriber.command('PUNSUBSCRIBE')
    await subscriber.take(2)
    expect(await subscriber.ask('PING')).toBe('+PONG\r\n')
  })

  test('takes along a monitor that subscribes as well, and goes on showing after the last UNSUBSCRIBE', async () => {
    const [both, client] = [await path.raw(), await path.raw()]
    await both.ask('HELLO', 3)
    await both.ask('SUBSCRIBE', 'ch')
    expect(await both.ask('MONITOR')).toBe('+OK\r\n')
    const shown = async (word: string): Promise<void> => {
      await client.ask('ECHO', word)
      for (;;) if ((await both.text()).includes(`"ECHO" "${word}"`)) return
    }
    await path.apply(options('switched'))
    await eventually(async () => expect(await atSource.ask('CLIENT', 'LIST')).not.toContain('cmd=monitor'))
    await shown('moved')
    await client.ask('PUBLISH', 'ch', 'one')
    for (;;) if ((await both.text()).endsWith('\r\nch\r\n$3\r\none\r\n')) break
    both.command('UNSUBSCRIBE')
    for (;;) if ((await both.text()).includes('unsubscribe')) break
    await shown('still')
    await path.apply(options('shadow'))
    await eventually(async () => expect(await atTarget.ask('CLIENT', 'LIST')).not.toContain('cmd=monitor'))
    await shown('back')
  })

  test('back and forth under a queue: every element is taken once', async () => {
    const takers = await Promise.all(Array.from({ length: 5 }, () => path.raw()))
    const giver = await path.raw()
    const taken: string[] = []
    const working = takers.map(async (taker) => {
      for (;;) {
        const [, , , , value] = (await taker.ask('BLPOP', 'l', 0)).split('\r\n')
        if (value === 'stop') return
        taken.push(value!)
      }
    })
    let given = 0
    let stop = false
    const giving = (async () => {
      while (!stop) {
        expect(await giver.ask('RPUSH', 'l', given)).toMatch(/^:/)
        given++
      }
    })()
    for (let i = 0; i < 6; i++) {
      const before = given
      await eventually(() => expect(given).toBeGreaterThan(before + 50))
      await path.apply(options(i % 2 === 0 ? 'switched' : 'mirror'))
    }
    stop = true
    await giving
    for (const _ of takers) await giver.ask('RPUSH', 'l', 'stop')
    await Promise.all(working)
    expect(taken.sort()).toEqual(Array.from({ length: given }, (_, i) => `${i}`).sort())
  })
})

test('new settings of a store: nobody is disconnected, and what waits goes on waiting', async () => {
  const [taker, subscriber, queued, client] = [await path.raw(), await path.raw(), await path.raw(), await path.raw()]
  taker.command('BLPOP', 'l', 0)
  await blockedAt(atSource, 1)
  await subscriber.ask('SUBSCRIBE', 'ch')
  await queued.ask('MULTI')
  await queued.ask('INCR', 'n')
  // With the routes held, as the sidecar does it, and without.
  for (const [timeoutMs, hold] of [
    [11_000, ['all']],
    [12_000, []],
  ] as const) {
    const change = path.change(options('mirror', { store: { timeoutMs } }))
    expect(await path.runtime.apply({ ...change, hold })).toMatchObject({ ok: true })
    await blockedAt(atSource, 1)
  }
  await eventually(async () => expect(await client.ask('PUBLISH', 'ch', 'x')).toBe(':1\r\n'))
  expect(await subscriber.text()).toContain('message')
  await client.ask('RPUSH', 'l', 'x')
  expect(await taker.text()).toBe('*2\r\n$1\r\nl\r\n$1\r\nx\r\n')
  expect(await queued.ask('EXEC')).toBe('*1\r\n:1\r\n')
})

describe('a switch, and a job that writes to the primary itself,', () => {
  const writing = (store: string, ...keys: string[]): Promise<number | null> =>
    path.runtime.jobs.writing(store, 0, packBytes(keys.map((key) => Buffer.from(key))))
  const wrote = (number: number | null, ...doubtful: string[]): Promise<boolean> =>
    path.runtime.jobs.wrote(number!, packBytes(doubtful.map((key) => Buffer.from(key))))

  test('waits for the page that is being written, lets no other begin, and the job hears that its store is the primary no more', async () => {
    const client = await path.raw()
    await client.ask('SET', 'k', 'old')
    const page = await writing('source', 'k')
    let isOver = false
    const applied = path.apply(options('switched'))
    applied.then(() => (isOver = true))
    await atSource.ask('SET', 'k', 'imported')
    client.command('GET', 'k')
    // Long enough for a switch that does not wait.
    for (let i = 0; i < 100; i++) await atSource.ask('PING')
    expect(isOver).toBe(false)
    const next = writing('source', 'l')
    expect(await wrote(page, 'k')).toBe(true)
    await applied
    expect(await client.text()).toBe('$8\r\nimported\r\n')
    expect(await next).toBeNull()
  })

  test('is called off where the page takes too long', async () => {
    const page = await writing('source', 'k')
    expect(await path.runtime.apply({ ...path.change(options('switched')), holdTimeoutMs: 50 })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('an import or restore'),
    })
    expect(await wrote(page)).toBe(true)
    const again = await writing('source', 'k')
    expect(again).not.toBeNull()
    await wrote(again)
  })

  test('does not wait for it for ever where it is forced: the job hears of it, and nothing is copied before a verify', async () => {
    const client = await path.raw()
    await client.ask('SET', 'k', 'old')
    await eventually(async () => expect(await atTarget.ask('GET', 'k')).toBe('$3\r\nold\r\n'))
    const page = await writing('source', 'k', 'l')
    await atSource.ask('MSET', 'k', 'imported', 'l', 'imported')
    const forced = { ...path.change(options('switched')), force: true, holdTimeoutMs: 50 }
    expect(await path.runtime.apply(forced)).toMatchObject({ ok: true })
    expect(await wrote(page, 'k', 'l')).toBe(false)
    expect(await writing('source', 'k')).toBeNull()
    expect(path.runtime.stats().routes['all']).toMatchObject({
      ...{ needsVerify: true, verifyCauses: ['turned'], dirtyKeys: 0 },
    })
    // What is written next arrives at the former primary, and nothing else has.
    await client.ask('SET', 'next', 'x')
    await eventually(async () => expect(await atSource.ask('GET', 'next')).toBe('$1\r\nx\r\n'))
    expect(await atSource.ask('MGET', 'k', 'l')).toBe('*2\r\n$8\r\nimported\r\n$8\r\nimported\r\n')
  })
})
