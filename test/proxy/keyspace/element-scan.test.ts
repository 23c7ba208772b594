import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../../src/config/config.ts'
import { decodeReply } from '../../../src/resp/decode.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { startCluster } from '../../support/cluster.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest
let client: RawClient

beforeEach(async () => {
  ;[one, two] = await Promise.all([startRedis(), startRedis()])
})
afterEach(async () => {
  await path?.stop()
  await Promise.all([one.stop(), two.stop()])
})

const NAMES = { 'h:{id}': 'hash:{id}', 's:{id}': 'set:{id}', 'z:{id}': 'zset:{id}' }
/** `readTimeoutMs`: how long a page of the other end is waited for before the scan begins again, which gives elements twice; on a busy machine that takes its time. */
const options = (
  phase: Phase,
  { readTimeoutMs = 30_000, ...more }: Partial<DataPathOptions> & { readTimeoutMs?: number } = {},
  keys: object = {},
): DataPathOptions => ({
  stores: { one, two },
  routes: [
    {
      name: 'all',
      keys: ['*', ...Object.keys(keys)],
      source: 'one',
      target: { store: 'two', keys: { ...keys } },
      phase,
      readTimeoutMs,
    },
  ],
  ...more,
})
const start = async (of: DataPathOptions): Promise<void> => {
  path = await startDataPath(of)
  client = await path.raw()
}
const ask = async (...args: (string | number)[]): Promise<unknown> => {
  client.command(...args)
  const frame = await client.next()
  return decodeReply(frame, 0, frame.length)
}
/** In one packet. */
const askAll = async (commands: readonly (readonly string[])[]): Promise<unknown[]> => {
  client.send(Buffer.concat(commands.map((command) => encodeCommand(command))))
  const replies: unknown[] = []
  for (const _ of commands) {
    const frame = await client.next()
    replies.push(decodeReply(frame, 0, frame.length))
  }
  return replies
}

const COUNT = 600
const MEMBERS = Array.from({ length: COUNT }, (_, i) => `m${i}`).sort()
const KINDS = { HSCAN: ['h:1', 2], SSCAN: ['s:1', 1], ZSCAN: ['z:1', 2] } as const
type Kind = keyof typeof KINDS

/** More than a server keeps in a compact form, where a scan has one page. */
const fill = async (ask: (...args: (string | number)[]) => Promise<unknown>): Promise<void> => {
  await ask('HSET', 'h:1', ...MEMBERS.flatMap((member) => [member, 'v']))
  await ask('SADD', 's:1', ...MEMBERS)
  await ask('ZADD', 'z:1', ...MEMBERS.flatMap((member, i) => [i, member]))
}
/** What of one page a client keeps: the cursor as those do that have doubles for all numbers. */
const pageOf = (kind: Kind, reply: unknown): [cursor: string, members: string[]] => {
  const [next, list] = reply as [Buffer, Buffer[]]
  return [String(Number(next.toString())), list.map(String).filter((_, i) => i % KINDS[kind][1] === 0)]
}
/** A whole scan; `between` is called after each page but the last. */
const scan = async (
  kind: Kind,
  between: (page: number) => Promise<void>,
  page: (cursor: string, page: number) => Promise<unknown> = (cursor) => ask(kind, KINDS[kind][0], cursor, 'COUNT', 20),
): Promise<string[]> => {
  const found: string[] = []
  let cursor = '0'
  for (let i = 0; i === 0 || cursor !== '0'; i++) {
    expect(i).toBeLessThan(500)
    const [next, members] = pageOf(kind, await page(cursor, i))
    found.push(...members)
    cursor = next
    if (cursor !== '0') await between(i)
  }
  return found.sort()
}
const unique = (found: readonly string[]): string[] => [...new Set(found)].sort()

describe.each([2, 3] as const)('in RESP%i', (protocol) => {
  test.each([
    ['shared connections', {}, {}],
    ['dedicated connections', { listen: { connections: 'dedicated' } }, {}],
    ['other names at the target', {}, NAMES],
  ] as const)(
    'a scan of one key is complete and without duplicates over switches there and back: %s',
    async (_, more, keys) => {
      await start(options('mirror', more, keys))
      await ask('HELLO', protocol)
      await fill(ask)
      await settled(path)
      for (const kind of Object.keys(KINDS) as Kind[]) {
        const phases: Phase[] = ['switched', 'shadow', 'switched', 'read-target', 'switched', 'mirror']
        const found = await scan(kind, async (page) => {
          if (page % 3 === 2 && phases.length > 0) await path.apply(options(phases.shift()!, more, keys))
        })
        expect(phases).toEqual([])
        expect(found).toEqual(MEMBERS)
      }
    },
  )
})

test('inside MULTI a scan leaves nothing out, whichever way the transaction comes', async () => {
  await start(options('mirror'))
  await fill(ask)
  await settled(path)
  let phase: Phase = 'mirror'
  const found = await scan(
    'HSCAN',
    async (page) => {
      if (page === 5 || page === 17) await path.apply(options((phase = phase === 'mirror' ? 'switched' : 'mirror')))
    },
    async (cursor, page) => {
      const commands = [['MULTI'], ['HSCAN', 'h:1', cursor, 'COUNT', 20], ['EXEC']]
      if (page % 3 === 0) client.send(Buffer.concat(commands.map((command) => encodeCommand(command))))
      else if (page % 3 === 1) for (const command of commands) client.command(...command)
      else return ask('HSCAN', 'h:1', cursor, 'COUNT', 20)
      await client.take(2)
      const frame = await client.next()
      return (decodeReply(frame, 0, frame.length) as unknown[])[0]
    },
  )
  expect(unique(found)).toEqual(MEMBERS)
})

test('a transaction that a switch meets between two of its commands reads from the beginning where its keys are then', async () => {
  await start(options('shadow'))
  await fill(ask)
  await settled(path)
  const [cursor] = pageOf('SSCAN', await ask('SSCAN', 's:1', 0, 'COUNT', 300))
  await ask('MULTI')
  await ask('SSCAN', 's:1', cursor, 'COUNT', COUNT * 2)
  await path.apply(options('switched'))
  const [reply] = (await ask('EXEC')) as [unknown]
  expect(pageOf('SSCAN', reply)).toEqual(['0', expect.arrayContaining(MEMBERS)])
})

test('cursors of the primary outlive a restart, and those of before there was a target are the source’s', async () => {
  const alone = { stores: { one, two }, routes: [{ name: 'all', keys: ['*'], source: 'one' }] }
  await start(alone)
  await fill(ask)
  const own = one.client()
  let raw = '0'
  const found = await scan(
    'ZSCAN',
    async (page) => {
      if (page === 4) {
        await path.apply(options('mirror'))
        await fill(ask)
        await settled(path)
        await path.apply(options('switched'))
      } else if (page === 8) {
        await path.apply(options('shadow'))
      } else if (page === 12) {
        await path.stop()
        await start(options('shadow'))
      }
    },
    async (cursor, page) => {
      if (page <= 4) expect(cursor).toBe(raw)
      else expect(Number(cursor)).toBeGreaterThan(page === 5 ? 0 : 2 ** 52)
      const reply = await ask('ZSCAN', 'z:1', cursor, 'COUNT', 20)
      if (page < 4) raw = (await own.zscan('z:1', raw, 'COUNT', 20))[0]
      return reply
    },
  )
  expect(found).toEqual(MEMBERS)
})

describe('a page of the other end has what the client wrote before it', () => {
  const HELD = { store: { timeoutMs: 20_000 }, readTimeoutMs: 200 }
  const written = MEMBERS.flatMap((member) => [member, 'new'])
  const values = (reply: unknown): string[] =>
    (reply as [Buffer, Buffer[]])[1].map(String).filter((_, i) => i % 2 === 1)
  const cursorOverSwitch = async (): Promise<string> => {
    await start(options('shadow', HELD))
    await fill(ask)
    await settled(path)
    const [cursor] = pageOf('HSCAN', await ask('HSCAN', 'h:1', 0, 'COUNT', 20))
    await path.apply(options('switched', HELD))
    return cursor
  }

  test('in the same packet', async () => {
    const cursor = await cursorOverSwitch()
    const packet = [
      ['HSET', 'h:1', ...written],
      ['HSCAN', 'h:1', cursor, 'COUNT', '20'],
      ['DEL', 'h:1'],
      ['HSCAN', 'h:1', cursor, 'COUNT', '20'],
    ]
    const [, page, , gone] = await askAll(packet)
    expect(new Set(values(page))).toEqual(new Set(['new']))
    expect(texts(gone)).toEqual(['0', []])
  })

  test('acknowledged, and on its way there', async () => {
    const cursor = await cursorOverSwitch()
    await one.client().call('CLIENT', 'PAUSE', '2000', 'WRITE')
    await ask('HSET', 'h:1', ...written)
    expect(new Set(values(await ask('HSCAN', 'h:1', cursor, 'COUNT', 20)))).toEqual(new Set(['new']))
  })

  test('and is from before what it wrote after it', async () => {
    const cursor = await cursorOverSwitch()
    one.pause()
    const [page] = await askAll([
      ['HSCAN', 'h:1', cursor, 'COUNT', '20'],
      ['DEL', 'h:1'],
    ])
    one.resume()
    expect(values(page).length).toBeGreaterThan(0)
  })
})

describe('a scan whose store cannot go on begins again at the primary, and leaves nothing out', () => {
  const HASTY = { store: { timeoutMs: 2_000 }, readTimeoutMs: 200 }
  const halfWay = async (then: () => Promise<void>): Promise<string[]> => {
    await start(options('shadow', HASTY))
    await fill(ask)
    await settled(path)
    return scan('HSCAN', async (page) => {
      if (page !== 9) return
      await path.apply(options('switched', HASTY))
      await then()
    })
  }
  const again = (found: readonly string[]): void => {
    expect(unique(found)).toEqual(MEMBERS)
    expect(found.length).toBeGreaterThan(COUNT)
  }

  test('it is down', async () => {
    again(await halfWay(() => one.stop()))
  })

  test('it was restarted, and its data is gone', async () => {
    again(await halfWay(() => one.restart()))
  })

  test('it hangs', async () => {
    again(await halfWay(async () => void one.pause()))
    one.resume()
  })

  test('it refuses', async () => {
    again(await halfWay(async () => void (await one.client().call('ACL', 'SETUSER', 'default', '-hscan'))))
  })

  test('it is not kept up any more', async () => {
    again(await halfWay(() => path.apply(options('done'))))
  })

  test('a job deletes keys there', async () => {
    again(
      await halfWay(async () => {
        path.runtime.setAlteredSources(['all'])
        await one.client().del('h:1')
      }),
    )
  })

  test('a job deletes keys there, over switches back and there', async () => {
    again(
      await halfWay(async () => {
        path.runtime.setAlteredSources(['all'])
        await path.apply(options('shadow', HASTY))
        await path.apply(options('switched', HASTY))
        await one.client().del('h:1')
      }),
    )
  })

  test('it is mirrored to anew, and lacks what was written meanwhile', async () => {
    await start(options('switched'))
    await fill(ask)
    await settled(path)
    const found = await scan('HSCAN', async (page) => {
      if (page !== 9) return
      await path.apply(options('shadow'))
      await path.apply(options('passthrough'))
      await two.client().flushall()
      await path.apply(options('mirror'))
      await ask('HSET', 'h:1', 'new', 'v')
    })
    again(found.filter((member) => member !== 'new'))
  })

  test('it has needed a verify since it was the primary', async () => {
    again(
      await halfWay(async () => {
        await one.restart()
        await eventually(() => expect(path.runtime.stats().routes['all']!.needsVerify).toBe(true))
        await eventually(async () => {
          await path.runtime.jobs.verified('all', await path.runtime.jobs.verifyTicket('all'))
          expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
        })
      }),
    )
  })

  test('the client has a login of its own, whose rights the mirror does not have', async () => {
    const of = (phase: Phase) => options(phase, { clients: { auth: 'passthrough' } })
    for (const server of [one, two]) await server.client().call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '+@all')
    await start(of('shadow'))
    await ask('AUTH', 'app', 'pw')
    await fill(ask)
    await settled(path)
    again(
      await scan('HSCAN', async (page) => {
        if (page === 9) await path.apply(of('switched'))
      }),
    )
  })

  test('it has left the configuration', async () => {
    const last = { stores: { two }, routes: [{ name: 'all', keys: ['*'], source: 'two' }] }
    again(
      await halfWay(async () => {
        await path.apply(options('done'))
        await path.apply(last)
      }),
    )
  })

  test('the key differs there', async () => {
    const found = await halfWay(async () => {
      await one.client().config('SET', 'maxmemory', '1')
      await ask('HSET', 'h:1', 'new', 'v')
      await eventually(() => expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 1 }))
    })
    again(found.filter((member) => member !== 'new'))
  })

  test('the client tracks its keys, so that the primary has to know what it reads', async () => {
    const invalidated = async (): Promise<void> => {
      await ask('HELLO', 3)
      await ask('CLIENT', 'TRACKING', 'ON')
    }
    again(await halfWay(invalidated))
    client.command('HSET', 'h:1', 'm1', 'other')
    expect((await client.take(2)).join('')).toMatch(/invalidate/)
  })
})

test('a cursor of the target goes on there when that is alone in the configuration', async () => {
  await start(options('switched'))
  await fill(ask)
  const found = await scan('SSCAN', async (page) => {
    if (page !== 9) return
    await settled(path)
    await path.apply(options('done'))
    await path.apply({ stores: { two }, routes: [{ name: 'all', keys: ['*'], source: 'two' }] })
  })
  expect(found).toEqual(MEMBERS)
})

test('between two names on one server cursors are the server’s own', async () => {
  const of = (phase: Phase): DataPathOptions => ({
    stores: { one },
    routes: [
      { name: 'all', keys: Object.keys(NAMES), source: 'one', target: { store: 'one', keys: NAMES }, phase },
      { name: 'rest', source: 'one' },
    ],
  })
  await start(of('mirror'))
  await fill(ask)
  await settled(path)
  let phase: Phase = 'mirror'
  const found = await scan(
    'HSCAN',
    async (page) => {
      if (page % 7 === 3) await path.apply(of((phase = phase === 'mirror' ? 'switched' : 'mirror')))
    },
    (cursor) => {
      expect(Number(cursor)).toBeLessThan(4_096)
      return ask('HSCAN', 'h:1', cursor, 'COUNT', 20)
    },
  )
  expect(found).toEqual(MEMBERS)
})

test('a scan goes on at a cluster that was the primary', async () => {
  const cluster = await startCluster()
  try {
    const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
    const stores = { one, two: { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } as const }
    await start(options('switched', { stores }))
    await fill(ask)
    await settled(path)
    for (const kind of Object.keys(KINDS) as Kind[]) {
      const phases: Phase[] = ['shadow', 'switched']
      const found = await scan(kind, async (page) => {
        if (page % 9 === 4 && phases.length > 0) await path.apply(options(phases.shift()!, { stores }))
      })
      expect(found).toEqual(MEMBERS)
    }
  } finally {
    await path.stop()
    await cluster.stop()
  }
})

test('what is wrong with it the server says, as to anybody', async () => {
  await start(options('switched'))
  await fill(ask)
  const direct = two.client()
  for (const [name, ...args] of [
    ['HSCAN'],
    ['HSCAN', 'h:1'],
    ['HSCAN', 'h:1', 'x'],
    ['HSCAN', 'h:1', '\xff'],
    ['HSCAN', 's:1', '0'],
    ['HSCAN', 'missing', '0'],
    ['SSCAN', 's:1', '0', 'COUNT', '0'],
    ['ZSCAN', 'z:1', '0', 'MATCH'],
    ['ZSCAN', 'z:1', '18446744073709551616'],
    ['HSCAN', 'h:1', '0', 'MATCH', 'm1?', 'COUNT', '10000'],
  ] as [string, ...string[]][]) {
    const expected = await direct.call(name, ...args).catch((error: Error) => `-${error.message}\r\n`)
    const got = await ask(name, ...args)
    expect([name, args, texts(got)]).toEqual([name, args, expected])
  }
})

function texts(reply: unknown): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString()
  if (Array.isArray(reply)) return reply.map(texts)
  return reply instanceof Object && 'text' in reply ? `-${String(reply.text)}\r\n` : reply
}
