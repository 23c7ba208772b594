import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import type { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

let store: RedisServer
let path: DataPathUnderTest
let client: RawClient
beforeEach(async () => {
  store = await startRedis()
})
afterEach(async () => {
  await path.stop()
  await store.stop()
})

const start = async (scripts: 'copy' | 'warn' | 'refuse', renamed = true): Promise<void> => {
  path = await startDataPath({
    stores: { store },
    routes: [
      renamed
        ? {
            name: 'jobs',
            keys: ['job:{id}'],
            source: 'store',
            target: { store: 'store', keys: { 'job:{id}': 'step:{id}' } },
            phase: 'mirror',
            scripts,
          }
        : { name: 'jobs', keys: ['job:{id}'], source: 'store', scripts },
      { name: 'rest', source: 'store', scripts },
    ],
  })
  client = await path.raw()
}
const DECLARED = "return redis.call('SET', KEYS[1], ARGV[1])"
const MADE_UP = "return redis.call('SET', 'job:' .. ARGV[1], 'x')"
const REFUSED = /^-ERR Understudy refuses this script: it uses keys which it does not declare/
const reports = () =>
  path.notices.filter((notice) => notice.kind === 'log' && notice.line.msg.startsWith('a script uses keys which'))
const needsVerify = () => path.runtime.stats().routes['jobs']!.needsVerify

test('refused, alone and in MULTI, by source and by SHA, where it is configured', async () => {
  await start('refuse')
  expect(await client.ask('EVAL', DECLARED, 1, 'job:1', 'v')).toBe('+OK\r\n')
  expect(await client.ask('EVAL', MADE_UP, 0, '1')).toMatch(REFUSED)
  expect(await client.ask('EVAL', MADE_UP, 1, 'job:1', '1')).toMatch(REFUSED)
  const sha = (await client.ask('SCRIPT', 'LOAD', MADE_UP)).split('\r\n')[1]!
  expect(await client.ask('EVALSHA', sha.toUpperCase(), 1, 'job:1', '1')).toMatch(REFUSED)
  expect(await client.ask('EVALSHA_RO', sha, 1, 'job:1', '1')).toMatch(REFUSED)
  client.send(`MULTI\r\nSET job:2 v\r\nEVALSHA ${sha} 1 job:1 1\r\nEXEC\r\n`)
  const [, , queued, exec] = await client.take(4)
  expect([queued, exec]).toEqual([expect.stringMatching(REFUSED), expect.stringMatching(/^-EXECABORT/)])
  expect(await client.ask('EXISTS', 'job:2')).toBe(':0\r\n')
})

test.each(['copy', 'warn'] as const)('passed and reported once (%s)', async (scripts) => {
  await start(scripts)
  for (let i = 0; i < 3; i++) expect(await client.ask('EVAL', MADE_UP, 1, 'job:1', '7')).toBe('+OK\r\n')
  await settled(path)
  expect(reports()).toHaveLength(1)
  expect(JSON.stringify(reports())).not.toContain('job:')
  // Which other keys it has written nobody knows.
  expect(needsVerify()).toBe(scripts === 'copy')
  expect(await client.ask('GET', 'job:7')).toBe('$1\r\nx\r\n')
})

test('passed without a word where every key has its own name', async () => {
  await start('refuse', false)
  expect(await client.ask('EVAL', MADE_UP, 1, 'job:1', '7')).toBe('+OK\r\n')
  expect(reports()).toEqual([])
})
