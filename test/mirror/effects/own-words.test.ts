import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'shadow', compare: { sample: 1 } }],
  })
})
afterAll(async () => {
  await path.stop()
  await Promise.all([old.stop(), fresh.stop()])
})

const SENT = [
  ['rpush', 'list', 2, 1],
  ['set', 'weight_1', 5],
  ['sort', 'list', 'by', 'weight_*', 'store', 'sorted'],
  ['lrange', 'sorted', 0, -1],
  ['xadd', 'stream', 'maxlen', '~', 10, '*', 'f', 'v'],
  ['eval', "redis.call('set', KEYS[1], redis.call('time')[1])", 1, 'time'],
  ['restore', 'nothing', 0, ''],
  ['flushall'],
  ['set', 'last', 1],
]

test('MONITOR and SLOWLOG show what the client has sent, and nothing of how it is mirrored and compared', async () => {
  const [monitor, client] = [await path.raw(), await path.raw()]
  await client.ask('CONFIG', 'SET', 'slowlog-log-slower-than', 0)
  // The mirror's own connections are up.
  await client.ask('DEL', 'x')
  await settled(path)
  expect(await monitor.ask('MONITOR')).toBe('+OK\r\n')
  await client.ask('SLOWLOG', 'RESET')
  const before = path.runtime.stats().routes['all']!.counters
  for (const command of SENT) {
    if (command[0] === 'lrange') await settled(path)
    await client.ask(...command)
  }
  await settled(path)
  await eventually(() => expect(path.runtime.stats().routes['all']!.counters.matched).toBeGreaterThan(0))
  await client.ask('echo', 'end')
  const { copied } = path.runtime.stats().routes['all']!.counters
  expect(copied - before.copied).toBeGreaterThan(0)
  const shown: string[] = []
  while (shown.at(-1) !== 'echo') {
    const line = await monitor.text()
    // What a script calls is shown behind it.
    if (!line.includes(' lua] ')) shown.push(/"(\w+)"/.exec(line)![1]!)
  }
  const sent = [...SENT.map(([name]) => name), 'echo']
  expect(shown).toEqual(sent)
  // Besides, SLOWLOG RESET and the two calls of the script.
  expect(await client.ask('SLOWLOG', 'GET', -1)).toMatch(new RegExp(`^\\*${sent.length + 3}\r\n`))
  const entries = await client.ask('SLOWLOG', 'GET', 3)
  expect(entries).toMatch(/^\*3\r\n/)
  expect(entries).toContain('$4\r\necho\r\n')
  expect(await client.ask('SLOWLOG', 'GET', -2)).toMatch(/^-ERR/)
})
