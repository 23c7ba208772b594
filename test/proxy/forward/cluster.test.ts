import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FAILED } from '../../../src/mirror/copy/copy-batch.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { changeBetween } from '../../support/change.ts'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { copyAsJob } from '../../support/copy-as-job.ts'
import { configOf, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let cluster: RedisCluster
let single: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[cluster, single] = await Promise.all([startCluster(), startRedis()])
})
afterAll(async () => {
  await Promise.all([cluster.stop(), single.stop()])
})
afterEach(async () => {
  await path.stop()
  await cluster.flushAll()
})

function ofCluster() {
  const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  return { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } as const
}

/** Nothing here is about what becomes of a command that takes too long, also on a machine that is busy with other things. */
const PATIENT = { store: { timeoutMs: 30_000 } } as const

const KEYS = Array.from({ length: 60 }, (_, i) => `key:${i}`)

describe('a cluster as the primary', () => {
  beforeEach(async () => {
    path = await startDataPath({ stores: { cluster: ofCluster() }, ...PATIENT })
  })

  test('every command goes to the node of its keys, and pipelined replies keep their order', async () => {
    const client = path.client()
    const pipeline = client.pipeline()
    for (const key of KEYS) pipeline.set(key, `value of ${key}`).get(key).incr(`${key}:n`)
    const replies = await pipeline.exec()
    expect(replies).toEqual(KEYS.flatMap((key) => [['OK'], [`value of ${key}`], [1]].map(([reply]) => [null, reply])))
    const direct = cluster.client()
    for (const key of KEYS) expect(await direct.get(key)).toBe(`value of ${key}`)
  })

  test('commands about each of their keys are split by slot', async () => {
    const client = path.client()
    expect(await client.mset(Object.fromEntries(KEYS.map((key) => [key, key])))).toBe('OK')
    expect(await client.mget('missing', ...KEYS)).toEqual([null, ...KEYS])
    expect(await client.exists(...KEYS)).toBe(KEYS.length)
    expect(await client.del(...KEYS.slice(1))).toBe(KEYS.length - 1)
    expect(await client.dbsize()).toBe(1)
  })

  test('other commands over several slots are refused in the words of Redis', async () => {
    const client = path.client()
    await expect(client.rename('key:1', 'key:2')).rejects.toThrow(
      "CROSSSLOT Keys in request don't hash to the same slot",
    )
    await client.set('{tag}:1', 'x')
    expect(await client.rename('{tag}:1', '{tag}:2')).toBe('OK')
  })

  test('keys with odd braces have the slots that the nodes say', async () => {
    const client = path.client()
    const odd = ['{}a}', '{}', '{a', 'a}', '{a}{b}', '{{a}}', 'x{a}y', '{a{b}', '}{a}', '{}{a}']
    for (const key of odd) await client.set(key, key)
    expect(await client.mget(...odd)).toEqual(odd)
    for (const key of odd) {
      const direct = (await cluster.ownerOf(await cluster.slotOf(key))).client()
      expect(await direct.get(key)).toBe(key)
      direct.disconnect()
    }
  })

  test('SCAN goes on after a restart, also where slots have moved meanwhile', async () => {
    const direct = cluster.client()
    for (const key of KEYS) await direct.set(key, '1')
    const [first, , third] = await cluster.masters()
    const seen = new Set<string>()
    let cursor = '0'
    let hasMoved = false
    do {
      const [next, keys] = await path.client().scan(cursor, 'COUNT', 7)
      for (const key of keys) seen.add(key)
      cursor = next
      // A cursor that names a node alone: the next one's.
      if (hasMoved || Number(cursor) >= 1_024) continue
      hasMoved = true
      // The third is the one with the first slot from now on.
      await cluster.moveSlot(0, third!)
      await path.stop()
      path = await startDataPath({ stores: { cluster: ofCluster() }, ...PATIENT })
    } while (cursor !== '0')
    await cluster.moveSlot(0, first!)
    expect([...seen].sort()).toEqual([...KEYS].sort())
  })

  test('SCAN and KEYS see every node', async () => {
    const client = path.client()
    await client.mset(Object.fromEntries(KEYS.map((key) => [key, key])))
    const found = new Set<string>()
    let cursor = '0'
    do {
      const [next, keys] = await client.scan(cursor, 'COUNT', 7)
      cursor = next
      for (const key of keys) found.add(key)
    } while (cursor !== '0')
    expect([...found].sort()).toEqual([...KEYS].sort())
    expect((await client.keys('*')).sort()).toEqual([...KEYS].sort())
    expect(KEYS).toContain(await client.randomkey())
    expect(await client.flushall()).toBe('OK')
    expect(await cluster.countKeys()).toBe(0)
  })

  test('a transaction on one slot is executed whole, one over several slots not at all', async () => {
    const client = path.client()
    expect(await client.multi().set('{a}1', '1').incr('{a}1').get('{a}1').exec()).toEqual([
      [null, 'OK'],
      [null, 2],
      [null, '2'],
    ])
    await expect(client.multi().set('key:1', '1').set('key:2', '2').exec()).rejects.toThrow('EXECABORT')
    expect(await client.exists('key:1', 'key:2')).toBe(0)
  })

  test.each([['GET'], ['SET', '{a}1']])(
    'a transaction with %s of too few words ends as at a server',
    async (...words) => {
      const client = await path.raw()
      client.send(
        Buffer.concat([['MULTI'], words, ['SET', '{a}1', 'x'], ['EXEC']].map((command) => encodeCommand(command))),
      )
      expect(await client.take(4)).toEqual([
        '+OK\r\n',
        `-ERR wrong number of arguments for '${words[0]!.toLowerCase()}' command\r\n`,
        '+QUEUED\r\n',
        '-EXECABORT Transaction discarded because of previous errors.\r\n',
      ])
    },
  )

  test('scripts run at the node of their keys, whichever they were loaded at', async () => {
    const client = path.client()
    const sha = (await client.script('LOAD', "return redis.call('incr', KEYS[1])")) as string
    for (const key of KEYS.slice(0, 9)) expect(await client.evalsha(sha, 1, key)).toBe(1)
  })

  test('a blocked command is answered by what comes to its node', async () => {
    const waiting = path.client().blpop('queue', 20)
    const client = path.client()
    await eventually(async () => {
      const infos = await Promise.all(cluster.servers.map(({ port }) => blockedAt(port)))
      expect(infos).toContain('1')
    })
    await client.rpush('queue', 'job')
    expect(await waiting).toEqual(['queue', 'job'])
  })

  test('a node survives that a client leaves while its blocking command is held by a pause', async () => {
    const masters = (await cluster.masters()).map((master) => master.client())
    const at = (command: string): Promise<void> =>
      eventually(async () => {
        const lists = await Promise.all(masters.map((master) => master.client('LIST')))
        expect(lists.join('')).toContain(` cmd=${command} `)
      })
    for (const master of masters) await master.call('CLIENT', 'PAUSE', '60000', 'WRITE')
    const client = await path.raw()
    client.command('BLPOP', 'left', 0)
    await at('blpop')
    client.destroy()
    await at('eval')
    for (const master of masters) await master.call('CLIENT', 'UNPAUSE')
    await eventually(async () => {
      const infos = await Promise.all(cluster.servers.map(({ port }) => blockedAt(port)))
      expect(infos).not.toContain('1')
    })
    expect(await path.client().rpush('left', 'job')).toBe(1)
    expect(await path.client().llen('left')).toBe(1)
  })

  test('the same while clients have writes paused, which a cluster is not told', async () => {
    const masters = (await cluster.masters()).map((master) => master.client())
    const lists = async () => (await Promise.all(masters.map((master) => master.client('LIST')))).join('')
    const [client, other] = [await path.raw(), path.client()]
    client.command('BLPOP', 'left2', 0)
    await eventually(async () => expect(await lists()).toContain(' cmd=blpop '))
    await other.call('CLIENT', 'PAUSE', '60000', 'WRITE')
    client.destroy()
    await eventually(async () => {
      const infos = await Promise.all(cluster.servers.map(({ port }) => blockedAt(port)))
      expect(infos).not.toContain('1')
    })
    expect(await other.get('left2')).toBeNull()
    await other.call('CLIENT', 'UNPAUSE')
    expect(await other.rpush('left2', 'job')).toBe(1)
    expect(await other.llen('left2')).toBe(1)
  })

  test('a subscriber gets what is published at any node', async () => {
    const subscriber = path.client()
    const heard: string[] = []
    subscriber.on('message', (_channel, message) => heard.push(message))
    await subscriber.subscribe('news')
    const direct = cluster.client()
    await eventually(async () => {
      await direct.publish('news', 'direct')
      expect(heard).toContain('direct')
    })
    await path.client().publish('news', 'through')
    await eventually(async () => expect(heard).toContain('through'))
  })

  test('MONITOR is refused behind the subscriptions before it, and leaves an ordinary client', async () => {
    const refused = /^-ERR Understudy: MONITOR concerns one server, .* is a cluster: ask its nodes\r\n$/
    const subscriber = await path.raw()
    await subscriber.ask('HELLO', 3)
    subscriber.send(Buffer.concat(['SUBSCRIBE a', 'MONITOR', 'PING'].map((words) => encodeCommand(words.split(' ')))))
    const [confirmed, refusal, pong] = await subscriber.take(3)
    expect(confirmed).toBe('>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n')
    expect(refusal).toMatch(refused)
    expect(pong).toBe('+PONG\r\n')
    await path.client().publish('a', 'told')
    expect(await subscriber.text()).toBe('>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\ntold\r\n')
    const client = await path.raw()
    expect(await client.ask('MONITOR')).toMatch(refused)
    expect(await client.ask('CLIENT', 'INFO')).toContain(' flags=N ')
  })

  test('what no server takes is refused in the words of Redis', async () => {
    const client = await path.raw()
    const direct = await RawClient.open(cluster.servers[0]!.port)
    for (const words of ['GET', 'XREAD', 'BLPOP', 'KEYS', 'OBJECT NOPE', 'OBJECT', 'CONFIG FOO', 'PUBSUB FOO'])
      expect(await client.ask(...words.split(' '))).toBe(await direct.ask(...words.split(' ')))
    direct.destroy()
  })

  test.each([2, 3] as const)(
    'a subscription that is refused has its answer behind those before it (RESP%i)',
    async (protocol) => {
      const client = await path.raw()
      await client.ask('HELLO', protocol)
      const commands = ['SUBSCRIBE one', 'SUBSCRIBE __keyspace@0__:k', 'SSUBSCRIBE shard', 'SUBSCRIBE two']
      client.send(Buffer.concat(commands.map((words) => encodeCommand(words.split(' ')))))
      const [one, keyspace, shard, two] = (await client.take(4)) as [string, string, string, string]
      for (const [answer, name] of [
        [one, 'one'],
        [two, 'two'],
      ] as const)
        expect(answer).toContain(`$9\r\nsubscribe\r\n$3\r\n${name}\r\n`)
      expect(keyspace).toContain('subscribe to keyspace notifications there')
      expect(shard).toContain('sharded channels')
      for (const channel of ['one', 'two']) {
        await path.client().publish(channel, 'told')
        expect(await client.text()).toContain(channel)
      }
      // In a transaction, too.
      if (protocol === 2) return
      for (const words of ['MULTI', 'SUBSCRIBE __keyspace@0__:k', 'SUBSCRIBE three'])
        await client.ask(...words.split(' '))
      const answer = await client.ask('EXEC')
      expect(answer).toMatch(/^\*2\r\n-ERR Understudy: each node/)
      expect(answer).toContain('three')
    },
  )

  test('what concerns one server, or a database, is refused with a reason', async () => {
    const client = path.client()
    await expect(client.call('CONFIG', 'REWRITE')).rejects.toThrow('is a cluster: ask its nodes')
    await expect(client.select(1)).rejects.toThrow('SELECT is not allowed in cluster mode')
  })

  test.each([
    ['a database, on a connection of its own', ['WATCH', 'key:1'], [['SELECT', 1]]],
    ['functions in a transaction, on a shared one', ['PING'], [['MULTI'], ['FUNCTION', 'FLUSH'], ['EXEC']]],
  ])('what is refused without asking a node brings nothing behind it out of step: %s', async (_, first, refused) => {
    const client = await path.raw()
    await client.ask(...first)
    const behind = KEYS.map((key) => ['ECHO', key])
    client.send(Buffer.concat([...refused, ...behind].map((command) => encodeCommand(command))))
    const replies = (await client.take(refused.length + behind.length)).slice(refused.length - 1)
    expect(replies.shift()).toMatch(/^-/)
    expect(replies).toEqual(KEYS.map((key) => `$${key.length}\r\n${key}\r\n`))
    for (const key of KEYS) expect(await client.ask('SET', key, key)).toBe('+OK\r\n')
  })

  test('a slot that moves under load loses and doubles nothing, and no client sees an error', async () => {
    const client = path.client()
    const keys = ['{moving}:1', '{moving}:2', 'key:1', 'key:2']
    const slot = await cluster.slotOf(keys[0]!)
    const counts = new Map(keys.map((key) => [key, 0]))
    let moving = true
    const load = (async () => {
      while (moving) {
        const pipeline = client.pipeline()
        for (const key of [...keys, ...keys]) pipeline.incr(key)
        for (const [i, [error, value]] of (await pipeline.exec())!.entries()) {
          const key = keys[i % keys.length]!
          expect(error).toBeNull()
          counts.set(key, counts.get(key)! + 1)
          expect(value).toBe(counts.get(key))
        }
      }
    })()
    await eventually(async () => expect(counts.get('key:1')).toBeGreaterThan(10))
    const owner = await cluster.ownerOf(slot)
    const others = (await cluster.masters()).filter((server) => server.port !== owner.port)
    for (const to of [...others, owner]) await cluster.moveSlot(slot, to)
    moving = false
    await load
    for (const key of keys) expect(await client.get(key)).toBe(String(counts.get(key)))
  })
})

describe('WATCH at a cluster', () => {
  beforeEach(async () => {
    path = await startDataPath({ stores: { cluster: ofCluster() }, ...PATIENT })
  })

  test('keeps a transaction from being executed when a key has changed, and not otherwise', async () => {
    const [client, other] = [path.client(), path.client()]
    await client.set('{w}1', '1')
    await client.watch('{w}1')
    expect(await client.get('{w}1')).toBe('1')
    expect(await client.multi().set('{w}1', '2').get('{w}2').exec()).toEqual([
      [null, 'OK'],
      [null, null],
    ])
    await client.watch('{w}1', '{w}2')
    await other.set('{w}2', 'changed')
    expect(await client.multi().set('{w}1', '3').exec()).toBeNull()
    // Nothing is watched any more, by EXEC, UNWATCH or DISCARD.
    await client.watch('{w}1')
    await client.unwatch()
    await other.set('{w}1', '4')
    expect(await client.multi().incr('{w}1').exec()).toEqual([[null, 5]])
    expect(await cluster.client().mget('{w}1', '{w}2')).toEqual(['5', 'changed'])
  })

  test('is of one slot, as the transaction is', async () => {
    const client = await path.raw()
    expect(await client.ask('WATCH', 'key:1', 'key:2')).toMatch(/^-CROSSSLOT/)
    expect(await client.ask('WATCH', 'key:1')).toBe('+OK\r\n')
    expect(await client.ask('WATCH', 'key:2')).toMatch(/^-CROSSSLOT/)
    expect(await client.ask('MULTI')).toBe('+OK\r\n')
    expect(await client.ask('SET', 'key:2', 'x')).toMatch(/^-CROSSSLOT/)
    expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
    expect(await client.ask('GET', 'key:2')).toBe('$-1\r\n')
  })

  test('answers nil when the slot has moved meanwhile, and a second try goes through', async () => {
    const client = await path.raw()
    await client.ask('SET', '{w}1', '1')
    expect(await client.ask('WATCH', '{w}1')).toBe('+OK\r\n')
    const slot = await cluster.slotOf('{w}1')
    const owner = await cluster.ownerOf(slot)
    const to = (await cluster.masters()).find((server) => server !== owner)!
    await cluster.moveSlot(slot, to)
    await to.client().set('{w}1', 'changed')
    expect(await client.ask('MULTI')).toBe('+OK\r\n')
    expect(await client.ask('SET', '{w}1', '2')).toBe('+QUEUED\r\n')
    expect(await client.ask('EXEC')).toBe('*-1\r\n')
    expect(await client.ask('WATCH', '{w}1')).toBe('+OK\r\n')
    client.command('MULTI')
    client.command('APPEND', '{w}1', '!')
    client.command('EXEC')
    expect(await client.take(3)).toEqual(['+OK\r\n', '+QUEUED\r\n', '*1\r\n:8\r\n'])
    await cluster.moveSlot(slot, owner)
  })

  test('a client that changes its protocol before the transaction gets the replies of the new one', async () => {
    const client = await path.raw()
    await client.ask('HSET', '{w}h', 'f', 'v')
    expect(await client.ask('WATCH', '{w}h')).toBe('+OK\r\n')
    expect(await client.ask('HELLO', 3)).toMatch(/^%/)
    expect(await client.ask('MULTI')).toBe('+OK\r\n')
    expect(await client.ask('HGETALL', '{w}h')).toBe('+QUEUED\r\n')
    expect(await client.ask('EXEC')).toBe('*1\r\n%1\r\n$1\r\nf\r\n$1\r\nv\r\n')
    expect(await client.ask('HGETALL', '{w}h')).toBe('%1\r\n$1\r\nf\r\n$1\r\nv\r\n')
  })

  test('counts up under contention without losing a step', async () => {
    const clients = await Promise.all([1, 2, 3, 4].map(() => path.client()))
    await Promise.all(
      clients.map(async (client) => {
        for (let done = 0; done < 10; ) {
          await client.watch('{w}n')
          const value = Number(await client.get('{w}n'))
          const result = await client
            .multi()
            .set('{w}n', value + 1)
            .exec()
          if (result !== null) done++
        }
      }),
    )
    expect(await path.client().get('{w}n')).toBe('40')
  })
})

describe('keys of a slot that is on its way', () => {
  beforeEach(async () => {
    const all = { name: 'all', source: 'cluster', target: 'single', phase: 'mirror' } as const
    path = await startDataPath({ stores: { cluster: ofCluster(), single }, routes: [all], ...PATIENT })
  })
  afterEach(async () => {
    await single.client().flushall()
  })

  /** Some keys of the slot `{m}` are at its new owner already, `gone`, and the others are not, `left`. */
  async function halfWay() {
    const client = path.client()
    const keys = [1, 2, 3, 4].map((n) => `{m}:${n}`)
    for (const key of keys) await client.set(key, '0')
    const slot = await cluster.slotOf('{m}:1')
    const from = await cluster.ownerOf(slot)
    const to = (await cluster.masters()).find((server) => server !== from)!
    const move = await cluster.beginMove(slot, to)
    await move.migrate(2)
    const left = (await from.client().call('CLUSTER', 'GETKEYSINSLOT', slot, 10)) as string[]
    const gone = keys.filter((key) => !left.includes(key))
    expect([left.length, gone.length]).toEqual([2, 2])
    return { client, keys, gone, left, move }
  }

  async function equal(keys: string[], values: string[]): Promise<void> {
    await settled(path)
    expect(await cluster.client().mget(...keys)).toEqual(values)
    expect(await single.client().mget(...keys)).toEqual(values)
  }

  test('are found where they are, by single commands and by transactions', async () => {
    const { client, gone, left, move } = await halfWay()
    const found = await client.pipeline().incr(left[0]!).incr(gone[0]!).incr(left[0]!).incr(gone[0]!).exec()
    expect(found).toEqual([1, 1, 2, 2].map((n) => [null, n]))
    for (const key of [gone[1]!, left[1]!, '{m}:new']) {
      expect(await client.multi().incr(key).get(key).exec()).toEqual([
        [null, 1],
        [null, '1'],
      ])
    }
    await move.finish()
    await equal([left[0]!, left[1]!, gone[0]!, gone[1]!, '{m}:new'], ['2', '1', '2', '1', '1'])
  })

  test('are written by a command that a part of a later one has overtaken, where that part is about another key', async () => {
    const { client, gone, left, move } = await halfWay()
    const both = await client.pipeline().incr(gone[0]!).mset(left[0]!, 'a', 'elsewhere', 'a').incr(gone[1]!).exec()
    expect(both).toEqual([
      [null, 1],
      [null, 'OK'],
      [null, 1],
    ])
    await move.finish()
    await equal([gone[0]!, left[0]!, gone[1]!], ['1', 'a', '1'])
    expect(await client.get('elsewhere')).toBe('a')
  })

  test('that lie apart are waited for by commands that need both', async () => {
    const { client, keys, gone, left, move } = await halfWay()
    const both = Promise.all([
      client.mset(left[0]!, 'a', gone[0]!, 'a'),
      path.client().multi().set(left[1]!, 'b').set(gone[1]!, 'b').exec(),
    ])
    let answered = false
    void both.then(() => (answered = true))
    const other = path.client()
    for (let i = 0; i < 20; i++) await other.set('elsewhere', i)
    expect(answered).toBe(false)
    await move.finish()
    await both
    await equal([left[0]!, gone[0]!, left[1]!, gone[1]!], ['a', 'a', 'b', 'b'])
    expect(keys.length).toBe(4)
  })

  test('are not written by a command that a later one has overtaken', async () => {
    const { client, gone, left, move } = await halfWay()
    const first = client.mset(left[0]!, 'first', gone[0]!, 'first')
    const failed = expect(first).rejects.toThrow('TRYAGAIN')
    const other = path.client()
    await eventually(async () => {
      await other.set(left[0]!, 'second')
      expect(await other.get(left[0]!)).toBe('second')
    })
    await move.finish()
    await failed
    await equal([left[0]!, gone[0]!], ['second', '0'])
  })
})

describe('a blocked command whose slot moves', () => {
  /** As long as a client that waits may have done so by then; what is sent meanwhile goes to the nodes. */
  const HASTY = { store: { timeoutMs: 500 } } as const
  const [queue, other] = ['{b}:1', '{b}:2']
  beforeEach(async () => {
    path = await startDataPath({ stores: { cluster: ofCluster() }, ...HASTY })
  })

  /** So many clients are blocked at the node, and each has been for a second at least: whole seconds of its clock are counted. */
  const waitingFor1s = (server: RedisServer, count: number): Promise<void> =>
    eventually(async () => {
      const list = String(await server.client().client('LIST'))
      expect(list.match(/ idle=([2-9]|\d\d+) flags=b /g) ?? []).toHaveLength(count)
    })

  test('goes on waiting at its new node, for what is left of its time, however long it has waited', async () => {
    const slot = await cluster.slotOf(queue!)
    const from = await cluster.ownerOf(slot)
    const to = (await cluster.masters()).find((server) => server !== from)!
    const waiting = Promise.all([
      path.client().blpop(queue!, 0),
      path.client().xread('BLOCK', 0, 'STREAMS', '{b}:s', '$'),
      path.client().blpop(other!, 1_000),
    ])
    await waitingFor1s(from, 3)
    const monitor = await RawClient.open(to.port)
    await monitor.ask('MONITOR')
    await cluster.moveSlot(slot, to)
    await waitingFor1s(to, 3)
    // And once more.
    await cluster.moveSlot(slot, from)
    await waitingFor1s(from, 3)
    const at = from.client()
    await Promise.all([at.rpush(queue!, 'x'), at.rpush(other!, 'y'), at.xadd('{b}:s', '1-1', 'f', 'v')])
    expect(await waiting).toEqual([[queue, 'x'], [['{b}:s', [['1-1', ['f', 'v']]]]], [other, 'y']])
    let line = ''
    while (!line.includes(`"blpop" "${other}"`)) line = await monitor.text()
    const seconds = Number(/"([\d.]+)"\r\n$/.exec(line)![1])
    expect(seconds).toBeGreaterThan(900)
    expect(seconds).toBeLessThanOrEqual(999)
    monitor.destroy()
  })

  test('ends when its time is over, also where no node executes it', async () => {
    const at = cluster.client()
    for (const key of [queue!, other!]) await at.set(key, 'in the way')
    const slot = await cluster.slotOf(queue!)
    const from = await cluster.ownerOf(slot)
    const to = (await cluster.masters()).find((server) => server !== from)!
    const move = await cluster.beginMove(slot, to)
    await move.migrate(1)
    expect(await path.client().blpop(queue!, other!, 0.1)).toBeNull()
    await move.finish()
    await expect(path.client().blpop(queue!, other!, 0.1)).rejects.toThrow('WRONGTYPE')
  })
})

describe('a cluster as the shadow', () => {
  beforeEach(async () => {
    const all = { name: 'all', source: 'single', target: 'cluster', phase: 'mirror' } as const
    path = await startDataPath({ stores: { single, cluster: ofCluster() }, routes: [all] })
  })

  test('writes arrive at the nodes of their keys, also those over several slots', async () => {
    const client = path.client()
    await client.flushall()
    await client.mset(Object.fromEntries(KEYS.map((key) => [key, key])))
    await client.rename('key:1', 'renamed')
    await client.multi().set('one', '1').set('two', '2').rpush('three', 'a', 'b').exec()
    await client.sadd('set:1', 'a', 'b')
    await client.sadd('set:2', 'b', 'c')
    await client.sunionstore('union', 'set:1', 'set:2')
    await client.smove('set:1', 'set:2', 'a')
    const direct = cluster.client()
    await eventually(async () => {
      const { all } = path.runtime.stats().routes
      expect(all).toMatchObject({ dirtyKeys: 0, backlogCommands: 0 })
      expect(await cluster.countKeys()).toBe(await client.dbsize())
      expect(await direct.get('renamed')).toBe('key:1')
      expect(await direct.exists('key:1')).toBe(0)
      expect(await direct.get('two')).toBe('2')
      expect(await direct.lrange('three', 0, -1)).toEqual(['a', 'b'])
      expect((await direct.smembers('union')).sort()).toEqual(['a', 'b', 'c'])
      expect((await direct.smembers('set:2')).sort()).toEqual(['a', 'b', 'c'])
      expect(await direct.smembers('set:1')).toEqual(['b'])
    })
  })

  test('keys of another database than 0 are told, until they are gone: they can never be copied, and a job says so at once', async () => {
    const client = path.client({ db: 3 })
    await client.set('elsewhere', '1')
    await eventually(() =>
      expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 1, strandedDatabases: [3] }),
    )
    const { outcomes, reasons } = await copyAsJob(path, 'all', ['elsewhere'], { database: 3 })
    expect([...outcomes]).toEqual([FAILED])
    expect(reasons).toEqual([[0, 'the shadow is a cluster, which has database 0 alone']])
    await client.del('elsewhere')
    await eventually(
      () => expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, strandedDatabases: [] }),
      { timeoutMs: 30_000 },
    )
  })
})

describe('a switch between a cluster and a server', () => {
  const options = (phase: 'mirror' | 'switched') => ({
    stores: { single, cluster: ofCluster() },
    routes: [{ name: 'all', source: 'single', target: 'cluster', phase }],
    ...PATIENT,
  })
  let generation = 0
  const go = async (from: 'mirror' | 'switched', to: 'mirror' | 'switched'): Promise<void> => {
    const listen = path.config.listen
    const [old, next] = [from, to].map((phase) => ({ ...configOf(options(phase)), listen }))
    expect(await path.runtime.apply(changeBetween(old!, next!, ++generation))).toMatchObject({ ok: true })
  }
  const blockedAt = (server: RedisServer, count: number): Promise<void> =>
    eventually(async () => expect(await server.client().info('clients')).toContain(`blocked_clients:${count}\r\n`))
  /** A key of each master. */
  const spread = async (): Promise<string[]> => {
    const byOwner = new Map<RedisServer, string>()
    for (const key of KEYS) byOwner.set(await cluster.ownerOf(await cluster.slotOf(key)), key)
    return (await cluster.masters()).map((master) => byOwner.get(master)!)
  }
  beforeEach(async () => {
    await single.client().flushall()
  })

  test('takes blocked commands along, from whichever node they wait at', async () => {
    path = await startDataPath(options('switched'))
    const queues = await spread()
    const giver = path.client()
    const waiting = queues.map((queue) => path.client().blpop(queue, 0))
    const reading = path.client().xread('BLOCK', 0, 'STREAMS', `s{${queues[0]}}`, '$')
    for (const [i, master] of (await cluster.masters()).entries()) await blockedAt(master, i === 0 ? 2 : 1)
    await go('switched', 'mirror')
    await blockedAt(single, 4)
    for (const master of await cluster.masters()) await blockedAt(master, 0)
    for (const queue of queues) await giver.rpush(queue, 'x')
    await giver.xadd(`s{${queues[0]}}`, '*', 'f', 'v')
    expect(await Promise.all(waiting)).toEqual(queues.map((queue) => [queue, 'x']))
    expect(await reading).toMatchObject([[`s{${queues[0]}}`, [[expect.any(String), ['f', 'v']]]]])
    await settled(path)
    expect(await cluster.client().exists(queues[0]!)).toBe(0)
  })

  test('back and forth under queues: every element is taken once', async () => {
    path = await startDataPath(options('mirror'))
    const queues = await spread()
    const taken: string[] = []
    const working = [...queues, ...queues].map(async (queue) => {
      const taker = path.client()
      for (;;) {
        const [, value] = (await taker.blpop(queue, 0))!
        if (value === 'stop') return
        taken.push(`${queue} ${value}`)
      }
    })
    const given: string[] = []
    let stop = false
    const giving = queues.map(async (queue) => {
      const giver = path.client()
      for (let i = 0; !stop; i++) {
        await giver.rpush(queue, i)
        given.push(`${queue} ${i}`)
      }
    })
    for (let i = 0; i < 8; i++) {
      const before = given.length
      await eventually(() => expect(given.length).toBeGreaterThan(before + 50))
      if (i % 2 === 0) await go('mirror', 'switched')
      else await go('switched', 'mirror')
    }
    stop = true
    await Promise.all(giving)
    for (const queue of queues) await path.client().rpush(queue, 'stop', 'stop')
    await Promise.all(working)
    expect(taken.sort()).toEqual(given.sort())
  })
})

describe.each([
  ['single', 'cluster'],
  ['cluster', 'single'],
] as const)('a migration from %s to %s', (source, target) => {
  const start = async (phase: 'read-target' | 'switched' | 'done') => {
    const stores = { single, cluster: ofCluster() }
    path = await startDataPath({ stores, routes: [{ name: 'all', source, target, phase }], ...PATIENT })
    return path.client()
  }
  const sides = () => (source === 'single' ? [single.client(), cluster.client()] : [cluster.client(), single.client()])
  afterEach(async () => {
    await single.client().flushall()
  })

  test('reads at the target what is there, and copies over what is not', async () => {
    const [old, fresh] = sides()
    await old!.set('only:old', 'a')
    const client = await start('read-target')
    expect(await client.get('only:old')).toBe('a')
    await eventually(async () => expect(await fresh!.get('only:old')).toBe('a'))
    await client.mset('key:1', '1', 'key:2', '2')
    await settled(path)
    expect(await client.mget('key:1', 'key:2', 'only:old', 'missing')).toEqual(['1', '2', 'a', null])
    expect([await fresh!.get('key:2'), await old!.get('key:2')]).toEqual(['2', '2'])
  })

  test('writes to both sides while it can go back, and to the target alone when it is done', async () => {
    const [old, fresh] = sides()
    let client = await start('switched')
    await client.mset('key:1', '1', 'key:2', '2')
    await client.multi().incr('{t}n').rpush('{t}l', 'a').exec()
    await settled(path)
    expect([await old!.get('key:1'), await old!.get('{t}n'), await fresh!.get('key:2')]).toEqual(['1', '1', '2'])
    await path.stop()
    client = await start('done')
    expect(await client.incr('key:1')).toBe(2)
    expect([await old!.get('key:1'), await fresh!.get('key:1')]).toEqual(['1', '2'])
  })
})

async function blockedAt(port: number): Promise<string | undefined> {
  const server = cluster.servers.find((one) => one.port === port)!
  const client = server.client()
  const info = await client.info('clients')
  client.disconnect()
  return /blocked_clients:(\d+)/.exec(info)?.[1]
}
