import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../../src/config/config.ts'
import { decodeReply } from '../../../src/resp/decode.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { farStore } from '../../support/far-store.ts'
import { holdReplies } from '../../support/held-replies.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest

beforeEach(async () => {
  ;[one, two] = await Promise.all([startRedis(), startRedis()])
})
afterEach(async () => {
  await path?.stop()
  await Promise.all([one.stop(), two.stop()])
})

type Target = 'one' | 'two'
const options = (phase: Phase, target: Target): DataPathOptions => ({
  stores: { one, two },
  routes: [
    {
      name: 'jobs',
      keys: ['job:{id}'],
      source: 'one',
      target: {
        store: target,
        keys: { 'job:{id}': 'step:{id}' },
        channels: { job_events: 'step_events', 'job:{id}:log': 'step:{id}:log' },
      },
      phase,
    },
    { name: 'rest', source: 'one' },
  ],
})
const subscriber = async (port: number, ...args: string[]): Promise<RawClient> => {
  const client = await RawClient.open(port)
  await client.ask('CONFIG', 'SET', 'notify-keyspace-events', 'KEA')
  client.command(...args)
  await client.take(args.length - 1)
  return client
}
/** What came so far: the last parts of messages, behind a marker that comes last. */
const heard = async (client: RawClient, marker = 'end'): Promise<string[]> => {
  const messages: string[] = []
  for (;;) {
    const frame = await client.next()
    const parts = (decodeReply(frame, 0, frame.length) as Buffer[]).map(String)
    if (parts.at(-1) === marker) return messages
    messages.push(parts.slice(1).join(' '))
  }
}

describe.each(['one', 'two'] as const)('channels under new names (target on store %s)', (target) => {
  test('in every phase and over every switch, old and new consumers get each message exactly once', async () => {
    path = await startDataPath(options('passthrough', target))
    const app = await subscriber(path.port, 'SUBSCRIBE', 'job_events', 'job:7:log', 'plain')
    const patterns = await subscriber(path.port, 'PSUBSCRIBE', '*_events', 'job:*')
    const old = await subscriber(one.port, 'SUBSCRIBE', 'job_events')
    const fresh = await subscriber((target === 'one' ? one : two).port, 'SUBSCRIBE', 'step_events', 'step:7:log')
    const producer = await path.raw()
    const sent: string[] = []
    const mirrored: string[] = []
    const kept: string[] = []
    const phases: Phase[] = ['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'shadow', 'switched', 'done']
    for (const [i, phase] of phases.entries()) {
      if (i > 0) await path.apply(options(phase, target))
      for (let n = 0; n < 20; n++) {
        producer.command('PUBLISH', 'job_events', `${i}.${n}`)
        sent.push(`job_events ${i}.${n}`)
        if (phase !== 'passthrough') mirrored.push(`step_events ${i}.${n}`)
        if (phase !== 'done') kept.push(`job_events ${i}.${n}`)
      }
      producer.send('MULTI\r\nPUBLISH job:7:log x\r\nPUBLISH plain y\r\nEXEC\r\n'.repeat(target === 'one' ? 1 : 0))
      await producer.take(target === 'one' ? 24 : 20)
      await settled(path)
    }
    // Down the same way as the others: `plain` is another store's, and nothing orders the two.
    producer.command('PUBLISH', 'job_events', 'end')
    expect((await heard(app)).filter((message) => message.startsWith('job_events'))).toEqual(sent)
    const one_ = await RawClient.open(one.port)
    const there = await RawClient.open((target === 'one' ? one : two).port)
    await one_.ask('PUBLISH', 'job_events', 'end')
    await there.ask('PUBLISH', 'step_events', 'end')
    expect(await heard(old)).toEqual(kept)
    expect((await heard(fresh)).filter((message) => message.startsWith('step_events'))).toEqual(mirrored)
    const matched = await heard(patterns)
    expect(matched.filter((message) => message.startsWith('*_events'))).toEqual(
      sent.map((message) => `*_events ${message}`),
    )
    expect(matched.filter((message) => message.includes('step'))).toEqual([])
    one_.destroy()
    there.destroy()
  })

  test('notifications are about the application’s own keys, under their names', async () => {
    path = await startDataPath(options('mirror', target))
    for (const server of [one, two]) await server.client().config('SET', 'notify-keyspace-events', 'KEA')
    const exact = await subscriber(path.port, 'SUBSCRIBE', '__keyspace@0__:job:1', '__keyevent@0__:set', 'job_events')
    const patterns = await subscriber(path.port, 'PSUBSCRIBE', '__keyspace@0__:job:*', '__key*__:*', 'job_*')
    const app = await path.raw()
    for (const phase of ['mirror', 'switched', 'mirror'] as const) {
      await path.apply(options(phase, target))
      await app.ask('SET', 'job:1', 'x')
      await app.ask('SET', 'other', 'x')
      await settled(path)
      // Behind what the stores have to say.
      await app.ask('SET', 'job:end', 'x')
      await settled(path)
      await app.ask('PUBLISH', 'job_events', 'end')
      const forExact = (await heard(exact)).sort()
      expect([phase, forExact]).toEqual([
        phase,
        [
          '__keyevent@0__:set job:1',
          '__keyevent@0__:set job:end',
          '__keyevent@0__:set other',
          '__keyspace@0__:job:1 set',
        ],
      ])
      const forPatterns = (await heard(patterns)).sort()
      expect([phase, forPatterns]).toEqual([
        phase,
        [
          '__key*__:* __keyevent@0__:set job:1',
          '__key*__:* __keyevent@0__:set job:end',
          '__key*__:* __keyevent@0__:set other',
          '__key*__:* __keyspace@0__:job:1 set',
          '__key*__:* __keyspace@0__:job:end set',
          '__key*__:* __keyspace@0__:other set',
          '__keyspace@0__:job:* __keyspace@0__:job:1 set',
          '__keyspace@0__:job:* __keyspace@0__:job:end set',
        ],
      ])
    }
  })
})

test('switches that come faster than subscribers can follow lose nothing and double nothing', async () => {
  path = await startDataPath(options('mirror', 'one'))
  const clients = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      subscriber(path.port, i % 2 === 0 ? 'SUBSCRIBE' : 'PSUBSCRIBE', i % 2 === 0 ? 'job_events' : 'job_*'),
    ),
  )
  for (let i = 0; i < 4; i++) {
    const client = await path.raw()
    for (const command of [['MULTI'], ['SUBSCRIBE', 'job_events'], ['EXEC']]) await client.ask(...command)
    clients.push(client)
  }
  const producer = await path.raw()
  const sent: string[] = []
  for (let i = 0; i < 11; i++) {
    const switching = path.apply(options(i % 2 === 0 ? 'switched' : 'mirror', 'one'))
    for (let n = 0; n < 20; n++) {
      producer.command('PUBLISH', 'job_events', `${i}.${n}`)
      sent.push(`${i}.${n}`)
    }
    await switching
  }
  await producer.take(sent.length)
  await settled(path)
  await producer.ask('PUBLISH', 'job_events', 'end')
  for (const client of clients) {
    expect((await heard(client)).map((message) => message.split(' ').at(-1))).toEqual(sent)
    client.destroy()
  }
  const direct = one.client()
  await eventually(async () => expect(await direct.pubsub('NUMSUB', 'job_events')).toEqual(['job_events', 0]))
})

test('a subscriber whose connection is slow hears nothing at its former place that it hears at the new one', async () => {
  const slow = await farStore(one.port, 25, (said) => said.includes('SUBSCRIBE'))
  const there = (phase: Phase): DataPathOptions => ({ ...options(phase, 'one'), stores: { one: { port: slow.port } } })
  try {
    path = await startDataPath(there('mirror'))
    const clients = await Promise.all([
      subscriber(path.port, 'SUBSCRIBE', 'job_events', 'job_other'),
      subscriber(path.port, 'PSUBSCRIBE', 'job_*'),
    ])
    let sent = 0
    let ends = false
    // The second one is of a route that stays: it is heard all the time, by patterns of before and of now.
    const producing = Promise.all(
      ['job_events', 'job_other'].map(async (channel) => {
        const producer = await path.raw()
        while (!ends) await producer.ask('PUBLISH', channel, sent++)
      }),
    )
    for (const phase of ['switched', 'mirror', 'switched', 'mirror'] as const) {
      const before = sent
      await path.apply(there(phase))
      await eventually(() => expect(sent).toBeGreaterThan(before + 20))
    }
    ends = true
    await producing
    await settled(path)
    await (await path.raw()).ask('PUBLISH', 'job_events', 'end')
    for (const client of clients) {
      const numbers = (await heard(client)).map((message) => Number(message.split(' ').at(-1)))
      expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, i) => i))
    }
  } finally {
    await slow.stop()
  }
})

test('a subscriber that is owed an answer when a switch comes hears nothing twice either', async () => {
  const slow = await farStore(one.port, 25, (said) => said.includes('SUBSCRIBE'))
  const there = (phase: Phase): DataPathOptions => ({ ...options(phase, 'one'), stores: { one: { port: slow.port } } })
  try {
    path = await startDataPath(there('mirror'))
    const client = await subscriber(path.port, 'SUBSCRIBE', 'job_events')
    const producer = await path.raw()
    const sent: string[] = []
    for (const [i, phase] of (['switched', 'mirror', 'switched', 'mirror'] as const).entries()) {
      client.command('SUBSCRIBE', `more:${i}`)
      await eventually(async () => expect(await producer.ask('CLIENT', 'LIST')).toContain(` sub=${i + 2} `))
      await path.apply(there(phase))
      for (let n = 0; n < 20; n++) {
        await producer.ask('PUBLISH', 'job_events', `${i}.${n}`)
        sent.push(`job_events ${i}.${n}`)
      }
    }
    await settled(path)
    await producer.ask('PUBLISH', 'job_events', 'end')
    expect((await heard(client)).filter((message) => !message.startsWith('more:'))).toEqual(sent)
  } finally {
    await slow.stop()
  }
})

test('a former store that does not confirm keeps no switch from its end', async () => {
  const network = await holdReplies(one.port)
  const there = (phase: Phase): DataPathOptions => ({
    ...options(phase, 'two'),
    stores: { one: { port: network.port }, two },
  })
  try {
    path = await startDataPath(there('mirror'))
    const client = await subscriber(path.port, 'SUBSCRIBE', 'job_events')
    network.hold((sent) => sent.includes('SUBSCRIBE'))
    await path.apply(there('switched'))
    const producer = await path.raw()
    await producer.ask('PUBLISH', 'job_events', 'first')
    await producer.ask('PUBLISH', 'job_events', 'end')
    expect(await heard(client)).toEqual(['job_events first'])
    // What was owed dies with the connection, and the client with neither.
    await (await RawClient.open(one.port)).ask('CLIENT', 'KILL', 'TYPE', 'pubsub')
    network.release()
    await path.apply(there('mirror'))
    await producer.ask('PUBLISH', 'job_events', 'second')
    await producer.ask('PUBLISH', 'job_events', 'end')
    expect(await heard(client)).toEqual(['job_events second'])
    await eventually(async () => expect(await two.client().pubsub('NUMSUB', 'step_events')).toEqual(['step_events', 0]))
  } finally {
    await network.stop()
  }
})

test('a subscriber to what two stores have, and one that leaves, leave no connection behind', async () => {
  path = await startDataPath(options('switched', 'two'))
  const client = await subscriber(path.port, 'SUBSCRIBE', 'job_events', 'plain')
  const [first, second] = [one.client(), two.client()]
  expect(await first.pubsub('NUMSUB', 'plain', 'job_events')).toEqual(['plain', 1, 'job_events', 0])
  expect(await second.pubsub('NUMSUB', 'step_events')).toEqual(['step_events', 1])
  expect(await client.ask('UNSUBSCRIBE', 'job_events')).toBe('*3\r\n$11\r\nunsubscribe\r\n$10\r\njob_events\r\n:1\r\n')
  await eventually(async () => expect(await second.pubsub('NUMSUB', 'step_events')).toEqual(['step_events', 0]))
  client.command('SUBSCRIBE', 'job_events')
  await client.next()
  const other = path.client()
  expect(await other.pubsub('NUMSUB', 'plain', 'job_events', 'none')).toEqual(['plain', 1, 'job_events', 1, 'none', 0])
  expect(((await other.pubsub('CHANNELS')) as string[]).sort()).toEqual(['job_events', 'plain'])
  expect(await other.pubsub('CHANNELS', 'job_*')).toEqual(['job_events'])
  expect(await other.pubsub('CHANNELS', 'step_*')).toEqual([])
  client.destroy()
  await eventually(async () => expect(await first.pubsub('NUMSUB', 'plain')).toEqual(['plain', 0]))
})

test('a message of a transaction that flushes a database is heard at the other end, too', async () => {
  path = await startDataPath({
    stores: { one, two },
    routes: [{ source: 'one', target: { store: 'two', channels: { job_events: 'step_events' } }, phase: 'mirror' }],
  })
  const there = await subscriber(two.port, 'SUBSCRIBE', 'step_events')
  const app = await path.raw()
  app.send('MULTI\r\nFLUSHDB\r\nPUBLISH job_events x\r\nEXEC\r\nPUBLISH job_events end\r\n')
  await app.take(5)
  expect(await heard(there)).toEqual(['step_events x'])
  there.destroy()
})
