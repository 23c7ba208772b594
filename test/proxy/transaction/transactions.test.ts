import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CommandTable } from '../../../src/command/table.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let direct: RedisServer
let store: RedisServer
let path: DataPathUnderTest
let admin: RawClient

beforeAll(async () => {
  ;[direct, store] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({ stores: { only: store } })
  admin = await RawClient.open(store.port)
})
afterAll(async () => {
  admin.destroy()
  await path.stop()
  await Promise.all([direct.stop(), store.stop()])
})
beforeEach(async () => {
  for (const server of [direct, store]) {
    const client = await RawClient.open(server.port)
    await client.ask('FLUSHALL')
    client.destroy()
  }
})

/** Connections that the proxy has to the store. */
async function connections(): Promise<number> {
  const list = await admin.ask('CLIENT', 'LIST')
  return list.split('\n').filter((line) => line.includes(' name=understudy ')).length
}

type Script = readonly (readonly (string | number)[])[]

const SCRIPTS: Readonly<Record<string, Script>> = {
  ordinary: [['MULTI'], ['SET', 'a', '1'], ['INCR', 'a'], ['GET', 'a'], ['EXEC'], ['GET', 'a']],
  empty: [['MULTI'], ['EXEC'], ['PING']],
  discarded: [['MULTI'], ['SET', 'a', '1'], ['DISCARD'], ['GET', 'a'], ['DISCARD']],
  'discarded when nothing was queued': [['MULTI'], ['DISCARD'], ['PING']],
  nested: [['MULTI'], ['MULTI'], ['SET', 'a', '1'], ['EXEC'], ['GET', 'a']],
  'with WATCH inside': [['MULTI'], ['WATCH', 'a'], ['SET', 'a', '1'], ['EXEC'], ['GET', 'a']],
  'with UNWATCH inside': [['MULTI'], ['UNWATCH'], ['SET', 'a', '1'], ['EXEC'], ['GET', 'a']],
  'with an unknown command': [['MULTI'], ['SET', 'a', '1'], ['NOSUCH', 'x'], ['SET', 'a', '2'], ['EXEC'], ['GET', 'a']],
  'with a wrong number of arguments': [['MULTI'], ['SET', 'a', '1'], ['GET'], ['EXEC'], ['GET', 'a']],
  'whose EXEC has an argument': [['MULTI'], ['SET', 'a', '1'], ['EXEC', 'x'], ['EXEC'], ['GET', 'a']],
  'that comes behind an EXEC with an argument, which unwatches': [
    ['WATCH', 'a'],
    ['EXEC', 'x'],
    ['SET', 'a', '1'],
    ['MULTI'],
    ['INCR', 'a'],
    ['EXEC'],
  ],
  'whose DISCARD has an argument': [['MULTI'], ['SET', 'a', '1'], ['DISCARD', 'x'], ['EXEC'], ['GET', 'a']],
  'with MULTI of an argument inside': [['MULTI'], ['SET', 'a', '1'], ['MULTI', 'x'], ['EXEC'], ['GET', 'a']],
  'with an error while it runs': [
    ['SET', 'a', 'text'],
    ['MULTI'],
    ['INCR', 'a'],
    ['SET', 'b', '1'],
    ['LPUSH', 'a', 'x'],
    ['EXEC'],
    ['GET', 'b'],
  ],
  'with blocking commands': [
    ['RPUSH', 'l', 'x', 'y'],
    ['MULTI'],
    ['BLPOP', 'l', '0'],
    ['BLPOP', 'none', '0'],
    ['BLMOVE', 'l', 'm', 'LEFT', 'RIGHT', '0'],
    ['XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'],
    ['WAIT', '1', '0'],
    ['EXEC'],
  ],
  'with nested replies': [
    ['MULTI'],
    ['HSET', 'h', 'f', 'v'],
    ['HGETALL', 'h'],
    ['EVAL', 'return {1,{2,{"three"}}}', 0],
    ['ZADD', 'z', '1.5', 'm'],
    ['ZRANGE', 'z', 0, -1, 'WITHSCORES'],
    ['EXEC'],
  ],
  'EXEC, DISCARD and UNWATCH alone': [['EXEC'], ['DISCARD'], ['UNWATCH'], ['PING']],
  watched: [['WATCH', 'a'], ['GET', 'a'], ['MULTI'], ['SET', 'a', '1'], ['EXEC'], ['GET', 'a']],
  'watched and changed by itself': [
    ['WATCH', 'a'],
    ['SET', 'a', '0'],
    ['MULTI'],
    ['SET', 'a', '1'],
    ['EXEC'],
    ['GET', 'a'],
  ],
  'watched, changed and unwatched': [
    ['WATCH', 'a'],
    ['SET', 'a', '0'],
    ['UNWATCH'],
    ['MULTI'],
    ['SET', 'a', '1'],
    ['EXEC'],
    ['GET', 'a'],
  ],
  'watched, changed and discarded, then another': [
    ['WATCH', 'a'],
    ['SET', 'a', '0'],
    ['MULTI'],
    ['DISCARD'],
    ['MULTI'],
    ['SET', 'a', '1'],
    ['EXEC'],
  ],
  'watched with nothing queued': [['WATCH', 'a'], ['MULTI'], ['EXEC'], ['PING']],
  'watched and changed with nothing queued': [['WATCH', 'a'], ['SET', 'a', '1'], ['MULTI'], ['EXEC'], ['PING']],
  'watched twice': [
    ['WATCH', 'a'],
    ['WATCH', 'b', 'c'],
    ['SET', 'c', '1'],
    ['MULTI'],
    ['GET', 'a'],
    ['EXEC'],
    ['PING'],
  ],
  'watched around a blocking command': [
    ['RPUSH', 'l', 'x'],
    ['WATCH', 'a'],
    ['BLPOP', 'l', '0'],
    ['SET', 'a', '1'],
    ['MULTI'],
    ['SET', 'a', '2'],
    ['EXEC'],
    ['GET', 'a'],
  ],
  'EXEC and DISCARD while watching': [['WATCH', 'a'], ['EXEC'], ['DISCARD'], ['SET', 'a', '1'], ['MULTI'], ['EXEC']],
  'WATCH without keys': [['WATCH'], ['MULTI'], ['WATCH'], ['EXEC']],
  'reset in the middle': [['MULTI'], ['SET', 'a', '1'], ['RESET'], ['GET', 'a'], ['EXEC']],
  'two in a row, with others around': [
    ['SET', 'a', '1'],
    ['MULTI'],
    ['INCR', 'a'],
    ['EXEC'],
    ['MULTI'],
    ['INCR', 'a'],
    ['EXEC'],
    ['GET', 'a'],
  ],
  'in another database': [['SELECT', 5], ['MULTI'], ['SET', 'a', '5'], ['EXEC'], ['SELECT', 0], ['GET', 'a']],
}

describe.each([2, 3])('transactions over RESP%i', (protocol) => {
  const open = async (port: number) => {
    const client = await RawClient.open(port)
    await client.ask('HELLO', protocol)
    return client
  }

  test.each(Object.entries(SCRIPTS))('%s', async (_name, script) => {
    const there = await open(direct.port)
    const expected: string[] = []
    for (const command of script) expected.push(await there.ask(...command))
    there.destroy()

    const bytes = Buffer.concat(script.map((command) => encodeCommand(command)))
    const ways: Record<string, (client: RawClient) => Promise<string[]>> = {
      'one by one': async (client) => {
        const replies: string[] = []
        for (const command of script) replies.push(await client.ask(...command))
        return replies
      },
      'in one packet': async (client) => {
        client.send(bytes)
        return client.take(script.length)
      },
      'without waiting, a packet each': async (client) => {
        for (const command of script) await client.sendApart(encodeCommand(command))
        return client.take(script.length)
      },
    }
    for (const [way, run] of Object.entries(ways)) {
      await admin.ask('FLUSHALL')
      const here = await open(path.port)
      expect([way, await run(here)]).toEqual([way, expected])
      here.destroy()
    }
  })
})

test('a transaction may be split at any byte, with commands before and behind', async () => {
  const script: Script = [
    ['SET', 'a', '1'],
    ['MULTI'],
    ['INCR', 'a'],
    ['GET', 'a'],
    ['EXEC'],
    ['GET', 'a'],
    ['MULTI'],
    ['DEL', 'a'],
    ['EXEC'],
    ['PING'],
  ]
  const bytes = Buffer.concat(script.map((command) => encodeCommand(command)))
  const expected = [
    '+OK\r\n',
    '+OK\r\n',
    '+QUEUED\r\n',
    '+QUEUED\r\n',
    '*2\r\n:2\r\n$1\r\n2\r\n',
    '$1\r\n2\r\n',
    '+OK\r\n',
    '+QUEUED\r\n',
    '*1\r\n:1\r\n',
    '+PONG\r\n',
  ]
  const client = await path.raw()
  for (let at = 1; at < bytes.length; at++) {
    await client.sendApart(bytes.subarray(0, at))
    client.send(bytes.subarray(at))
    expect([at, await client.take(10)]).toEqual([at, expected])
  }
})

test('EXEC answers nil when another client has changed what was watched', async () => {
  const [one, other] = [await path.raw(), await path.raw()]
  await one.ask('WATCH', 'a')
  await other.ask('SET', 'a', 'theirs')
  await one.ask('MULTI')
  await one.ask('SET', 'a', 'mine')
  expect(await one.ask('EXEC')).toBe('*-1\r\n')
  expect(await one.ask('GET', 'a')).toBe('$6\r\ntheirs\r\n')
})

test('optimistic locking by many clients loses no increment', async () => {
  const clients = await Promise.all(Array.from({ length: 8 }, () => path.raw()))
  const increments = 25
  await clients[0]!.ask('SET', 'counter', 0)
  await Promise.all(
    clients.map(async (client) => {
      for (let done = 0; done < increments; ) {
        await client.ask('WATCH', 'counter')
        const value = Number((await client.ask('GET', 'counter')).split('\r\n')[1])
        client.command('MULTI')
        client.command('SET', 'counter', value + 1)
        client.command('EXEC')
        const [, , result] = await client.take(3)
        if (result !== '*-1\r\n') done++
      }
    }),
  )
  expect(await clients[0]!.ask('GET', 'counter')).toBe('$3\r\n200\r\n')
})

test('a thousand transactions of every kind leave few connections behind, and clean ones', async () => {
  const own = await startDataPath({ stores: { only: store } })
  const before = await connections()
  const clients = await Promise.all(Array.from({ length: 20 }, () => own.raw()))
  await Promise.all(
    clients.map(async (client, c) => {
      for (let i = 0; i < 50; i++) {
        const key = `${c}:${i}`
        if (i % 3 === 0) await client.ask('WATCH', key)
        await client.ask('MULTI')
        await client.ask('SET', key, 'v')
        if (i % 3 === 2) expect(await client.ask('DISCARD')).toBe('+OK\r\n')
        else expect(await client.ask('EXEC')).toBe('*1\r\n+OK\r\n')
        expect(await client.ask('GET', key)).toBe(i % 3 === 2 ? '$-1\r\n' : '$1\r\nv\r\n')
      }
    }),
  )
  // The shared one; two for each client, whose next transaction may begin before the last connection is clean; two that are kept ready.
  expect(await connections()).toBeLessThanOrEqual(before + 1 + 2 * clients.length + 2)
  const list = await admin.ask('CLIENT', 'LIST')
  for (const line of list.split('\n').filter((l) => l.includes(' name=understudy ')))
    expect(line).toContain(' multi=-1 ')
  await own.stop()
})

test.each(['WATCH', 'MULTI', 'queued'])('a client that leaves after %s leaves nothing behind', async (stage) => {
  const client = await path.raw()
  await client.ask('WATCH', 'k')
  if (stage !== 'WATCH') await client.ask('MULTI')
  if (stage === 'queued') await client.ask('SET', 'k', 'never')
  // The one that watches; those that are kept ready come and go.
  const watching = (await admin.ask('CLIENT', 'LIST'))
    .split('\n')
    .filter((line) => / cmd=(watch|multi|set) /.test(line))
    .map((line) => line.slice(0, line.indexOf(' ')))
  expect(watching).toHaveLength(1)
  client.destroy()
  await eventually(async () => expect(`\n${await admin.ask('CLIENT', 'LIST')}`).not.toContain(`\n${watching[0]} `))
  expect(await admin.ask('GET', 'k')).toBe('$-1\r\n')
})

test('a client that leaves behind its EXEC has its transaction executed once', async () => {
  const client = await path.raw()
  client.send(Buffer.concat([['WATCH', 'w'], ['MULTI'], ['INCR', 'n'], ['EXEC']].map((c) => encodeCommand(c))))
  await client.end()
  expect(await client.take(4)).toEqual(['+OK\r\n', '+OK\r\n', '+QUEUED\r\n', '*1\r\n:1\r\n'])
  await client.closed
  expect(await admin.ask('GET', 'n')).toBe('$1\r\n1\r\n')
})

test('commands behind EXEC see what it did, also on the way through another connection', async () => {
  const client = await path.raw()
  await client.ask('WATCH', 'w')
  const script: Script = [['MULTI'], ['SET', 'k', 'new'], ['EXEC'], ['GET', 'k'], ['SET', 'k', 'newer'], ['GET', 'k']]
  client.send(Buffer.concat(script.map((c) => encodeCommand(c))))
  expect((await client.take(6)).slice(3)).toEqual(['$3\r\nnew\r\n', '+OK\r\n', '$5\r\nnewer\r\n'])
})

test('commands between WATCH and MULTI keep their order, whichever connection they take', async () => {
  for (let round = 0; round < 30; round++) {
    const client = await path.raw()
    const script: Script = [
      ['WATCH', 'w'],
      ['RPUSH', 'l', round],
      ['BLPOP', 'l', 0],
      ['XADD', 's', `${round + 1}-1`, 'f', 'v'],
      ['XREAD', 'STREAMS', 's', `${round}-1`],
      ['SET', 'k', round],
      ['GET', 'k'],
      ['MULTI'],
      ['GET', 'k'],
      ['EXEC'],
    ]
    client.send(Buffer.concat(script.map((command) => encodeCommand(command))))
    const replies = await client.take(10)
    const text = `$${`${round}`.length}\r\n${round}\r\n`
    expect(replies[2]).toBe(`*2\r\n$1\r\nl\r\n${text}`)
    expect(replies[4]).toContain(`${round + 1}-1`)
    expect([replies[6], replies[9]]).toEqual([text, `*1\r\n${text}`])
    client.destroy()
  }
})

test('nothing between WATCH and MULTI overtakes what went by another connection, nor does the transaction', async () => {
  const scripts: Script[] = [
    [['WATCH', 'w'], ['FLUSHDB'], ['SET', 'a', 1], ['GET', 'a'], ['UNWATCH'], ['GET', 'a']],
    [['WATCH', 'w'], ['FLUSHDB'], ['KEYS', '*'], ['SET', 'a', 1], ['DBSIZE'], ['SADD', 's', 1], ['UNWATCH']],
    [['WATCH', 'w'], ['FLUSHDB'], ['WATCH', 'a'], ['MULTI'], ['SET', 'a', 1], ['EXEC'], ['GET', 'a']],
    [['WATCH', 'w'], ['FLUSHDB'], ['MULTI'], ['INCR', 'a'], ['EXEC'], ['GET', 'a']],
  ]
  for (const script of scripts) {
    const answers = await Promise.all(
      [direct.port, path.port].map(async (port) => {
        const rounds: string[][] = []
        for (let round = 0; round < 10; round++) {
          const client = await RawClient.open(port)
          await client.ask('SET', 'a', 'before')
          client.send(Buffer.concat(script.map((command) => encodeCommand(command))))
          rounds.push(await client.take(script.length))
          client.destroy()
        }
        return rounds
      }),
    )
    expect(answers[1]).toEqual(answers[0])
  }
})

test('a transaction interleaves with no other client', async () => {
  const [one, other] = [await path.raw(), await path.raw()]
  await one.ask('SET', 'n', 0)
  let stop = false
  const noise = (async () => {
    while (!stop) await other.ask('INCR', 'n')
  })()
  for (let i = 0; i < 200; i++) {
    one.send(
      Buffer.concat([['MULTI'], ['INCR', 'n'], ['INCR', 'n'], ['INCR', 'n'], ['EXEC']].map((c) => encodeCommand(c))),
    )
    const [, , , , result] = await one.take(5)
    const [a, b, c] = result!.match(/(?<=:)\d+/g)!.map(Number)
    expect([b! - a!, c! - b!]).toEqual([1, 1])
  }
  stop = true
  await noise
})

test('a defect in the middle of a transaction ends its client, and the shared connection is not left in MULTI', async () => {
  const [broken, other] = [await path.raw(), await path.raw()]
  expect(await broken.ask('PING')).toBe('+PONG\r\n')
  const { lookup } = CommandTable.prototype
  let met = 0
  CommandTable.prototype.lookup = function (view) {
    const bad = view.argc === 2 && view.buf.toString('latin1', view.start[1], view.end[1]) === 'the-bad-one'
    // Met first by looking ahead; the second time MULTI is on its way.
    if (bad && ++met === 2) throw new Error('a defect')
    return lookup.call(this, view)
  }
  try {
    broken.send(Buffer.concat([['MULTI'], ['GET', 'the-bad-one'], ['EXEC']].map((c) => encodeCommand(c))))
    await broken.closed
    expect(await other.ask('GET', 'k')).toBe('$-1\r\n')
    other.send(Buffer.concat([['MULTI'], ['GET', 'k'], ['EXEC']].map((c) => encodeCommand(c))))
    expect(await other.take(3)).toEqual(['+OK\r\n', '+QUEUED\r\n', '*1\r\n$-1\r\n'])
  } finally {
    CommandTable.prototype.lookup = lookup
  }
  expect(met).toBe(2)
})
