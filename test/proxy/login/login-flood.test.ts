import type { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const WRONGPASS = '-WRONGPASS invalid username-password pair or user is disabled.\r\n'
/** Log-ins that open a connection at the same time: `src/proxy/login/login-queue.ts`. */
const AT_ONCE = 16
/** By hand: `LOGIN_ATTEMPTS=10000 LOGIN_CLIENTS=200 vitest run test/proxy/login/login-flood.test.ts`. */
const ATTEMPTS = Number(process.env['LOGIN_ATTEMPTS'] ?? 2_000)
const CLIENTS = Number(process.env['LOGIN_CLIENTS'] ?? 100)

let redis: RedisServer
/** One connection, so that it changes nothing in what it counts. */
let admin: Redis
let path: DataPathUnderTest

afterEach(async () => {
  await path?.stop()
  await redis?.stop()
})

test.each(['store', 'passthrough'] as const)(
  'wrong passwords without end open a few connections at once and leave nothing, and right ones get in between them (clients.auth: %s)',
  async (auth) => {
    redis = await startRedis()
    admin = redis.client()
    await admin.call('ACL', 'SETUSER', 'right', 'on', '>yes', '~*', '+@all')
    path = await startDataPath({ stores: { redis }, clients: { auth } })
    const ordinary = await path.raw()
    expect(await ordinary.ask('PING')).toBe('+PONG\r\n')
    const quietly = await connections()
    // The store itself turns away what is beyond the bound: as many again, for it may see a new one before the end of the one before; and some of Understudy's own.
    await admin.config('SET', 'maxclients', quietly + 2 * AT_ONCE + 6)

    const strangers = await Promise.all(Array.from({ length: CLIENTS }, () => path.raw()))
    let left = ATTEMPTS
    let answered = 0
    const answers = new Set<string>()
    const flood = strangers.map(async (stranger, i) => {
      while (left-- > 0) {
        answers.add(await stranger.ask('AUTH', i % 2 === 0 ? 'right' : `nobody${i}`, `wrong${left}`))
        answered++
      }
    })
    const flooded = Promise.all(flood)
    // Looked at in the end; a failure before that is the one to be told.
    flooded.catch(() => {})
    // Everybody has tried once: from here on each is waiting for its turn, or about to.
    await eventually(() => expect(answered).toBeGreaterThan(CLIENTS))
    const friend = await path.raw()
    const before = answered
    expect(await friend.ask('AUTH', 'right', 'yes')).toBe('+OK\r\n')
    // In turn, so behind each of the others a few times at most, and not when all the others are done.
    expect(answered - before).toBeLessThan(ATTEMPTS / 2)
    expect(await friend.ask('ACL', 'WHOAMI')).toBe('$5\r\nright\r\n')
    expect(await ordinary.ask('PING')).toBe('+PONG\r\n')
    await flooded
    expect([...answers]).toEqual([WRONGPASS])
    // The user that is in has one; and Understudy may have opened one or two of its own.
    await eventually(async () => expect(await connections()).toBeLessThan(quietly + AT_ONCE / 2))
  },
)

test('as many users as there are connections for have theirs; the one that has been unused for longest gives its place up, and gets it back', async () => {
  redis = await startRedis()
  admin = redis.client()
  await admin.call('ACL', 'SETUSER', 'guest', 'on', 'nopass', '~*', '+@all')
  path = await startDataPath({ stores: { redis }, clients: { dedicatedConnections: 4 } })
  const ordinary = await path.raw()
  expect(await ordinary.ask('PING')).toBe('+PONG\r\n')
  const guests: RawClient[] = []
  for (let i = 0; i < 20; i++) {
    const guest = await path.raw()
    guests.push(guest)
    expect(await guest.ask('AUTH', 'guest', `${i}`)).toBe('+OK\r\n')
  }
  await eventually(async () => {
    const list = String(await admin.client('LIST'))
    expect(list.match(/ user=guest /g)).toHaveLength(4)
  })
  for (const guest of guests) expect(await guest.ask('ACL', 'WHOAMI')).toBe('$5\r\nguest\r\n')
})

test('log-ins that wait for a store which says nothing are told so in time and end, and the store is not asked by all of them', async () => {
  redis = await startRedis()
  path = await startDataPath({ stores: { redis }, store: { timeoutMs: 300 } })
  const ordinary = await path.raw()
  expect(await ordinary.ask('PING')).toBe('+PONG\r\n')
  redis.pause()
  const strangers = await Promise.all(Array.from({ length: 60 }, () => path.raw()))
  const answers = await Promise.all(strangers.map((stranger, i) => stranger.ask('AUTH', `nobody${i}`, 'x')))
  redis.resume()
  const late = answers.filter((answer) => answer.includes('too many clients are logging in'))
  expect(late.length).toBeGreaterThan(0)
  for (const answer of answers) expect(answer).toMatch(/^-ERR Understudy: .*(the user was not changed|not executed)/)
  await Promise.all(strangers.map(({ closed }) => closed))
  await eventually(async () => expect(await (await path.raw()).ask('AUTH', 'nobody', 'x')).toBe(WRONGPASS))
})

async function connections(): Promise<number> {
  const info = await admin.info('clients')
  return Number(/connected_clients:(\d+)/.exec(info)![1])
}
