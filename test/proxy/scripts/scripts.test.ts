import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { renamedJobs } from '../../support/renamed-jobs.ts'
import { settled } from '../../support/settled.ts'

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

const start = async (
  scripts: 'copy' | 'warn' | 'refuse',
  renamed = true,
  phase: 'mirror' | 'switched' = 'mirror',
): Promise<void> => {
  path = await startDataPath({
    stores: { store },
    routes: [
      renamed
        ? {
            name: 'jobs',
            keys: ['job:{id}'],
            source: 'store',
            target: { store: 'store', keys: { 'job:{id}': 'step:{id}' } },
            phase,
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
  // A script that the store does not take begins the listening, which a loaded machine has not always by the time that a client waits at most.
  expect(await client.ask('EVAL', `${MADE_UP} (`, 1, 'job:1', '7')).toMatch(/^-ERR Error compiling script/)
  await eventually(async () => expect(String(await store.client().call('CLIENT', 'LIST'))).toMatch(/flags=tB/))
  await client.ask('PING')
  const before = reports().length
  for (let i = 0; i < 3; i++) expect(await client.ask('EVAL', MADE_UP, 1, 'job:1', '7')).toBe('+OK\r\n')
  await settled(path)
  expect(reports()).toHaveLength(before + 1)
  expect(JSON.stringify(reports())).not.toContain('job:')
  expect(needsVerify()).toBe(false)
  expect(await client.ask('GET', 'job:7')).toBe('$1\r\nx\r\n')
  // The store has told which key it has written.
  expect(await store.client().get('step:7')).toBe('x')
})

test('where the store that answers has other names, such a script is refused, unless it is said to do no harm', async () => {
  await start('copy', true, 'switched')
  expect(await client.ask('EVAL', DECLARED, 1, 'job:1', 'v')).toBe('+OK\r\n')
  // It declares a key that is renamed; it declares none; it declares one that keeps its name.
  expect(await client.ask('EVAL', MADE_UP, 1, 'job:1', '1')).toMatch(REFUSED)
  expect(await client.ask('EVAL', MADE_UP, 0, '1')).toMatch(REFUSED)
  expect(await store.client().keys('*')).toEqual(expect.not.arrayContaining(['job:9']))
  expect(await client.ask('EVAL', MADE_UP, 1, 'other', '9')).toBe('+OK\r\n')
  await path.stop()
  await start('warn', true, 'switched')
  expect(await client.ask('EVAL', MADE_UP, 1, 'job:1', '1')).toBe('+OK\r\n')
})

test('a script of unknown source has to be sent before it is called by its SHA-1, where names differ', async () => {
  // As no other test has sent them.
  const [madeUp, declared] = [`${MADE_UP} -- unknown`, `${DECLARED} -- unknown`]
  const sha = (await store.client().script('LOAD', madeUp)) as string
  const harmless = (await store.client().script('LOAD', declared)) as string
  await start('copy', true, 'switched')
  for (const one of [sha, harmless])
    expect(await client.ask('EVALSHA', one, 1, 'job:1', 'v')).toBe('-NOSCRIPT No matching script. Please use EVAL.\r\n')
  expect(await client.ask('EVAL', madeUp, 1, 'job:1', 'v')).toMatch(REFUSED)
  expect(await client.ask('EVALSHA', sha, 1, 'job:1', 'v')).toMatch(REFUSED)
  expect(await client.ask('EVAL', declared, 1, 'job:1', 'v')).toBe('+OK\r\n')
  expect(await client.ask('EVALSHA', harmless, 1, 'job:1', 'w')).toBe('+OK\r\n')
  expect(await store.client().get('step:1')).toBe('w')
})

test('names of KEYS in a reply are the application’s; what only looks like one stays', async () => {
  await start('copy', true, 'switched')
  await client.ask('SET', 'job:data', 'step:1')
  const echo = "return {KEYS[1], 'step:1', redis.call('GET', KEYS[2]), {KEYS[3], KEYS[1] .. '!'}}"
  const said = '*4\r\n$5\r\njob:1\r\n$5\r\njob:1\r\n$5\r\njob:1\r\n*2\r\n$5\r\nother\r\n$7\r\nstep:1!\r\n'
  expect(await client.ask('EVAL', echo, 3, 'job:1', 'job:data', 'other')).toBe(said)
  client.send(
    Buffer.concat([['MULTI'], ['EVAL', 'return KEYS[1]', '1', 'job:1'], ['EXEC']].map((c) => encodeCommand(c))),
  )
  expect((await client.take(3))[2]).toBe('*1\r\n$5\r\njob:1\r\n')
  // A script that hands names to commands only cannot have told one: this is data.
  expect(await client.ask('EVAL', "return redis.call('GET', KEYS[1])", 2, 'job:data', 'job:1')).toBe('$6\r\nstep:1\r\n')
})

test('passed without a word where every key has its own name', async () => {
  await start('refuse', false)
  expect(await client.ask('EVAL', MADE_UP, 1, 'job:1', '7')).toBe('+OK\r\n')
  expect(reports()).toEqual([])
})

describe('a script whose keys are all declared, and which', () => {
  const SPEAKS = "redis.call('SET', KEYS[1], 'x') return redis.call('PUBLISH', 'job_events', 'done')"
  const SPEAKS_ELSEWHERE = "redis.call('SET', KEYS[1], 'x') return redis.call('PUBLISH', 'other_events', 'done')"
  const COUNTS = "return redis.call('DBSIZE')"

  test.each([
    ['publishes to a renamed channel', SPEAKS, /it publishes to a channel that has another name/],
    ['asks for all keys', COUNTS, /it asks by KEYS, SCAN, RANDOMKEY or DBSIZE for all keys/],
  ])('%s, is reported while the old names count and refused under the new ones', async (_what, script, words) => {
    path = await startDataPath(renamedJobs(store, 'mirror', 'copy'))
    client = await path.raw()
    expect(await client.ask('EVAL', script, 1, 'job:1')).toMatch(/^:/)
    expect(reports()).toHaveLength(1)
    await path.stop()
    path = await startDataPath(renamedJobs(store, 'switched', 'copy'))
    client = await path.raw()
    expect(await client.ask('EVAL', script, 1, 'job:1')).toMatch(words)
    expect(await client.ask('EVAL', SPEAKS_ELSEWHERE, 1, 'job:1')).toBe(':0\r\n')
    expect(reports()).toEqual([])
    await path.stop()
    path = await startDataPath(renamedJobs(store, 'switched', 'warn'))
    client = await path.raw()
    expect(await client.ask('EVAL', script, 1, 'job:1')).toMatch(/^:/)
  })
})

test('a call with a word too few is the server’s to refuse, right behind one that has it', async () => {
  await start('refuse')
  const sha = 'f'.repeat(40)
  client.send(Buffer.concat([encodeCommand(['EVALSHA', sha, 0]), encodeCommand(['EVALSHA', sha])]))
  const said = await client.take(2)
  expect(said[0]).toMatch(/^-NOSCRIPT/)
  expect(said[1]).toMatch(/^-ERR wrong number of arguments/)
})
