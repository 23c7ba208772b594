import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type FakeAnswer, FakeStore } from '../../support/fake-store.ts'
import { freePort } from '../../support/ports.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../../support/redis.ts'

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function redis(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await startRedis(options)
  cleanUps.push(() => server.stop())
  return server
}
async function fake(answer: FakeAnswer, greets?: boolean): Promise<FakeStore> {
  const store = await FakeStore.start(answer, greets)
  cleanUps.push(() => store.stop())
  return store
}
async function dataPath(options: DataPathOptions): Promise<DataPathUnderTest> {
  const path = await startDataPath(options)
  cleanUps.push(() => path.stop())
  return path
}

const NOT_EXECUTED = /^-ERR Understudy: store 'only' is down .*; the command was not executed\r\n$/s
const MAYBE_EXECUTED = /^-ERR Understudy: .*; the command may have been executed\r\n$/s
const IN_TIME = /^-ERR Understudy: store 'only' did not answer in time; the command may have been executed\r\n$/

const packet = (...commands: (string | number)[][]) => Buffer.concat(commands.map((command) => encodeCommand(command)))

describe('a store that is killed under load and comes back', () => {
  test('every command gets one reply or one error, nobody gets another’s, and no client is disconnected', async () => {
    const store = await redis()
    const path = await dataPath({ stores: { only: store } })
    const tally = { replies: 0, notExecuted: 0, maybe: 0 }
    let stop = false
    const enter = async (client: RawClient, c: number): Promise<void> => {
      if (c % 2 === 1) await client.ask('HELLO', 3)
      if (c % 3 === 0) expect(await client.ask('SELECT', 3)).toBe('+OK\r\n')
    }
    const work = async (client: RawClient, c: number): Promise<void> => {
      for (let round = 0; !stop; round++) {
        const keys = Array.from({ length: 1 + ((c + round) % 20) }, (_, i) => `${c}:${i}`)
        const commands = keys.flatMap((key) => [
          ['SET', key, `value of ${key}`],
          ['GET', key],
          ['ECHO', `${key}@${round}`],
        ])
        client.send(packet(...commands))
        for (const [name, key] of commands) {
          const reply = await client.text()
          if (NOT_EXECUTED.test(reply)) tally.notExecuted++
          else if (MAYBE_EXECUTED.test(reply)) tally.maybe++
          else {
            tally.replies++
            const value = name === 'GET' ? `value of ${key}` : key!
            if (name === 'SET') expect(reply).toBe('+OK\r\n')
            else if (name === 'GET' && /^(\$-1|_)\r\n$/.test(reply)) continue
            else expect(reply).toBe(`$${value.length}\r\n${value}\r\n`)
          }
        }
        await sleep(0)
      }
    }
    const clients = await Promise.all(Array.from({ length: 20 }, () => path.raw()))
    // Ahead of the first kill: a client whose SELECT is lost is disconnected.
    await Promise.all(clients.map(enter))
    const working = clients.map(work)
    // Now and then nothing is on its way to the store at that moment.
    for (let kill = 0; kill < 3 || (tally.maybe === 0 && kill < 20); kill++) {
      const before = tally.replies
      await eventually(() => expect(tally.replies).toBeGreaterThan(before + 1_000))
      await store.kill9()
      const failed = tally.notExecuted
      await eventually(() => expect(tally.notExecuted).toBeGreaterThan(failed + 100))
      await store.restart()
    }
    const before = tally.replies
    await eventually(() => expect(tally.replies).toBeGreaterThan(before + 1_000))
    stop = true
    await Promise.all(working)
    expect(tally.maybe).toBeGreaterThan(0)
    expect(clients.filter((client) => client.ended)).toEqual([])
    expect(clients.map((client) => client.unread)).toEqual(clients.map(() => 0))
    expect(path.runtime.stats().routes['all']!.inFlight).toBe(0)
  })

  test('what was said not to be executed was not, and what was answered was', async () => {
    const store = await redis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    const path = await dataPath({ stores: { only: store } })
    const count = { ok: 0, not: 0, maybe: 0 }
    let stop = false
    const clients = await Promise.all(Array.from({ length: 10 }, () => path.raw()))
    const working = clients.map(async (client, c) => {
      for (let i = 0; !stop; i++) {
        // Plain, in a transaction that comes whole, in one that does not.
        if ((c + i) % 3 === 0) client.send(packet(['MULTI'], ['INCR', 'n'], ['EXEC']))
        else if ((c + i) % 3 === 1) client.command('INCR', 'n')
        else {
          await client.ask('MULTI')
          await client.ask('INCR', 'n')
          client.command('EXEC')
        }
        const replies = await client.take((c + i) % 3 === 0 ? 3 : 1)
        const last = replies.at(-1)!
        if (/^(:|\*1\r\n:)/.test(last)) count.ok++
        else if (MAYBE_EXECUTED.test(last)) count.maybe++
        else if (NOT_EXECUTED.test(last) || /^-(EXECABORT|LOADING)/.test(last)) count.not++
        else expect.fail(`unexpected reply ${last}`)
      }
    })
    for (let kill = 0; kill < 3; kill++) {
      const before = count.ok
      await eventually(() => expect(count.ok).toBeGreaterThan(before + 200))
      await store.restart()
    }
    const before = count.ok
    await eventually(() => expect(count.ok).toBeGreaterThan(before + 50))
    stop = true
    await Promise.all(working)
    const client = await path.raw()
    const reply = await eventually(async () => {
      const got = await client.ask('GET', 'n')
      expect(got).toMatch(/^\$\d+\r\n\d+\r\n$/)
      return got
    })
    const n = Number(reply.split('\r\n')[1])
    expect(n).toBeGreaterThanOrEqual(count.ok)
    expect(n).toBeLessThanOrEqual(count.ok + count.maybe)
  })

  test('blocked clients are told, and can block again', async () => {
    const store = await redis()
    const path = await dataPath({ stores: { only: store } })
    const client = await path.raw()
    client.command('BLPOP', 'l', 0)
    await eventually(async () => {
      const info = await (await path.raw()).ask('INFO', 'clients')
      expect(info).toContain('blocked_clients:1')
    })
    await store.kill9()
    expect(await client.text()).toMatch(MAYBE_EXECUTED)
    await store.restart()
    await eventually(async () => expect(await client.ask('RPUSH', 'l', 'x')).toMatch(/^:/))
    expect(await client.ask('BLPOP', 'l', 0)).toBe('*2\r\n$1\r\nl\r\n$1\r\nx\r\n')
  })
})

describe('a store that does not answer', () => {
  test('commands are answered in time, and late replies do not become other commands’', async () => {
    const store = await redis()
    const path = await dataPath({ stores: { only: store }, store: { timeoutMs: 1_000 } })
    const [one, other] = [await path.raw(), await path.raw()]
    await one.ask('SET', 'k', 'one')
    await other.ask('SET', 'l', 'other')
    store.pause()
    const began = performance.now()
    one.send(packet(['GET', 'k'], ['INCR', 'n']))
    other.send(packet(['GET', 'l'], ['ECHO', 'x']))
    for (const reply of [...(await one.take(2)), ...(await other.take(2))]) expect(reply).toMatch(IN_TIME)
    expect(performance.now() - began).toBeGreaterThanOrEqual(950)
    // These wait while the late replies come.
    one.send(packet(['ECHO', 'behind'], ['GET', 'k']))
    other.command('GET', 'l')
    store.resume()
    expect(await one.take(2)).toEqual(['$6\r\nbehind\r\n', '$3\r\none\r\n'])
    expect(await other.text()).toBe('$5\r\nother\r\n')
    expect(await one.ask('GET', 'n')).toBe('$1\r\n1\r\n')
    expect(path.runtime.stats().routes['all']!.inFlight).toBe(0)
  })

  test('a transaction on its own connection is given up in time, and its client goes on', async () => {
    const store = await redis()
    const path = await dataPath({ stores: { only: store }, store: { timeoutMs: 1_000 } })
    for (const stage of ['queue', 'exec']) {
      const client = await path.raw()
      await client.ask('WATCH', 'k')
      await client.ask('MULTI')
      if (stage === 'exec') await client.ask('INCR', 'n')
      store.pause()
      client.command(...(stage === 'exec' ? ['EXEC'] : ['INCR', 'n']))
      expect(await client.text()).toMatch(MAYBE_EXECUTED)
      store.resume()
      if (stage === 'queue') expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
      await eventually(async () => expect(await client.ask('PING')).toBe('+PONG\r\n'))
    }
  })

  test('a blocking command with a timeout is given up after it, one without is not', async () => {
    const store = await redis()
    const path = await dataPath({ stores: { only: store }, store: { timeoutMs: 500 } })
    const [some, forever] = [await path.raw(), await path.raw()]
    const blocked = (count: number) =>
      eventually(async () => {
        const info = await (await path.raw()).ask('INFO', 'clients')
        expect(info).toContain(`blocked_clients:${count}`)
      })
    forever.command('BLPOP', 'm', 0)
    await blocked(1)
    let reply: string
    do {
      some.command('BLPOP', 'l', '1')
      await eventually(async () => {
        if (some.unread > 0) return
        const info = await (await path.raw()).ask('INFO', 'clients')
        expect(info).toContain('blocked_clients:2')
      })
      store.pause()
      reply = await some.text()
      store.resume()
      // Again where the machine was so slow that its time was over before the store hung.
    } while (reply === '*-1\r\n')
    expect(reply).toMatch(MAYBE_EXECUTED)
    await eventually(async () => expect(await (await path.raw()).ask('RPUSH', 'm', 'x')).toMatch(/^:/))
    expect(await forever.text()).toBe('*2\r\n$1\r\nm\r\n$1\r\nx\r\n')
  })

  test('a store that says nothing at all for long is connected anew', async () => {
    let deaf: unknown = null
    const store = await fake((args, socket) => {
      deaf ??= socket
      if (args[0] === 'CLIENT') return '+OK\r\n'
      if (socket === deaf) return null
      return args[0] === 'ECHO' ? `$${args[1]!.length}\r\n${args[1]}\r\n` : '-ERR\r\n'
    }, false)
    const path = await dataPath({ stores: { only: store }, store: { timeoutMs: 50 } })
    const client = await path.raw()
    expect(await client.ask('ECHO', 'a')).toMatch(IN_TIME)
    await eventually(async () => expect(await client.ask('ECHO', 'c')).toBe('$1\r\nc\r\n'))
  })

  test('a large reply that takes longer than the timeout is no hang', async () => {
    let slow = Promise.resolve()
    const carriers = new Map<string, Socket>()
    const store = await fake((args, socket) => {
      carriers.set(args[0]!, socket)
      if (args[0] === 'SLOW') {
        socket.write('$30\r\n')
        slow = (async () => {
          for (let i = 0; i < 30; i++) {
            await sleep(20)
            socket.write('x')
          }
          socket.write('\r\n')
        })()
      } else void slow.then(() => socket.write('+PONG\r\n'))
      return null
    }, false)
    const path = await dataPath({ stores: { only: store }, store: { timeoutMs: 100 } })
    const client = await path.raw()
    expect(await client.ask('PING')).toBe('+PONG\r\n')
    expect(await client.ask('SLOW')).toMatch(IN_TIME)
    await eventually(async () => expect(await client.ask('PING')).toBe('+PONG\r\n'))
    await client.ask('AFTER')
    // Not opened anew (whoever looks beside it why it is slow has a connection of its own).
    expect(carriers.get('AFTER')).toBe(carriers.get('SLOW'))
  })
})

describe('a store that is not there', () => {
  test('commands are refused at once, and work as soon as it comes', async () => {
    const port = await freePort()
    const path = await dataPath({ stores: { only: { port } } })
    const client = await path.raw()
    expect(await client.ask('GET', 'k')).toMatch(NOT_EXECUTED)
    client.send(packet(['MULTI'], ['GET', 'k'], ['EXEC'], ['WATCH', 'k'], ['GET', 'k'], ['BLPOP', 'l', 0]))
    for (const reply of await client.take(6))
      expect(reply).toMatch(/^(-ERR Understudy: .*was not executed\r\n|\+OK\r\n|-EXECABORT)/s)
    // What it sends behind a SELECT is meant for that database alone.
    expect(await client.ask('SELECT', 3)).toMatch(NOT_EXECUTED)
    await client.closed
    await redis({ port })
    const fresh = await path.raw()
    await eventually(async () => expect(await fresh.ask('SET', 'k', 'v')).toBe('+OK\r\n'))
    expect(await fresh.ask('BLPOP', 'l', '0.01')).toBe('*-1\r\n')
  })

  test.each(['a handshake without an answer', 'no connection at all'])(
    '%s: commands are told in time that they were not executed',
    async (what) => {
      const greetings: string[] = []
      const store = await fake(([name]) => {
        greetings.push(name!)
        return null
      }, false)
      const path = await dataPath({
        stores: { only: what.startsWith('no') ? { port: store.port, endpoints: [] } : store },
        store: { connectTimeoutMs: 100, timeoutMs: 1_000 },
      })
      const client = await path.raw()
      // The time of the greeting ends before that of a command which came at least a tick of the clock later.
      if (!what.startsWith('no')) await eventually(() => expect(greetings).not.toEqual([]))
      await sleep(50)
      expect(await client.ask('GET', 'k')).toMatch(NOT_EXECUTED)
      expect(await client.ask('GET', 'k')).toMatch(NOT_EXECUTED)
    },
  )

  test.each([
    ['-ERR max number of clients reached\r\n', /max number of clients/],
    ['-DENIED Redis is running in protected mode\r\n', /protected mode/],
    ['', /closed|reset/],
  ])(
    'a store that turns us away (%j) is not besieged, and clients know that nothing was executed',
    async (word, reason) => {
      const store = await fake((_args, socket) => {
        if (word !== '') socket.write(word)
        return 'close'
      }, false)
      const path = await dataPath({ stores: { only: store } })
      const client = await path.raw()
      const until = performance.now() + 500
      while (performance.now() < until) {
        const reply = await client.ask('GET', 'k')
        expect(reply).toMatch(NOT_EXECUTED)
        expect(reply).toMatch(reason)
      }
      expect(store.accepted).toBeLessThan(20)
    },
  )

  test('a store that lets us in and closes at once is not besieged either', async () => {
    const store = await fake(() => 'close')
    const path = await dataPath({ stores: { only: store } })
    const client = await path.raw()
    const until = performance.now() + 500
    while (performance.now() < until) expect(await client.ask('GET', 'k')).toMatch(/^-ERR Understudy/)
    expect(store.accepted).toBeLessThan(20)
  })
})

describe('a store that talks nonsense', () => {
  const answering = (reply: string): FakeAnswer => {
    let times = 0
    return (args) => {
      if (args[0] !== 'ODD') return `$${args[1]!.length}\r\n${args[1]}\r\n`
      return times++ === 0 ? reply : '+fine\r\n'
    }
  }

  test.each(['garbage\r\n', '\r\n', '$abc\r\n', '*-2\r\n', '$5\nhello\r\n', '%-1\r\n', '+ok\rx'])(
    '%j: the connection is opened anew, everybody is told, nobody gets another’s reply',
    async (garbage) => {
      const store = await fake(answering(garbage))
      const path = await dataPath({ stores: { only: store } })
      const [one, other] = [await path.raw(), await path.raw()]
      await one.ask('ECHO', 'warm')
      one.send(packet(['ECHO', 'before'], ['ODD'], ['ECHO', 'behind']))
      expect(await one.text()).toBe('$6\r\nbefore\r\n')
      for (const reply of await one.take(2)) expect(reply).toMatch(MAYBE_EXECUTED)
      await eventually(async () => expect(await other.ask('ECHO', 'x')).toBe('$1\r\nx\r\n'))
      expect(await one.ask('ODD')).toBe('+fine\r\n')
      expect(store.accepted).toBe(2)
    },
  )

  test('a reply that nobody asked for', async () => {
    const store = await fake(answering('+one\r\n+too many\r\n'))
    const path = await dataPath({ stores: { only: store } })
    const client = await path.raw()
    expect(await client.ask('ODD')).toBe('+one\r\n')
    await eventually(async () => expect(await client.ask('ECHO', 'x')).toBe('$1\r\nx\r\n'))
  })

  test('closes at any byte of a reply: the ones before are whole, the one is lost, the ones behind as well', async () => {
    const reply = '*3\r\n$5\r\nhello\r\n:1\r\n%1\r\n+k\r\n$-1\r\n'
    for (let at = 0; at <= reply.length; at++) {
      const store = await fake((args, socket) => {
        if (args[0] === 'ECHO') return `$${args[1]!.length}\r\n${args[1]}\r\n`
        if (args[0] === 'BEHIND') return null
        socket.write(reply.slice(0, at))
        return 'close'
      })
      const path = await dataPath({ stores: { only: store } })
      const client = await path.raw()
      await client.ask('ECHO', 'warm')
      client.send(packet(['ECHO', 'before'], ['ODD'], ['BEHIND']))
      const [before, odd, behind] = await client.take(3)
      expect(before).toBe('$6\r\nbefore\r\n')
      if (at === reply.length) expect(odd).toBe(reply)
      else expect(odd).toMatch(MAYBE_EXECUTED)
      expect(behind).toMatch(MAYBE_EXECUTED)
      await path.stop()
      await store.stop()
    }
  })

  test.each(['-ERR odd', '*2\r\n+OK\r\n+OK', '*0', '+OK'])(
    'an EXEC answered by %j: what it wrote is copied',
    async (answer) => {
      const store = await fake((args) =>
        args[0] === 'EXEC' ? `${answer}\r\n` : args[0] === 'MULTI' ? '+OK\r\n' : '+QUEUED\r\n',
      )
      const target = await redis()
      const path = await dataPath({
        stores: { only: store, target },
        routes: [{ source: 'only', target: 'target', phase: 'mirror' }],
      })
      const client = await path.raw()
      client.send(packet(['MULTI'], ['SET', 'unsure', 'v'], ['EXEC']))
      expect((await client.take(3)).at(-1)).toBe(`${answer}\r\n`)
      const dirtied = (): number => path.runtime.stats().routes['all']!.counters.dirtied
      await eventually(() => expect(dirtied()).toBe(1))
    },
  )

  test('content that makes no sense where it has to be understood: passed on as it came, in its place', async () => {
    const store = await fake((args) => {
      if (args[0] === 'ECHO') return `$${args[1]!.length}\r\n${args[1]}\r\n`
      if (args[0] === 'MULTI') return '+OK\r\n'
      if (args[0] === 'EXEC') return '*2\r\n:abc\r\n$5\r\nhelloXX'
      return args[0] === 'LMPOP' ? '*2\r\n$3\r\nabcXX*1\r\n:x\r\n' : '+QUEUED\r\n'
    })
    const path = await dataPath({
      stores: { only: store },
      routes: [
        { name: 'renamed', keys: ['job:{id}'], source: { store: 'only', keys: { 'job:{id}': 'step:{id}' } } },
        { name: 'rest', source: 'only' },
      ],
    })
    const client = await path.raw()
    client.send(
      packet(
        ['LMPOP', 1, 'job:1', 'LEFT'],
        ['ECHO', 'x'],
        ['MULTI'],
        ['LMPOP', 1, 'job:1', 'LEFT'],
        ['EXEC'],
        ['ECHO', 'y'],
      ),
    )
    expect(await client.take(6)).toEqual([
      '*2\r\n$3\r\nabcXX*1\r\n:x\r\n',
      '$1\r\nx\r\n',
      '+OK\r\n',
      '*2\r\n$3\r\nabcXX*1\r\n:x\r\n',
      '*2\r\n:abc\r\n$5\r\nhelloXX',
      '$1\r\ny\r\n',
    ])
  })
})
