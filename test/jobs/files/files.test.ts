import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Job } from '../../../src/jobs/runner/job.ts'
import { runCli } from '../../cli/run-cli.ts'
import { eventually } from '../../support/eventually.ts'
import { doJob, jobOf, keysOf, over, startJob, steer } from '../../support/jobs.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { fillStrings, type Migration, mirroredRoute, startMigration } from '../../support/migration.ts'
import { startRedis } from '../../support/redis.ts'
import { startUnderstudy } from '../../support/understudy.ts'

let migration: Migration
let directory = ''

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'understudy-files-'))
  migration = await startMigration([mirroredRoute(), mirroredRoute({ name: 'locks', keys: ['lock:{id}'] })])
})
afterAll(async () => {
  await migration.stop()
  rmSync(directory, { recursive: true, force: true })
})

/** All of a stream but when its entries were delivered. */
async function streamOf(redis: Redis, key: string): Promise<unknown> {
  const facts = (await redis.xinfo('STREAM', key)) as unknown[]
  const groups = (await redis.xinfo('GROUPS', key)) as unknown[][]
  return {
    entries: await redis.xrangeBuffer(key, '-', '+'),
    facts: ['last-generated-id', 'max-deleted-entry-id', 'entries-added'].map((name) => facts[facts.indexOf(name) + 1]),
    groups: groups.map((group) => group.slice(0, 10)),
    pending: await Promise.all(
      groups.map(async (group) =>
        ((await redis.xpending(key, String(group[1]), '-', '+', 100)) as unknown[][]).map(([id, who, , n]) => [
          id,
          who,
          n,
        ]),
      ),
    ),
  }
}

test('what is exported as JSONL and imported again is the same, on both sides', async () => {
  const { source, target, understudy } = migration
  const redis = source.client()
  await redis.mset('text', 'a\n"b"', 'binary', Buffer.from([0, 255, 13]), 'lock:1', 'another route')
  await redis.set('expiring', 'x', 'EX', 10_000)
  await redis.rpush('list', 'a', 'b', 'a')
  await redis.sadd('set', 'a', 'b')
  await redis.hset('hash', { field: 'value', other: '' })
  await redis.zadd('zset', '1.5', 'a', '-inf', 'b')
  await source.client({ db: 2 }).set('other database', 'y')
  // Entries that are gone and pending, two groups, one of them with nothing, and a stream without entries.
  for (let i = 1; i <= 5; i++) await redis.xadd('stream', `1-${i}`, 'field', Buffer.from([i, 255]))
  await redis.xgroup('CREATE', 'stream', 'group', '0')
  await redis.xgroup('CREATE', 'stream', 'idle', '1-2')
  await redis.xgroup('CREATECONSUMER', 'stream', 'group', 'waits')
  await redis.xreadgroup('GROUP', 'group', 'busy', 'COUNT', 3, 'STREAMS', 'stream', '>')
  await redis.xdel('stream', '1-2')
  await redis.xadd('trimmed', '1-1', 'a', 'b')
  await redis.xgroup('CREATE', 'trimmed', 'group', '0')
  await redis.xreadgroup('GROUP', 'group', 'busy', 'STREAMS', 'trimmed', '>')
  await redis.xtrim('trimmed', 'MAXLEN', 0)
  await redis.xadd('no entries', 'MAXLEN', 0, '7-7', 'a', 'b')
  const file = join(directory, 'keys.jsonl')
  const job = await doJob(understudy, 'export', 'all', { file })
  expect(job).toMatchObject({ progress: { copied: 11, failed: 0 }, report: { clean: true } })
  const before = readFileSync(file, 'utf8').trim().split('\n')
  expect(before).toHaveLength(11)
  const streams = new Map<string, unknown>()
  for (const key of ['stream', 'trimmed', 'no entries']) streams.set(key, await streamOf(redis, key))
  expect(before.map((line) => JSON.parse(line) as object)).toContainEqual({
    key: 'text',
    type: 'string',
    value: 'a\n"b"',
    expiresAtMs: null,
    database: 0,
  })

  await redis.flushall()
  await target.client().flushall()
  await redis.set('text', 'there')
  const imported = await doJob(understudy, 'import', 'all', { file })
  expect(imported).toMatchObject({ progress: { copied: 10, skipped: 1, failed: 0 }, report: { clean: true } })
  expect(await redis.get('text')).toBe('there')
  const again = await doJob(understudy, 'import', 'all', { file, onConflict: 'overwrite' })
  expect(again).toMatchObject({ progress: { copied: 11, skipped: 0, failed: 0 } })
  expect(await redis.get('text')).toBe('a\n"b"')
  expect(await redis.getBuffer('binary')).toEqual(Buffer.from([0, 255, 13]))
  expect(await redis.zrange('zset', '0', '-1', 'WITHSCORES')).toEqual(['b', '-inf', 'a', '1.5'])
  expect(await driftBetween(source, target, { databases: [0, 2] })).toEqual([])
  // What it is on both sides is what it was before.
  for (const key of ['stream', 'trimmed', 'no entries']) expect(await streamOf(redis, key)).toEqual(streams.get(key))
  await expect(startJob(understudy, 'export', 'all', { file: 'relative.jsonl' })).rejects.toThrow(/absolute path/)
}, 240_000)

test('lines that are no keys, and keys of other routes, are listed; the others are imported', async () => {
  const { target, understudy } = migration
  const file = join(directory, 'mixed.jsonl')
  const lines = [
    '{"key":"lock:7","value":"a"}',
    'no json',
    '{"key":"user:7","value":"a"}',
    '{"key":"lock:8","type":"tree","value":"a"}',
    `{"key":"lock:9","value":"a","expiresAtMs":${Date.now() - 1000}}`,
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const job = await doJob(understudy, 'import', 'locks', { file })
  expect(job.progress).toMatchObject({ done: 5, total: 5, copied: 1, skipped: 1, failed: 3 })
  expect((await keysOf(understudy, job.id)).map((key) => key.detail).sort()).toEqual([
    'It was not imported: it belongs to another route.',
    'line 2 is not a key as this format writes it.',
    'line 4 is not a key as this format writes it.',
  ])
  expect(await target.client().get('lock:7')).toBe('a')
}, 240_000)

test('a primary that is full, or takes no writes, is waited for, and said to be: no key fails', async () => {
  const { source, understudy } = migration
  const redis = source.client()
  await redis.flushall()
  const file = join(directory, 'full.jsonl')
  const members = Array.from({ length: 1_200 }, (_, i) => `member ${i}`)
  const lines = Array.from({ length: 100 }, (_, i) => ({ key: `full:${i}`, type: 'list', value: members }))
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  await redis.config('SET', 'maxmemory', '1')
  const { id } = await startJob(understudy, 'import', 'all', { file })
  const throttled = async () => (await jobOf(understudy, id)).throttle
  await eventually(async () => expect(await throttled()).toBe("store 'old' has no memory left for writes (OOM)"))
  await redis.config('SET', 'min-replicas-to-write', '1', 'maxmemory', '0')
  await eventually(async () => expect(await throttled()).toMatch(/'old' takes no writes .*NOREPLICAS/))
  await redis.config('SET', 'min-replicas-to-write', '0')
  expect(await over(understudy, id)).toMatchObject({ state: 'done', throttle: null, report: { clean: true } })
  for (const { key } of lines) expect(await redis.llen(key)).toBe(members.length)
  // Of what was begun in vain nothing is left.
  expect(await redis.keys('understudy:*')).toEqual([])
}, 240_000)

test('a key without elements, and one of a database that the store does not have, are listed as failed, and cost the others nothing', async () => {
  const { source, understudy } = migration
  await source.client().flushall()
  const file = join(directory, 'odd.jsonl')
  const lines = [
    { key: 'before', value: 'x' },
    { key: 'list', type: 'list', value: [] },
    { key: 'hash', type: 'hash', value: {}, expiresAtMs: Date.now() + 1_000_000 },
    { key: 'far', value: 'x', database: 99 },
    { key: 'behind', value: 'x' },
  ]
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  const job = await doJob(understudy, 'import', 'all', { file })
  expect(job.progress).toMatchObject({ done: 5, copied: 2, failed: 3 })
  const details = new Map((await keysOf(understudy, job.id)).map(({ key, detail }) => [key, detail]))
  expect(details.get('list')).toMatch(/without elements/)
  expect(details.get('hash')).toMatch(/without elements/)
  expect(details.get('far')).toMatch(/store 'old' refuses database 99 \(ERR DB index is out of range\)/)
  expect((await source.client().keys('*')).sort()).toEqual(['before', 'behind'])
}, 240_000)

test('an export whose file was taken away, or cut off, while it was paused is refused', async () => {
  const { source, understudy } = migration
  await source.client().flushall()
  await fillStrings(source, 1_500)
  for (const how of ['away', 'cut off']) {
    const file = join(directory, `${how}.jsonl`)
    const { id } = await startJob(understudy, 'export', 'all', { file, rate: 700 })
    await eventually(async () => expect((await jobOf(understudy, id)).progress.copied).toBeGreaterThan(0))
    await steer(understudy, id, 'pause')
    if (how === 'away') renameSync(file, `${file}.moved`)
    else truncateSync(file, 10)
    await steer(understudy, id, 'resume')
    const job = await over(understudy, id)
    expect(job.state).toBe('failed')
    expect(job.error).toMatch(how === 'away' ? /cannot be used: ENOENT/ : /lacks keys that this job has written to it/)
    // Put back, it goes on.
    if (how !== 'away') continue
    renameSync(`${file}.moved`, file)
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { copied: 1_500 } })
    expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(1_500)
  }
}, 240_000)

test.each(['cut off', 'exchanged'])(
  'an import whose file was %s while it was paused is refused',
  async (how) => {
    const { source, understudy } = migration
    await source.client().flushall()
    const file = join(directory, `${how}.in.jsonl`)
    const lines = Array.from({ length: 1_500 }, (_, i) => JSON.stringify({ key: `i:${i}`, value: 'v' }))
    writeFileSync(file, lines.join('\n'))
    const { id } = await startJob(understudy, 'import', 'all', { file, rate: 700 })
    await eventually(async () => expect((await jobOf(understudy, id)).progress.copied).toBeGreaterThan(0))
    await steer(understudy, id, 'pause')
    if (how === 'cut off') truncateSync(file, 10_000)
    else writeFileSync(file, lines.join('\n').replaceAll('i:', 'other:'))
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({
      state: 'failed',
      error: expect.stringMatching(/is not what it was when the job began/),
      progress: { total: 1_500 },
    })
    expect(await source.client().exists('other:1499')).toBe(0)
  },
  240_000,
)

test('of a file with blank lines, and without a line feed at its end, every line counts that holds anything', async () => {
  const { understudy } = migration
  const file = join(directory, 'blank.jsonl')
  writeFileSync(file, '\n{"key":"a","value":"1"}\r\n\r\n  \n{"key":"b","value":"2"}\n\n{"key":"c","value":"3"}')
  const { progress } = await doJob(understudy, 'import', 'all', { file, onConflict: 'overwrite' })
  expect(progress).toMatchObject({ done: 3, total: 3, copied: 3 })
})

test.each(['skip', 'overwrite'] as const)(
  'of a key that stands in the file more than once one line holds, in the order of the file: %s',
  async (onConflict) => {
    const { source, understudy } = migration
    const redis = source.client()
    await redis.flushall()
    const file = join(directory, `twice-${onConflict}.jsonl`)
    // What takes longer to write comes first: in one page, and in the one before.
    const named = (of: string, count: number) => Array.from({ length: count }, (_, i) => `${of}:${i}`)
    const members = named('member', 30_000)
    const lines = [
      ...named('filler', 155).map((key) => ({ key, value: '' })),
      ...named('near', 20).flatMap((key) => [
        { key, type: 'hash', value: { field: 'first' } },
        { key, value: 'last' },
      ]),
      ...named('far', 5).map((key) => ({ key, type: 'list', value: members })),
      ...named('far', 5).map((key) => ({ key, value: 'last' })),
    ]
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    const skips = onConflict === 'skip'
    expect(await doJob(understudy, 'import', 'all', { file, onConflict })).toMatchObject({
      progress: { copied: skips ? 180 : 205, skipped: skips ? 25 : 0, failed: 0 },
    })
    for (const key of named('near', 20)) expect(await redis.type(key)).toBe(skips ? 'hash' : 'string')
    for (const key of named('far', 5)) expect(await redis.type(key)).toBe(skips ? 'list' : 'string')
  },
  240_000,
)

test('an export that was paused before its store answered goes on when it does', async () => {
  const source = await startRedis()
  const understudy = await startUnderstudy({
    stores: { old: { url: source.url } },
    routes: [{ name: 'all', keys: ['*'], source: 'old' }],
  })
  try {
    await source.kill9()
    const file = join(directory, 'patient.jsonl')
    const { id } = await startJob(understudy, 'export', 'all', { file })
    await eventually(async () => expect((await jobOf(understudy, id)).throttle).toMatch(/does not answer/))
    expect(await steer(understudy, id, 'pause')).toMatchObject({ state: 'paused' })
    await source.restart()
    await source.client().set('key', 'value')
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({ state: 'done', error: null, progress: { copied: 1, total: 1 } })
    expect(readFileSync(file, 'latin1')).toMatch(/^{"key":"key",.*}\n$/)
  } finally {
    await understudy.stop()
    await source.stop()
  }
}, 240_000)

test('what would come in as other bytes than stand in the file is listed', async () => {
  const { source, understudy } = migration
  const file = join(directory, 'latin1.jsonl')
  writeFileSync(
    file,
    '{"key":"caf\xe9","value":"1"}\n{"key":"plain","value":"\xfc"}\n{"key":"text","value":"2"}\n',
    'latin1',
  )
  const path = join(directory, 'rounded.level')
  const level = new ClassicLevel<string, Buffer>(path, { valueEncoding: 'buffer' })
  await level.put('lock:whole', Buffer.from('{"value":{"id":9007199254740993}}'))
  await level.put('lock:latin1', Buffer.from('{"value":"\xe9"}', 'latin1'))
  await level.put('lock:fits', Buffer.from('{"value":{"id":9007199254740991,"share":0.1}}'))
  await level.close()
  const lines = await doJob(understudy, 'import', 'all', { file })
  expect(lines.progress).toMatchObject({ copied: 1, failed: 2 })
  expect((await keysOf(understudy, lines.id)).map(({ detail }) => detail)).toEqual([
    'line 1 is no UTF-8 text.',
    'line 2 is no UTF-8 text.',
  ])
  const locks = await doJob(understudy, 'import', 'locks', { file: path, format: 'leveldb' })
  expect(locks.progress).toMatchObject({ copied: 1, failed: 2 })
  expect((await keysOf(understudy, locks.id)).map(({ detail }) => detail)).toEqual([
    'its value is no UTF-8 text.',
    'its value has whole numbers that JSON rounds.',
  ])
  const redis = source.client()
  expect(await redis.get('lock:fits')).toBe('{"id":9007199254740991,"share":0.1}')
  expect(await redis.exists('lock:whole', 'lock:latin1', 'plain')).toBe(0)
}, 240_000)

test('a path that cannot be used is told before there is a job that has failed', async () => {
  const { understudy } = migration
  const all = async () => (await understudy.admin<Job[]>('/api/v1/jobs')).body.length
  const before = await all()
  const there = join(directory, 'there.jsonl')
  writeFileSync(there, '')
  for (const [kind, file, why, format] of [
    ['import', directory, /cannot be used: it is no regular file$/],
    ['import', join(directory, 'typo'), /typo cannot be used: ENOENT/],
    ['import', there, /cannot be used: it is no directory$/, 'leveldb'],
    ['restore', join(directory, 'typo'), /typo cannot be used: ENOENT/],
    ['export', join(directory, 'typo', 'file'), /file cannot be used: ENOENT/],
    ['export', there, /cannot be used: it exists already$/],
  ] as const)
    await expect(startJob(understudy, kind, 'all', { file, ...(format && { format }) })).rejects.toThrow(why)
  expect(await all()).toBe(before)
}, 240_000)

test('a file that is read for hours can be left at any moment; a pipe, which cannot be read twice, is refused', async () => {
  const { understudy } = migration
  const [long, backup, pipe] = ['long.jsonl', 'long.backup', 'pipe'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(long, '')
  writeFileSync(backup, `${JSON.stringify({ format: 'understudy-backup', version: 1 })}\n`)
  // Nothing but holes.
  for (const path of [long, backup]) truncateSync(path, 300 * 1024 ** 3)
  execFileSync('mkfifo', [pipe])
  for (const [kind, file] of [
    ['import', long],
    ['restore', backup],
  ] as const) {
    const { id } = await startJob(understudy, kind, 'all', { file })
    await eventually(async () => expect((await jobOf(understudy, id)).state).toBe('running'))
    expect(await steer(understudy, id, 'cancel')).toMatchObject({ state: 'cancelled' })
  }
  for (const kind of ['import', 'restore'] as const) {
    await expect(startJob(understudy, kind, 'all', { file: pipe })).rejects.toThrow(/it is no regular file/)
  }
  // Nor by the command line, which looks for the route in it.
  for (const path of [pipe, '/dev/zero']) {
    expect(await runCli(['restore', path, '--admin', understudy.adminUrl])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/give --route/),
    })
  }
}, 240_000)

test('locks of a LevelDB come in with their times of expiry, and go out again', async () => {
  const { source, understudy } = migration
  const path = join(directory, 'locks.level')
  const level = new ClassicLevel<string, string>(path)
  const expires = Date.now() + 1_000_000
  await level.put('locks:lock:a', JSON.stringify({ value: 'owner 1', expires }))
  await level.put('locks:lock:b', JSON.stringify({ value: { owner: 2 } }))
  await level.put('locks:lock:gone', JSON.stringify({ value: 'x', expires: 1 }))
  await level.put('locks:lock:odd', 'no json')
  await level.put('locks:lock:part', JSON.stringify({ value: 'x', expires: expires + 0.5 }))
  await level.put('locks:lock:null', JSON.stringify({ value: 'x', expires: null }))
  await level.put('locks:lock:text', JSON.stringify({ value: 'x', expires: '2030-01-01T00:00:00Z' }))
  await level.put('locks:lock:false', JSON.stringify({ value: 'x', expires: false }))
  await level.put('locks:lock:far', JSON.stringify({ value: 'x', expires: 1e300 }))
  await level.put('sessions:1', JSON.stringify({ value: 'of another namespace' }))
  await level.close()
  const job = await doJob(understudy, 'import', 'locks', { file: path, format: 'leveldb', namespace: 'locks' })
  expect(job.progress).toMatchObject({ done: 9, copied: 4, skipped: 1, failed: 4 })
  const why = 'its time of expiry, "expires", is no number of milliseconds since 1970.'
  expect((await keysOf(understudy, job.id)).map(({ detail }) => detail)).toEqual([
    why,
    why,
    'its value is not JSON with a field "value".',
    why,
  ])
  const redis = source.client()
  expect(await redis.mget('lock:a', 'lock:b')).toEqual(['owner 1', '{"owner":2}'])
  expect(await redis.exists('lock:text', 'lock:false', 'lock:far')).toBe(0)
  expect(await redis.pexpiretime('lock:part')).toBe(expires + 1)
  expect(await redis.pexpiretime('lock:null')).toBe(-1)
  expect(Math.abs((await redis.pexpiretime('lock:a')) - expires)).toBeLessThan(1000)

  const back = join(directory, 'back.level')
  await doJob(understudy, 'export', 'locks', { file: back, format: 'leveldb', namespace: 'locks' })
  const out = new ClassicLevel<string, string>(back)
  const { value, expires: until } = JSON.parse((await out.get('locks:lock:a')) ?? '') as {
    value: string
    expires: number
  }
  await out.close()
  expect(value).toBe('owner 1')
  expect(Math.abs(until - expires)).toBeLessThan(1000)
}, 240_000)

test('keys of 30,000 elements and of many megabytes go out by pieces and come in whole; types that nobody knows go by their payload', async () => {
  const { source, target, understudy } = migration
  const redis = source.client()
  await redis.flushall()
  await target.client().flushall()
  const names = Array.from({ length: 30_000 }, (_, i) => `lock ${i}`)
  await redis.rpush('lock:list', ...names)
  await redis.sadd('lock:set', ...names)
  await redis.hset('lock:hash', ...names.flatMap((name) => [name, name]))
  await redis.zadd('lock:zset', ...names.flatMap((name, i) => [i, name]))
  await redis.set('lock:text', 'x'.repeat(9 * 1024 * 1024))
  for (let i = 1; i <= 5_000; i++) redis.xadd('lock:stream', `1-${i}`, 'a', 'b')
  await redis.set('lock:payload', 'y')
  const payload = ((await redis.dumpBuffer('lock:payload')) as Buffer).toString('base64')
  const file = join(directory, 'large.jsonl')
  expect(await doJob(understudy, 'export', 'locks', { file })).toMatchObject({ progress: { copied: 7, failed: 0 } })
  appendFileSync(file, `${JSON.stringify({ key: 'lock:other', type: 'other', payload: { base64: payload } })}\n`)
  appendFileSync(file, `${JSON.stringify({ key: 'lock:broken', type: 'other', payload: { base64: 'AAAA' } })}`)
  const kept = await redis.keys('lock:*')
  for (const key of kept) await redis.rename(key, `kept:${key}`)
  const job = await doJob(understudy, 'import', 'locks', { file })
  expect(job).toMatchObject({ progress: { copied: 8, failed: 1 } })
  expect(await keysOf(understudy, job.id)).toMatchObject([
    { key: 'lock:broken', detail: expect.stringMatching(/store answers ERR/) },
  ])
  expect(await redis.get('lock:other')).toBe('y')
  expect(await redis.keys('understudy:*')).toEqual([])
  const isKept = (key: string): boolean => key.startsWith('kept:')
  const wasThere = {
    onPrimary: isKept,
    onShadow: (key: string) => kept.includes(key),
    toShadow: (key: string) => key.slice(5),
  }
  for (const server of [source, target]) expect(await driftBetween(source, server, wasThere)).toEqual([])
}, 240_000)

test('an export that was killed goes on where it stood, and holds every key once', async () => {
  const { source, understudy } = migration
  await source.client().flushall()
  await fillStrings(source, 1_500)
  const file = join(directory, 'killed.jsonl')
  const { id } = await startJob(understudy, 'export', 'all', { file, rate: 500 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
  await understudy.kill9()
  appendFileSync(file, '{"key":"key:1","type":"str')
  await understudy.restart()
  expect(await over(understudy, id)).toMatchObject({
    state: 'done',
    error: null,
    progress: { copied: 1_500, failed: 0 },
  })
  const keys = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { key: string }).key)
  expect(new Set(keys).size).toBe(1_500)
  expect(keys).toHaveLength(1_500)
}, 240_000)

test('understudy: backfill, verify, jobs, cleanup with a backup, restore', async () => {
  const { source, target, understudy } = migration
  await source.client().flushall()
  await target.client().flushall()
  await source.client().mset('lock:1', 'a', 'lock:2', 'b')
  const env = { UNDERSTUDY_ADMIN_URL: understudy.adminUrl }
  const backfill = await runCli(['backfill', 'locks'], env)
  expect(backfill).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/backfill locks \(job \d+\): done\n {2}2 keys copied\./),
  })
  await target.client().set('lock:1', 'x')
  const verify = await runCli(['verify', 'locks'], env)
  expect(verify.code).toBe(1)
  expect(verify.stdout).toMatch(/1 differs[\s\S]*value +lock:1 +The values differ\./)
  expect(await runCli(['repair', 'locks'], env)).toMatchObject({ code: 0 })
  expect(await runCli(['verify', 'locks', '--sample', '100%', '--json'], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('"clean": true'),
  })
  const listed = await runCli(['jobs', '--route', 'locks'], env)
  expect(listed.stdout).toMatch(/verify +locks +done/)
  const detached = await runCli(['verify', 'locks', '--detach'], env)
  expect(detached.stdout).toMatch(/^Job \d+ is (queued|running|done)/)
  expect(await runCli(['jobs', 'pause', '99999'], env)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no job'),
  })
  expect(await runCli(['verify', 'nothing'], env)).toMatchObject({ code: 2 })
  expect(await runCli(['cleanup', 'locks', '--yes'], env)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('in mirror'),
  })

  const init = { method: 'PUT', body: JSON.stringify({ phase: 'done' }) }
  expect((await understudy.admin('/api/v1/routes/locks/phase', init)).status).toBe(200)
  const backup = join(directory, 'locks.backup')
  const cleaned = await runCli(['cleanup', 'locks', '--yes', '--backup', backup], env)
  expect(cleaned).toMatchObject({ code: 0, stdout: expect.stringContaining('2 keys deleted') })
  expect(await source.client().exists('lock:1', 'lock:2')).toBe(0)
  const restored = await runCli(['restore', backup], env)
  expect(restored).toMatchObject({ code: 0, stdout: expect.stringContaining('2 keys put back') })
  expect(await source.client().mget('lock:1', 'lock:2')).toEqual(['a', 'b'])
}, 240_000)
