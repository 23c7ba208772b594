import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let direct: RedisServer
let store: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[direct, store] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({ stores: { only: store } })
})
afterAll(async () => {
  await path.stop()
  await Promise.all([direct.stop(), store.stop()])
})

type Script = readonly (readonly (string | number)[])[]

/** What is sent, and how many frames come back. */
const SCRIPTS: Readonly<Record<string, { script: Script; frames: { 2: number; 3: number } }>> = {
  'subscribe, and no more': {
    script: [
      ['SUBSCRIBE', 'a', 'b'],
      ['UNSUBSCRIBE', 'a'],
      ['UNSUBSCRIBE', 'b'],
      ['GET', 'k'],
    ],
    frames: { 2: 5, 3: 5 },
  },
  'the same twice': {
    script: [['SUBSCRIBE', 'a', 'a'], ['UNSUBSCRIBE'], ['GET', 'k']],
    frames: { 2: 4, 3: 4 },
  },
  patterns: {
    script: [['PSUBSCRIBE', 'a*', 'b?'], ['PUNSUBSCRIBE'], ['GET', 'k']],
    frames: { 2: 5, 3: 5 },
  },
  'sharded channels': {
    script: [
      ['SSUBSCRIBE', 'a'],
      ['SUNSUBSCRIBE', 'a'],
      ['GET', 'k'],
    ],
    frames: { 2: 3, 3: 3 },
  },
  'unsubscribe from nothing': {
    script: [['UNSUBSCRIBE'], ['PUNSUBSCRIBE'], ['SUNSUBSCRIBE', 'x'], ['GET', 'k']],
    frames: { 2: 4, 3: 4 },
  },
  'what is allowed meanwhile': {
    script: [
      ['SUBSCRIBE', 'a'],
      ['PING'],
      ['PING', 'x'],
      ['PSUBSCRIBE', 'b*'],
      ['UNSUBSCRIBE'],
      ['PUNSUBSCRIBE'],
      ['PING'],
    ],
    frames: { 2: 7, 3: 7 },
  },
  'what is refused meanwhile': {
    script: [
      ['SUBSCRIBE', 'a'],
      ['GET', 'k'],
      ['CLIENT', 'GETNAME'],
      ['CLIENT', 'ID', 'x'],
      ['CLIENT', 'NOPE'],
      ['OBJECT', 'NOPE', 'k'],
      ['GET'],
      ['SUBSCRIBE'],
      ['UNSUBSCRIBE'],
      ['PING'],
    ],
    frames: { 2: 10, 3: 10 },
  },
  'a message to itself': {
    script: [
      ['SUBSCRIBE', 'a'],
      ['UNSUBSCRIBE', 'a'],
      ['PUBLISH', 'a', 'x'],
    ],
    frames: { 2: 3, 3: 3 },
  },
  'reset while subscribed': { script: [['SUBSCRIBE', 'a'], ['RESET'], ['GET', 'k']], frames: { 2: 3, 3: 3 } },
  'quit while subscribed': { script: [['SUBSCRIBE', 'a'], ['QUIT']], frames: { 2: 2, 3: 2 } },
  'subscribe between WATCH and EXEC': {
    script: [
      ['WATCH', 'k'],
      ['SUBSCRIBE', 'a'],
      ['UNSUBSCRIBE', 'a'],
      ['SET', 'k', 1],
      ['MULTI'],
      ['SET', 'k', 2],
      ['EXEC'],
    ],
    frames: { 2: 7, 3: 7 },
  },
}

/** What a subscriber of RESP3 says, who may say anything. */
const OVER_RESP3: typeof SCRIPTS = {
  'subscribe inside MULTI, behind WATCH and SUBSCRIBE': {
    script: [
      ['WATCH', 'k'],
      ['SUBSCRIBE', 'a'],
      ['MULTI'],
      ['SUBSCRIBE', 'b'],
      ['UNSUBSCRIBE', 'a'],
      ['SET', 'k', 1],
      ['EXEC'],
      ['GET', 'k'],
    ],
    frames: { 2: 0, 3: 8 },
  },
  'the same, and DISCARD': {
    script: [
      ['WATCH', 'k'],
      ['SUBSCRIBE', 'a'],
      ['MULTI'],
      ['UNSUBSCRIBE', 'a'],
      ['DISCARD'],
      ['UNSUBSCRIBE'],
      ['GET', 'k'],
    ],
    frames: { 2: 0, 3: 7 },
  },
  'subscribe between SUBSCRIBE, WATCH and what is answered here': {
    script: [
      ['SUBSCRIBE', 'a'],
      ['WATCH', 'k'],
      ['SUBSCRIBE', 'b'],
      ['CLIENT', 'GETNAME'],
      ['GET', 'k'],
      ['MULTI'],
      ['EXEC'],
    ],
    frames: { 2: 0, 3: 7 },
  },
}

describe.each([2, 3] as const)('subscribers over RESP%i', (protocol) => {
  const open = async (port: number) => {
    const client = await RawClient.open(port)
    await client.ask('HELLO', protocol)
    return client
  }
  const play = async (port: number, script: Script, frames: number, pieces: boolean) => {
    const cleaner = await RawClient.open(port)
    await cleaner.ask('FLUSHALL')
    cleaner.destroy()
    const client = await open(port)
    if (pieces) for (const command of script) await client.sendApart(encodeCommand(command))
    else client.send(Buffer.concat(script.map((command) => encodeCommand(command))))
    const replies = await client.take(frames)
    client.destroy()
    return replies
  }

  const scripts = protocol === 3 ? { ...SCRIPTS, ...OVER_RESP3 } : SCRIPTS
  test.each(Object.entries(scripts))('%s: the server answers the same', async (_name, { script, frames }) => {
    const expected = await play(direct.port, script, frames[protocol], false)
    expect(await play(path.port, script, frames[protocol], false)).toEqual(expected)
    expect(await play(path.port, script, frames[protocol], true)).toEqual(expected)
  })
})

test('everybody who is subscribed gets every message, in order', async () => {
  const subscribers = await Promise.all(Array.from({ length: 10 }, () => path.raw()))
  for (const subscriber of subscribers) await subscriber.ask('SUBSCRIBE', 'news')
  const publisher = await path.raw()
  for (let i = 0; i < 100; i++) publisher.command('PUBLISH', 'news', i)
  expect(new Set(await publisher.take(100))).toEqual(new Set([':10\r\n']))
  for (const subscriber of subscribers) {
    const messages = await subscriber.take(100)
    const expected = Array.from(
      { length: 100 },
      (_, i) => `*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$${`${i}`.length}\r\n${i}\r\n`,
    )
    expect(messages).toEqual(expected)
    subscriber.destroy()
  }
})

test('a message as large as can be, while others go on', async () => {
  const [subscriber, publisher] = [await path.raw(), await path.raw()]
  await subscriber.ask('SUBSCRIBE', 'large')
  const message = Buffer.alloc(5_000_000, 'x')
  expect(await publisher.ask('PUBLISH', 'large', message)).toBe(':1\r\n')
  expect((await subscriber.next()).length).toBeGreaterThan(message.length)
})

test('a RESP3 subscriber does everything else meanwhile, and gets messages in between', async () => {
  const client = await path.raw()
  await client.ask('HELLO', 3)
  expect(await client.ask('SUBSCRIBE', 'ch')).toBe('>3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n')
  expect(await client.ask('SET', 'k', 1)).toBe('+OK\r\n')
  client.send(Buffer.concat([encodeCommand(['MULTI']), encodeCommand(['INCR', 'k']), encodeCommand(['EXEC'])]))
  expect(await client.take(3)).toEqual(['+OK\r\n', '+QUEUED\r\n', '*1\r\n:2\r\n'])
  await client.ask('WATCH', 'k')
  await client.ask('INCR', 'k')
  await client.ask('MULTI')
  await client.ask('INCR', 'k')
  expect(await client.ask('EXEC')).toBe('_\r\n')
  expect(await client.ask('BLPOP', 'none', '0.01')).toBe('_\r\n')
  const publisher = await path.raw()
  await publisher.ask('PUBLISH', 'ch', 'still there')
  expect(await client.text()).toBe('>3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$11\r\nstill there\r\n')
  expect(await client.ask('UNSUBSCRIBE')).toBe('>3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:0\r\n')
})

test('a RESP3 client that subscribes and publishes in one breath gets its message', async () => {
  for (let i = 0; i < 50; i++) {
    const client = await path.raw()
    await client.ask('HELLO', 3)
    client.send(Buffer.concat([encodeCommand(['SUBSCRIBE', 'self']), encodeCommand(['PUBLISH', 'self', 'x'])]))
    const frames = await client.take(3)
    expect(frames.filter((frame) => frame.includes('message'))).toHaveLength(1)
    client.destroy()
    const admin = await RawClient.open(store.port)
    await eventually(async () => expect(await admin.ask('PUBSUB', 'NUMSUB', 'self')).toContain(':0\r\n'))
    admin.destroy()
  }
})

test('a client that reads and subscribes in one transaction misses nothing that is published behind it', async () => {
  const publisher = await RawClient.open(path.port)
  let publishing = true
  const published = (async () => {
    let last = 0
    while (publishing) {
      publisher.send(
        Buffer.concat([
          encodeCommand(['MULTI']),
          encodeCommand(['INCR', 'told']),
          encodeCommand(['PUBLISH', 'tells', String(last + 1)]),
          encodeCommand(['EXEC']),
        ]),
      )
      for (let i = 0; i < 4; i++) await publisher.next()
      last++
    }
    return last
  })()
  const readers = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const reader = await RawClient.open(path.port)
      for (const command of [['MULTI'], ['GET', 'told'], ['SUBSCRIBE', 'tells']]) await reader.ask(...command)
      const read = Number((await reader.ask('EXEC')).split('\r\n')[2] ?? 0)
      return { reader, read }
    }),
  )
  await eventually(() => expect(readers.every(({ reader }) => reader.unread > 3)).toBe(true))
  publishing = false
  const last = await published
  for (const { reader, read } of readers) {
    const messages: number[] = []
    while (messages.at(-1) !== last) messages.push(Number((await reader.text()).split('\r\n').at(-2)))
    const behind = messages.filter((message) => message > read)
    expect(behind).toEqual(Array.from({ length: last - read }, (_, i) => read + 1 + i))
  }
  for (const { reader } of readers) reader.destroy()
  publisher.destroy()
})

test('a subscriber that leaves leaves no connection behind', async () => {
  const admin = await RawClient.open(store.port)
  for (const protocol of [2, 3]) {
    const client = await path.raw()
    await client.ask('HELLO', protocol)
    await client.ask('SUBSCRIBE', 'left')
    expect(await admin.ask('PUBSUB', 'NUMSUB', 'left')).toContain(':1\r\n')
    client.destroy()
    await eventually(async () => expect(await admin.ask('PUBSUB', 'NUMSUB', 'left')).toContain(':0\r\n'))
  }
  admin.destroy()
})

test('MONITOR does not show how Understudy opens connections of its own', async () => {
  const [monitor, worker] = [await path.raw(), await path.raw()]
  expect(await monitor.ask('MONITOR')).toBe('+OK\r\n')
  // A transaction that comes step by step has one, in a database where none waits in the pool.
  for (const command of [['SELECT', 11], ['MULTI'], ['SET', 'seen', 1], ['EXEC']]) await worker.ask(...command)
  const lines: string[] = []
  while (!lines.at(-1)?.toLowerCase().includes('"exec"')) lines.push(await monitor.text())
  expect(lines.join('')).toContain('"SET" "seen" "1"')
  expect(lines.map((line) => line.replace(/^[^"]*/, '')).filter((line) => !/SELECT|COMMAND|INFO/.test(line))).toEqual([
    '"MULTI"\r\n',
    '"SET" "seen" "1"\r\n',
    '"EXEC"\r\n',
  ])
})

test('MONITOR shows what Understudy answers itself, without passwords, and each command as it was written', async () => {
  const [monitor, worker] = [await path.raw(), await path.raw()]
  expect(await monitor.ask('MONITOR')).toBe('+OK\r\n')
  const name = 'a"b'
  const commands = [
    ['client', 'setname', 'x'],
    ['auth', 'secret'],
    ['auth', name, 'secret'],
    ['hello', 2, 'AUTH', name, 'secret', 'SETNAME', 'y'],
    ['echo', 'between'],
    ['select', 3],
    ['discard'],
    ['unwatch'],
    ['watch', 'k'],
    ['discard'],
    ['multi'],
    ['set', 'k', 'v'],
    ['exec'],
  ]
  for (const command of commands) await worker.ask(...command)
  const lines: string[] = []
  while (!lines.at(-1)?.includes('"exec"')) lines.push((await monitor.text()).replace(/^[^"]*/, '').trimEnd())
  // What the store shows comes by a connection of its own: between it and what is shown here the order is almost always the true one.
  const inAnyOrder = [
    '"client" "setname" "x"',
    '"auth" "(redacted)"',
    '"auth" "(redacted)" "(redacted)"',
    '"hello" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "y"',
    '"echo" "between"',
    '"select" "3"',
    '"discard"',
    '"unwatch"',
    '"watch" "k"',
    '"discard"',
    '"multi"',
    '"set" "k" "v"',
    '"exec"',
  ]
  expect(lines.filter((line) => !/COMMAND|INFO/.test(line)).toSorted()).toEqual(inAnyOrder.toSorted())
})

test.each([2, 3] as const)('MONITOR said again is passed over, as by the server (RESP%i)', async (protocol) => {
  for (const port of [direct.port, path.port]) {
    const [monitor, other] = [await RawClient.open(port), await RawClient.open(port)]
    await monitor.ask('HELLO', protocol)
    if (protocol === 3) await monitor.ask('SUBSCRIBE', 'a')
    monitor.send(Buffer.concat([['MONITOR'], ['MONITOR']].map((args) => encodeCommand(args))))
    expect(await monitor.text()).toBe('+OK\r\n')
    expect(await other.ask('PUBLISH', 'b', 1)).toBe(':0\r\n')
    expect(await monitor.text()).toMatch(/^\+\d.* "PUBLISH" "b" "1"\r\n$/)
    monitor.destroy()
    other.destroy()
  }
})

test('a subscriber is refused DEBUG by its name alone: to a server its subcommands are no commands', async () => {
  const client = await path.raw()
  await client.ask('SUBSCRIBE', 'ch')
  for (const words of [
    ['DEBUG', 'PROTOCOL', 'push'],
    ['DEBUG', 'SLEEP', '0'],
  ])
    expect(await client.ask(...words)).toMatch(/^-ERR Can't execute 'debug': only /)
})

test('a monitor that subscribes in RESP2 may say as little as any subscriber', async () => {
  const play = async (port: number) => {
    const client = await RawClient.open(port)
    client.send(
      Buffer.concat(
        ['MONITOR', 'SUBSCRIBE a', 'GET none', 'MONITOR', 'UNSUBSCRIBE', 'PING'].map((words) =>
          encodeCommand(words.split(' ')),
        ),
      ),
    )
    const replies: string[] = []
    while (replies.length < 6) {
      const frame = await client.text()
      if (!/^\+\d/.test(frame)) replies.push(frame)
    }
    client.destroy()
    return replies
  }
  expect(await play(path.port)).toEqual(await play(direct.port))
})

test('a subscriber that goes back to RESP2 between WATCH and MULTI may say as little as any other', async () => {
  const play = async (port: number) => {
    const client = await RawClient.open(port)
    for (const words of ['HELLO 3', 'SUBSCRIBE a', 'WATCH none', 'HELLO 2']) await client.ask(...words.split(' '))
    const replies: string[] = []
    for (const words of [
      'GET none',
      'PING',
      'MULTI',
      'EXEC',
      'HELLO 3',
      'UNSUBSCRIBE',
      'GET none',
      'MULTI',
      'PING',
      'EXEC',
    ])
      replies.push(await client.ask(...words.split(' ')))
    client.destroy()
    return replies
  }
  expect(await play(path.port)).toEqual(await play(direct.port))
})

test('MONITOR shows what others do, until the client resets or leaves', async () => {
  const [monitor, worker] = [await path.raw(), await path.raw()]
  expect(await monitor.ask('MONITOR')).toBe('+OK\r\n')
  await worker.ask('SET', 'seen', 1)
  for (;;) if ((await monitor.text()).includes('"SET" "seen" "1"')) break
  monitor.command('RESET')
  for (;;) if ((await monitor.text()) === '+RESET\r\n') break
  expect(await monitor.ask('GET', 'seen')).toBe('$1\r\n1\r\n')
})

test('ioredis: subscribe, psubscribe, and plain commands once more after that', async () => {
  const [sub, pub] = [path.client(), path.client()]
  const got: string[] = []
  sub.on('message', (channel, message) => got.push(`${channel}=${message}`))
  sub.on('pmessage', (pattern, channel, message) => got.push(`${pattern}/${channel}=${message}`))
  await sub.subscribe('one', 'two')
  await sub.psubscribe('t*')
  await pub.publish('one', '1')
  await pub.publish('two', '2')
  await eventually(() => expect(got).toEqual(['one=1', 'two=2', 't*/two=2']))
  await sub.unsubscribe('one', 'two')
  await sub.punsubscribe('t*')
  expect(await sub.set('plain', 'again')).toBe('OK')
  expect(sub).toBeInstanceOf(Redis)
})

test.each([2, 3] as const)('node-redis over RESP%i: subscribe, sSubscribe, unsubscribe', async (RESP) => {
  const sub = createClient({ url: `redis://127.0.0.1:${path.port}`, RESP })
  const pub = createClient({ url: `redis://127.0.0.1:${path.port}`, RESP })
  await Promise.all([sub.connect(), pub.connect()])
  try {
    const got: string[] = []
    await sub.subscribe('one', (message) => got.push(message))
    await sub.sSubscribe('sharded', (message) => got.push(`s:${message}`))
    await pub.publish('one', '1')
    await pub.sPublish('sharded', '2')
    await eventually(() => expect(got.sort()).toEqual(['1', 's:2']))
    await sub.unsubscribe('one')
    await sub.sUnsubscribe('sharded')
    expect(`${await sub.ping()}`).toBe('PONG')
    await sub.set('k', 'v')
    expect(`${await sub.get('k')}`).toBe('v')
  } finally {
    sub.destroy()
    pub.destroy()
  }
})

test('subscribers are disconnected when their store goes, and can subscribe again when it is back', async () => {
  const mortal = await startRedis()
  const own = await startDataPath({ stores: { only: mortal } })
  try {
    const subscriber = await own.raw()
    await subscriber.ask('SUBSCRIBE', 'a')
    await mortal.kill9()
    await subscriber.closed
    await mortal.restart()
    await eventually(async () => expect(await (await own.raw()).ask('PING')).toBe('+PONG\r\n'))
    const again = await own.raw()
    await again.ask('SUBSCRIBE', 'a')
    expect(await (await own.raw()).ask('PUBLISH', 'a', 'x')).toBe(':1\r\n')
  } finally {
    await own.stop()
    await mortal.stop()
  }
})

test.each(['shared', 'dedicated'] as const)(
  'who publishes after another has sent SUBSCRIBE reaches it, though the store has not confirmed (%s connections)',
  async (connections) => {
    const slow = await startRedis()
    const apart = await startDataPath({ stores: { slow }, listen: { connections } })
    const [subscriber, publisher, counter, looker, byPattern, patternCounter] = [
      await apart.raw(),
      await apart.raw(),
      await apart.raw(),
      await apart.raw(),
      await apart.raw(),
      await apart.raw(),
    ]
    for (const client of [subscriber, publisher, counter, byPattern, patternCounter]) await client.ask('PING')
    const hasCome = (command: string): Promise<void> =>
      eventually(async () => expect(await looker.ask('CLIENT', 'LIST')).toContain(` cmd=${command} `))
    process.kill(slow.pid, 'SIGSTOP')
    try {
      await subscriber.send(encodeCommand(['SUBSCRIBE', 'news']))
      await hasCome('subscribe')
      await byPattern.send(encodeCommand(['PSUBSCRIBE', 'other*']))
      await hasCome('psubscribe')
      await patternCounter.send(encodeCommand(['PUBSUB', 'NUMPAT']))
      await hasCome('pubsub|numpat')
      await counter.send(encodeCommand(['PUBSUB', 'NUMSUB', 'news']))
      await hasCome('pubsub|numsub')
      await publisher.send(encodeCommand(['PUBLISH', 'news', 'first']))
      await hasCome('publish')
    } finally {
      process.kill(slow.pid, 'SIGCONT')
    }
    expect(await publisher.take(1)).toEqual([':1\r\n'])
    expect((await counter.take(1))[0]).toContain(':1\r\n')
    expect(await patternCounter.take(1)).toEqual([':1\r\n'])
    expect((await subscriber.take(2))[1]).toContain('first')
    await apart.stop()
    await slow.stop()
  },
)

test.each(['in one packet', 'step by step'] as const)(
  'a transaction that publishes (%s) reaches who has sent SUBSCRIBE before, though the store has not confirmed',
  async (way) => {
    const slow = await startRedis()
    const apart = await startDataPath({ stores: { slow } })
    const [subscriber, publisher, looker] = [await apart.raw(), await apart.raw(), await apart.raw()]
    await subscriber.ask('PING')
    const commands = [['MULTI'], ['PUBLISH', 'news', 'first'], ['PUBSUB', 'NUMSUB', 'news'], ['EXEC']]
    if (way === 'step by step') for (const command of commands.slice(0, 3)) await publisher.ask(...command)
    else await publisher.ask('PING')
    const hasCome = (command: string): Promise<void> =>
      eventually(async () => expect(await looker.ask('CLIENT', 'LIST')).toContain(` cmd=${command} `))
    process.kill(slow.pid, 'SIGSTOP')
    try {
      subscriber.command('SUBSCRIBE', 'news')
      await hasCome('subscribe')
      if (way === 'step by step') publisher.command('EXEC')
      else publisher.send(Buffer.concat(commands.map((command) => encodeCommand(command))))
      await eventually(async () =>
        expect(await looker.ask('CLIENT', 'LIST')).toMatch(/ cmd=(multi|publish|pubsub\|numsub|exec) /),
      )
    } finally {
      process.kill(slow.pid, 'SIGCONT')
    }
    const replies = await publisher.take(way === 'step by step' ? 1 : 4)
    expect(replies.at(-1)).toBe('*2\r\n:1\r\n*2\r\n$4\r\nnews\r\n:1\r\n')
    expect((await subscriber.take(2))[1]).toContain('first')
    await apart.stop()
    await slow.stop()
  },
)
