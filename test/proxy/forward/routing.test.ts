import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest
let atOne: RawClient
let atTwo: RawClient
let client: RawClient

/**
 *   job:{id}, queue:{name}   -> step:{id}, line:{name} on store one
 *   far:*                    -> far:* on store two
 *   *                        -> store one
 */
beforeAll(async () => {
  ;[one, two] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({
    stores: { one, two },
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}', 'queue:{name}'],
        source: { store: 'one', keys: { 'job:{id}': 'step:{id}', 'queue:{name}': 'line:{name}' } },
      },
      { name: 'far', keys: ['far:*'], source: 'two' },
      { name: 'rest', source: 'one' },
    ],
  })
  ;[atOne, atTwo] = await Promise.all([RawClient.open(one.port), RawClient.open(two.port)])
})
afterAll(async () => {
  atOne.destroy()
  atTwo.destroy()
  await path.stop()
  await Promise.all([one.stop(), two.stop()])
})
beforeEach(async () => {
  await Promise.all([atOne.ask('FLUSHALL'), atTwo.ask('FLUSHALL')])
  client?.destroy()
  client = await path.raw()
})

const packet = (...commands: (string | number)[][]) => Buffer.concat(commands.map((command) => encodeCommand(command)))
const CROSSROUTE = /^-CROSSROUTE /
const bulk = (value: string) => `$${value.length}\r\n${value}\r\n`
const keysAt = async (store: RawClient) =>
  [...(await store.ask('KEYS', '*')).matchAll(/\$\d+\r\n(.*)\r\n/g)].map(([, key]) => key).sort()

test('keys are renamed in every position, and only they', async () => {
  await client.ask('SET', 'job:1', 'job:1')
  await client.ask('MSET', 'job:2', 'x', 'other', 'y')
  await client.ask('RPUSH', 'queue:a', 'job:9')
  await client.ask('EVAL', 'return redis.call("SET", KEYS[1], ARGV[1])', 1, 'job:3', 'job:3')
  await client.ask('SET', 'far:1', 'z')
  expect(await keysAt(atOne)).toEqual(['line:a', 'other', 'step:1', 'step:2', 'step:3'])
  expect(await keysAt(atTwo)).toEqual(['far:1'])
  expect(await client.ask('MGET', 'job:1', 'job:2', 'other')).toBe(`*3\r\n${bulk('job:1')}${bulk('x')}${bulk('y')}`)
  expect(await atOne.ask('GET', 'step:3')).toBe(bulk('job:3'))
})

test('commands of several stores come back in the order in which they were sent', async () => {
  for (let round = 0; round < 50; round++) {
    const commands = Array.from({ length: 40 }, (_, i) => ['SETEX', `${['far:', 'job:', 'k'][i % 3]}${i}`, 100, i])
    client.send(packet(...commands.flatMap((command) => [command, ['GET', command[1]!]])))
    const replies = await client.take(80)
    for (let i = 0; i < 40; i++) expect([replies[2 * i], replies[2 * i + 1]]).toEqual(['+OK\r\n', bulk(`${i}`)])
  }
})

test('one store down: its keys are refused, the others’ go on, in order', async () => {
  await two.kill9()
  try {
    client.send(packet(['SET', 'job:1', 'x'], ['GET', 'far:1'], ['GET', 'job:1'], ['GET', 'far:2'], ['PING']))
    const [set, far, job, far2, ping] = await client.take(5)
    expect([set, job, ping]).toEqual(['+OK\r\n', bulk('x'), '+PONG\r\n'])
    expect(far).toMatch(/^-ERR Understudy: .*store 'two'/)
    expect(far2).toMatch(/^-ERR Understudy: .*store 'two'/)
  } finally {
    await two.restart()
    atTwo.destroy()
    atTwo = await RawClient.open(two.port)
    await eventually(async () => expect(await client.ask('GET', 'far:1')).toBe('$-1\r\n'))
  }
})

describe('keys of several stores in one command', () => {
  test('are split where each key is a matter of its own, and the replies are one', async () => {
    for (const protocol of [2, 3]) {
      await Promise.all([atOne.ask('FLUSHALL'), atTwo.ask('FLUSHALL')])
      await client.ask('HELLO', protocol)
      client.send(
        packet(
          ['MSET', 'far:1', 'f', 'job:1', 'j', 'k', 'v', 'far:2', 'g'],
          ['MGET', 'k', 'far:2', 'none', 'far:none', 'job:1', 'far:1', 'k'],
          ['EXISTS', 'far:1', 'job:1', 'k', 'none', 'k'],
          ['TOUCH', 'far:1', 'none', 'k'],
          ['RPUSH', 'far:l', 'x'],
          ['MGET', 'k', 'far:l'],
          ['UNLINK', 'job:1', 'far:1', 'none'],
          ['DEL', 'far:2', 'far:l', 'k', 'k'],
          ['MSET', 'k', 1, 'far:1'],
          ['PING'],
        ),
      )
      const nil = protocol === 3 ? '_\r\n' : '$-1\r\n'
      expect(await client.take(10)).toEqual([
        '+OK\r\n',
        `*7\r\n${bulk('v')}${bulk('g')}${nil}${nil}${bulk('j')}${bulk('f')}${bulk('v')}`,
        ':4\r\n',
        ':2\r\n',
        ':1\r\n',
        `*2\r\n${bulk('v')}${nil}`,
        ':2\r\n',
        ':3\r\n',
        "-ERR wrong number of arguments for 'mset' command\r\n",
        '+PONG\r\n',
      ])
      expect([await keysAt(atOne), await keysAt(atTwo)]).toEqual([[], []])
    }
  })

  test('are split in the order of the client’s other commands, however many there are', async () => {
    const commands = Array.from({ length: 200 }, (_, i) => [
      ['MSET', `k${i}`, i, `far:${i}`, -i, `job:${i}`, i],
      ['MGET', `far:${i}`, `k${i}`, `job:${i}`],
    ]).flat()
    client.send(packet(...commands))
    const replies = await client.take(400)
    for (let i = 0; i < 200; i++)
      expect(replies[2 * i + 1]).toBe(`*3\r\n${bulk(`${-i}`)}${bulk(`${i}`)}${bulk(`${i}`)}`)
  })

  test('one store down: the client gets its error, once everything has been answered', async () => {
    await two.kill9()
    try {
      client.send(packet(['MGET', 'k', 'far:1'], ['MSET', 'k', 'v', 'far:1', 'v'], ['GET', 'k']))
      const [mget, mset, get] = await client.take(3)
      expect(mget).toMatch(/^-ERR Understudy: .*store 'two'/)
      expect(mset).toMatch(/^-ERR Understudy: .*store 'two'/)
      expect(get).toBe(bulk('v'))
    } finally {
      await two.restart()
      atTwo.destroy()
      atTwo = await RawClient.open(two.port)
      await eventually(async () => expect(await client.ask('GET', 'far:1')).toBe('$-1\r\n'))
    }
  })

  test('are refused as a whole', async () => {
    await atTwo.ask('RPUSH', 'far:l', 'x')
    for (const command of [
      ['MSETNX', 'k', 1, 'far:1', 2],
      ['SINTER', 'far:1', 'k'],
      ['RENAME', 'job:1', 'far:1'],
      ['SUNIONSTORE', 'k', 'job:1', 'far:1'],
      ['EVAL', 'return 1', 2, 'k', 'far:1'],
      ['BLPOP', 'queue:a', 'far:l', 0],
      ['BLMOVE', 'far:l', 'k', 'LEFT', 'LEFT', 0],
      ['XREAD', 'BLOCK', 0, 'STREAMS', 'k', 'far:1', '$', '$'],
      ['WATCH', 'k', 'far:1'],
    ]) {
      expect([command, await client.ask(...command)]).toEqual([command, expect.stringMatching(CROSSROUTE)])
    }
    expect(await client.ask('PING')).toBe('+PONG\r\n')
  })

  test.each(['in one packet', 'one by one'])(
    'are refused in MULTI, which then does nothing at all (%s)',
    async (way) => {
      for (const commands of [
        [['MULTI'], ['SET', 'k', 1], ['SET', 'far:1', 1], ['EXEC']],
        [['MULTI'], ['SET', 'far:1', 1], ['SET', 'job:1', 1], ['SET', 'k', 1], ['EXEC']],
        [['MULTI'], ['SET', 'k', 1], ['MGET', 'job:1', 'far:1'], ['EXEC']],
        // What has no keys and is mirrored as the route `*` is its primary's.
        [['MULTI'], ['SET', 'far:1', 1], ['FUNCTION', 'FLUSH'], ['EXEC']],
        [['MULTI'], ['SET', 'far:1', 1], ['FLUSHALL'], ['EXEC']],
        [['MULTI'], ['FLUSHDB'], ['SET', 'far:1', 1], ['EXEC']],
      ]) {
        const replies: string[] = []
        if (way === 'one by one') for (const command of commands) replies.push(await client.ask(...command))
        else {
          client.send(packet(...commands))
          replies.push(...(await client.take(commands.length)))
        }
        expect(replies.filter((reply) => CROSSROUTE.test(reply)).length).toBeGreaterThan(0)
        expect(replies.at(-1)).toMatch(/^-EXECABORT/)
        expect(await keysAt(atOne)).toEqual([])
        expect(await keysAt(atTwo)).toEqual([])
      }
    },
  )

  test('WATCH on one, EXEC on another: refused', async () => {
    await client.ask('WATCH', 'k')
    expect(await client.ask('WATCH', 'far:1')).toMatch(CROSSROUTE)
    expect(await client.ask('GET', 'far:1')).toBe('$-1\r\n')
    await client.ask('MULTI')
    expect(await client.ask('SET', 'far:1', 1)).toMatch(CROSSROUTE)
    expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
  })
})

describe('transactions', () => {
  test.each(['in one packet', 'one by one'])(
    'of another store than the usual, also when a command without keys comes first (%s)',
    async (way) => {
      const first = [['PING'], ['UNWATCH'], ['WAIT', '0', '0']]
      const commands = [['MULTI'], ...first, ['SET', 'far:1', 'x'], ['GET', 'far:1'], ['EXEC']]
      const replies: string[] = []
      if (way === 'in one packet') {
        client.send(packet(...commands))
        replies.push(...(await client.take(commands.length)))
      } else for (const command of commands) replies.push(await client.ask(...command))
      expect(replies.at(-1)).toBe('*5\r\n+PONG\r\n+OK\r\n:0\r\n+OK\r\n$1\r\nx\r\n')
      expect(await keysAt(atTwo)).toEqual(['far:1'])
    },
  )

  test('of another store than the usual have no script that makes names of the usual one', async () => {
    const plain = await startDataPath({
      stores: { one, two },
      routes: [
        { name: 'far', keys: ['far:*'], source: 'two' },
        { name: 'rest', source: 'one' },
      ],
    })
    const client = await plain.raw()
    await client.ask('SET', 'k', 'v')
    const script = ['EVAL', "return redis.call('get', 'k')", '0']
    client.send(packet(['MULTI'], script, ['GET', 'k'], ['EXEC']))
    expect((await client.take(4)).at(-1)).toBe(`*2\r\n${bulk('v')}${bulk('v')}`)
    client.send(packet(['MULTI'], ['EVAL', 'return 1', '0'], ['GET', 'far:1'], ['EXEC']))
    expect((await client.take(4)).at(-1)).toBe('*2\r\n:1\r\n$-1\r\n')
    client.send(packet(['MULTI'], ['GET', 'far:1'], script, ['EXEC']))
    expect((await client.take(4))[2]).toMatch(CROSSROUTE)
    await plain.stop()
  })

  test('with renamed keys, watched and not', async () => {
    await client.ask('WATCH', 'job:1')
    client.send(
      packet(
        ['MULTI'],
        ['SET', 'job:1', 'a'],
        ['RPUSH', 'queue:q', 'x'],
        ['LMPOP', 1, 'queue:q', 'LEFT'],
        ['SET', 'k', 1],
        ['EXEC'],
      ),
    )
    expect((await client.take(6)).at(-1)).toBe(`*4\r\n+OK\r\n:1\r\n*2\r\n${bulk('queue:q')}*1\r\n${bulk('x')}+OK\r\n`)
    await client.ask('WATCH', 'job:1')
    await atOne.ask('SET', 'step:1', 'b')
    client.send(packet(['MULTI'], ['SET', 'job:1', 'c'], ['EXEC']))
    expect((await client.take(3)).at(-1)).toBe('*-1\r\n')
    expect(await client.ask('GET', 'job:1')).toBe(bulk('b'))
  })
})

describe.each([2, 3])('keys in replies have the application’s names over RESP%i', (protocol) => {
  beforeEach(async () => {
    await client.ask('HELLO', protocol)
  })

  test('of pops that find something, and of those that wait', async () => {
    const giver = await path.raw()
    const pops: readonly [pop: (string | number)[], push: (string | number)[]][] = [
      [
        ['BLPOP', 'none', 'queue:a', 0],
        ['RPUSH', 'queue:a', 'x'],
      ],
      [
        ['BRPOP', 'queue:a', 0],
        ['RPUSH', 'queue:a', 'x'],
      ],
      [
        ['BLMPOP', 0, 2, 'none', 'queue:a', 'LEFT'],
        ['RPUSH', 'queue:a', 'x'],
      ],
      [
        ['BZPOPMIN', 'queue:z', 0],
        ['ZADD', 'queue:z', 1, 'x'],
      ],
      [
        ['BZMPOP', 0, 1, 'queue:z', 'MAX'],
        ['ZADD', 'queue:z', 1, 'x'],
      ],
      [
        ['XREAD', 'BLOCK', 0, 'STREAMS', 'queue:s', '$'],
        ['XADD', 'queue:s', '*', 'f', 'queue:s'],
      ],
    ]
    for (const [pop, push] of pops) {
      client.command(...pop)
      await eventually(async () => expect(await atOne.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
      await giver.ask(...push)
      const key = pop.find((arg) => `${arg}`.startsWith('queue:'))!
      const waited = await client.text()
      expect(waited).toContain(bulk(`${key}`))
      expect(waited).not.toContain('line:')
      if (pop[0] === 'XREAD') continue
      await giver.ask(...push)
      // Found at once: the same bytes.
      expect([pop, await client.ask(...pop)]).toEqual([pop, waited])
    }
    giver.destroy()
  })

  test('of XREAD and XREADGROUP with several streams', async () => {
    await client.ask('XADD', 'queue:s', '1-1', 'f', 'v')
    await client.ask('XADD', 'plain', '1-1', 'f', 'v')
    await client.ask('XGROUP', 'CREATE', 'queue:s', 'g', 0)
    await client.ask('XGROUP', 'CREATE', 'plain', 'g', 0)
    for (const read of [
      ['XREAD', 'STREAMS', 'queue:s', 'plain', 0, 0],
      ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 'queue:s', 'plain', '>', '>'],
    ]) {
      const reply = await client.ask(...read)
      expect(reply).toContain(bulk('queue:s'))
      expect(reply).toContain(bulk('plain'))
      expect(reply).not.toContain('line:')
      expect(reply.startsWith(protocol === 3 ? '%2' : '*2')).toBe(true)
    }
  })
})

describe('patterns of SORT', () => {
  test('are renamed where every key they stand for is renamed alike', async () => {
    await client.ask('RPUSH', 'job:list', 1, 2, 3)
    await client.ask('MSET', 'job:w_1', 30, 'job:w_2', 20, 'job:w_3', 10, 'job:1:x', 'one', 'w_1', 1)
    expect(await client.ask('SORT', 'job:list', 'BY', 'job:w_*', 'GET', 'job:*:x')).toBe(
      `*3\r\n$-1\r\n$-1\r\n${bulk('one')}`,
    )
    expect(await atOne.ask('GET', 'step:w_1')).toBe(bulk('30'))
    expect(await client.ask('SORT', 'job:list', 'BY', 'w_*', 'DESC')).toMatch(/^\*3/)
  })

  test('are refused where the element decides, or where they are on another store', async () => {
    await client.ask('RPUSH', 'job:list', 1)
    expect(await client.ask('SORT', 'job:list', 'BY', '*')).toMatch(/^-ERR Understudy cannot rename a pattern of SORT/)
    expect(await client.ask('SORT', 'job:list', 'BY', 'j*')).toMatch(/^-ERR Understudy cannot rename a pattern of SORT/)
    expect(await client.ask('SORT', 'job:list', 'GET', 'far:*')).toMatch(CROSSROUTE)
    expect(await client.ask('SORT', 'job:list', 'GET', '#')).toBe(`*1\r\n${bulk('1')}`)
  })
})

test('databases and protocols of several stores at once', async () => {
  client.send(
    packet(
      ['SELECT', 2],
      ['SET', 'far:1', 2],
      ['SET', 'job:1', 2],
      ['HELLO', 3],
      ['GET', 'far:1'],
      ['GET', 'job:1'],
      ['SELECT', 0],
      ['GET', 'far:1'],
    ),
  )
  const replies = await client.take(8)
  expect([replies[4], replies[5], replies[7]]).toEqual([bulk('2'), bulk('2'), '_\r\n'])
})
