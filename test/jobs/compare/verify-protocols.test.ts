import { afterEach, expect, test } from 'vitest'
import { doJob, keysOf } from '../../support/jobs.ts'
import { type Migration, mirrorSettled, startMigration } from '../../support/migration.ts'
import { RawClient } from '../../support/raw-client.ts'
import type { RedisServer } from '../../support/redis.ts'

let migration: Migration | null = null
afterEach(() => migration?.stop())

const STREAM =
  'XADD K 1-1 f v; XADD K 2-1 f w; XADD K 3-1 f x; XGROUP CREATE K g 0; XREADGROUP GROUP g c1 COUNT 1 STREAMS K >; XREADGROUP GROUP g c2 COUNT 1 STREAMS K >'
const ZSET = 'ZADD K inf a -inf b 1e-7 c 0.1 d 1e300 e 7 f'
const numbered = (count: number, text: string): string =>
  Array.from({ length: count }, (_, i) => `${text}${i}`).join(' ')
/** Read in several pieces. */
const LONG = 1_700

/** What the application writes to `K`, and what somebody does to the shadow's. */
const DIFFERENCES: Readonly<Record<string, readonly [write: string, tamper: string]>> = {
  string: ['SET K v', 'SET K w'],
  list: ['RPUSH K a b c', 'LSET K 1 x'],
  'long list': [`RPUSH K ${numbered(LONG, 'e')}`, `LSET K ${LONG - 1} x`],
  set: ['SADD K a b c', 'SREM K c; SADD K x'],
  'long set': [`SADD K ${numbered(LONG, 'm')}`, 'SREM K m7; SADD K x'],
  hash: ['HSET K f v g w', 'HSET K g x'],
  'long hash': [`HSET K ${numbered(2 * LONG, 'h')}`, 'HSET K h0 x'],
  inf: [ZSET, 'ZADD K 1e308 a'],
  '-inf': [ZSET, 'ZADD K -1e308 b'],
  '1e-7': [ZSET, 'ZADD K 1.0000001e-7 c'],
  member: [ZSET, 'ZREM K f; ZADD K 7 g'],
  'last id': [STREAM, 'XSETID K 9-1'],
  // 0-0 tells nothing: a stream of before 7.0 says so as well.
  'deleted id': [
    `${STREAM}; XSETID K 3-1 ENTRIESADDED 3 MAXDELETEDID 1-9`,
    'XSETID K 3-1 ENTRIESADDED 3 MAXDELETEDID 2-9',
  ],
  'entries added': [STREAM, 'XSETID K 3-1 ENTRIESADDED 8 MAXDELETEDID 0-0'],
  entry: [STREAM, 'XDEL K 3-1; XADD K 4-1 f x'],
  'last id of a group': [STREAM, 'XGROUP SETID K g 3-1'],
  'another group': [STREAM, 'XGROUP CREATE K h 0'],
  'a group with another name': [STREAM, 'XGROUP DESTROY K g; XGROUP CREATE K h 2-1'],
  'pending entry': [STREAM, 'XACK K g 1-1'],
  'pending with another consumer': [STREAM, 'XCLAIM K g c2 0 1-1'],
  'deliveries of a pending entry': [STREAM, 'XCLAIM K g c1 0 1-1 RETRYCOUNT 7 JUSTID'],
  'no group': ['XADD K 1-1 f v', 'XSETID K 9-1'],
  type: ['ZADD K 1 a', 'DEL K; SADD K a'],
  expiry: ['HSET K f v; PEXPIRE K 1000000', 'PERSIST K'],
}

function commandsOf(text: string, key: string): string[][] {
  return text.split('; ').map((command) => command.split(' ').map((word) => (word === 'K' ? key : word)))
}

/** The quick look clears no key that is held in another way. */
async function holdsKeysInAnotherWay(server: RedisServer): Promise<void> {
  const redis = server.client()
  for (const type of ['hash', 'zset']) await redis.config('SET', `${type}-max-listpack-entries`, '0')
  await redis.config('SET', 'list-max-listpack-size', '1')
  await redis.config('SET', 'stream-node-max-entries', '1')
}

/** Notes who asks the server for what is pending. Gives the protocols of these connections. */
async function readsOf(server: RedisServer): Promise<() => Promise<Set<string>>> {
  const places = new Set<string>()
  const monitor = await server.client().monitor()
  monitor.on('monitor', (_time: string, [name]: string[], place: string) => {
    if (name?.toUpperCase() === 'XPENDING') places.add(place)
  })
  return async () => {
    monitor.disconnect()
    const lines = String(await server.client().call('CLIENT', 'LIST')).split('\n')
    const readers = lines.filter((line) => places.has(/ addr=(\S+)/.exec(line)?.[1] ?? ''))
    return new Set(readers.map((line) => /resp=(\d)/.exec(line)![1]!))
  }
}

for (const [writes, traffic] of [
  [2, 2],
  [2, 3],
  [3, 3],
] as const) {
  test(`verify finds exactly what differs, of keys of every type: written in RESP${writes}, most traffic in RESP${traffic}`, async () => {
    migration = await startMigration()
    const { source, target, understudy } = migration
    await holdsKeysInAnotherWay(target)
    const app = await RawClient.open(understudy.port)
    if (writes === 3) await app.ask('HELLO', '3')
    for (const [kind, [write]] of Object.entries(DIFFERENCES)) {
      for (const key of [`same:${kind}`, `differs:${kind}`]) {
        for (const command of commandsOf(write, key)) expect(await app.ask(...command)).not.toMatch(/^-/)
      }
    }
    const busy = await RawClient.open(understudy.port)
    if (traffic === 3) await busy.ask('HELLO', '3')
    for (let i = 0; i < 200; i++) await busy.ask('SET', 'traffic', 'x'.repeat(2_000))
    await mirrorSettled(understudy)

    const protocols = await readsOf(source)
    const clean = await doJob(understudy, 'verify', 'all')
    expect(await keysOf(understudy, clean.id)).toEqual([])
    expect(clean.report).toMatchObject({ clean: true })
    expect(await protocols()).toEqual(new Set([String(traffic)]))

    const there = target.client()
    for (const [kind, [, tamper]] of Object.entries(DIFFERENCES)) {
      for (const [name, ...args] of commandsOf(tamper, `differs:${kind}`)) await there.call(name!, ...args)
    }
    const found = await keysOf(understudy, (await doJob(understudy, 'verify', 'all')).id)
    const expected = Object.keys(DIFFERENCES).map((kind) => `differs:${kind}`)
    expect(found.map(({ key }) => key).sort()).toEqual(expected.sort())
    expect(found.filter((key) => key.class === 'failed')).toEqual([])

    const repaired = await doJob(understudy, 'repair', 'all')
    expect(repaired.report).toMatchObject({ clean: true })
    const after = await doJob(understudy, 'verify', 'all')
    expect(await keysOf(understudy, after.id)).toEqual([])
    app.destroy()
    busy.destroy()
  })
}
