import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { findProgram } from '../../src/base/find-program.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import { eventually } from '../support/eventually.ts'
import { jobOf, over, startJob, steer } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'
import { Consumer, Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Side = 'shadow' | 'switched'

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly understudy: UnderstudyProcess
}

/** `CRASH_DATABASES=0` for one alone. */
const DATABASES = (process.env['CRASH_DATABASES'] ?? '0,1').split(',').map(Number)

/** What it had survives its death. */
const DURABLE: RedisServerOptions = { args: ['--appendonly', 'yes', '--appendfsync', 'no'] }

async function setUp(phase: Side, mirror: object = {}): Promise<Setup> {
  const [old, fresh] = await Promise.all([startRedis(DURABLE), startRedis(DURABLE)])
  running.push(old, fresh)
  const target = { store: 'new', keys: { 'job:{id}': 'step:{id}' } }
  const understudy = await startUnderstudy({
    // A shadow that hangs is known to soon; a primary that is only slow is not taken for one.
    stores: {
      old: { url: old.url, timeout: phase === 'shadow' ? '30s' : '500ms' },
      new: { url: fresh.url, timeout: phase === 'shadow' ? '500ms' : '30s' },
    },
    routes: [
      { name: 'jobs', keys: ['job:{id}'], source: { store: 'old' }, target, phase },
      { name: 'rest', keys: ['*'], source: 'old', target: 'new', phase, mirror },
    ],
  })
  running.push(understudy)
  return { old, fresh, understudy }
}

async function routesOf(understudy: UnderstudyProcess): Promise<Status['routes'][string][]> {
  return Object.values((await understudy.admin<Status>('/api/v1/status')).body.routes)
}

async function sum(understudy: UnderstudyProcess, field: 'mirrored' | 'dirtyKeys' | 'backlog'): Promise<number> {
  return (await routesOf(understudy)).reduce((total, { mirror }) => total + mirror[field], 0)
}

async function settled(understudy: UnderstudyProcess): Promise<void> {
  await eventually(async () => {
    for (const { mirror } of await routesOf(understudy)) expect(mirror).toMatchObject({ backlog: 0, dirtyKeys: 0 })
  })
}

async function drift({ old, fresh }: Setup, phase: Side): Promise<unknown[]> {
  const options = { databases: [0, 1], ttlSlackMs: 1_000 }
  if (phase === 'shadow')
    return driftBetween(old, fresh, { ...options, toShadow: (key) => key.replace(/^job:/, 'step:') })
  return driftBetween(fresh, old, { ...options, toShadow: (key) => key.replace(/^step:/, 'job:') })
}

/** Clients of every kind, until their connections end: random commands, takers that block, and one that writes as fast as it can. */
async function load(understudy: UnderstudyProcess, seed: number): Promise<{ ended(): Promise<unknown> }> {
  const { port } = understudy
  const writers = await Promise.all(
    [2, 3, 2].map((protocol, i) => Writer.open(port, protocol as 2 | 3, { seed: seed + i, databases: DATABASES })),
  )
  const takers = await Promise.all([2, 3].map((protocol, i) => Consumer.start(port, protocol as 2 | 3, seed + 10 + i)))
  const flood = await RawClient.open(port)
  const ends = writers.map(async (writer) => {
    for (;;) await writer.round()
  })
  ends.push(
    (async () => {
      for (let i = 0; ; i = (i + 1) % 100) {
        const batch = Array.from({ length: 200 }, (_, j) =>
          encodeCommand(['SET', `${j % 2 === 0 ? 'job:' : ''}flood:${i * 200 + j}`, `${seed} ${performance.now()}`]),
        )
        flood.send(Buffer.concat(batch))
        await flood.take(batch.length)
      }
    })(),
  )
  // Their command under way ends with the connection.
  ends.push(...takers.map((taker) => taker.done as Promise<never>))
  const ended = Promise.allSettled(ends)
  return { ended: () => ended }
}

describe.each<Side>(['shadow', 'switched'])('kill -9 of the sidecar under full load, phase %s', (phase) => {
  test('three times: what was being written is known after the start, and both stores become equal by themselves', async () => {
    const setup = await setUp(phase)
    const { understudy } = setup
    for (let round = 0; round < 3; round++) {
      const { ended } = await load(understudy, 1_000 * round)
      const before = await sum(understudy, 'mirrored')
      await eventually(async () => expect(await sum(understudy, 'mirrored')).toBeGreaterThan(before + 3_000))
      await understudy.kill9()
      await ended()
      await understudy.restart()
      await eventually(() => expect(understudy.stdout).toContain('the last run ended without being stopped'))
      await settled(understudy)
      expect(await drift(setup, phase)).toEqual([])
    }
  }, 180_000)
})

/** Until the primary has had so many more commands. */
async function more(server: RedisServer, commands: number): Promise<void> {
  const client = server.client()
  const count = async (): Promise<number> =>
    Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))![1])
  const before = await count()
  await eventually(async () => expect(await count()).toBeGreaterThan(before + commands))
  client.disconnect()
}

describe('kill -9 of the sidecar while the shadow', () => {
  test('is dead: what it lacks is known after the start, and copied when it is back', async () => {
    const setup = await setUp('shadow')
    const { old, fresh, understudy } = setup
    const { ended } = await load(understudy, 1)
    await more(old, 3_000)
    await fresh.kill9()
    await more(old, 3_000)
    await understudy.kill9()
    await ended()
    await understudy.restart()
    expect(await sum(understudy, 'dirtyKeys')).toBeGreaterThan(100)
    await fresh.restart()
    await settled(understudy)
    expect(await drift(setup, 'shadow')).toEqual([])
  }, 180_000)

  test('hangs, and goes on with what the dead process had sent it: both stores become equal by themselves', async () => {
    const setup = await setUp('shadow')
    const { old, fresh, understudy } = setup
    for (let round = 0; round < 3; round++) {
      const { ended } = await load(understudy, 10 + round)
      await more(old, 2_000)
      fresh.pause()
      await more(old, 10_000)
      await understudy.kill9()
      await ended()
      await understudy.restart()
      expect(await sum(understudy, 'dirtyKeys')).toBeGreaterThan(100)
      fresh.resume()
      await settled(understudy)
      expect(await drift(setup, 'shadow')).toEqual([])
    }
  }, 180_000)
})

test('kill -9 of the sidecar with a script in flight that writes to keys which it does not declare: routes need a verify, for nobody can name them', async () => {
  const { old, fresh, understudy } = await setUp('shadow')
  const app = understudy.client()
  const source = "redis.call('set', KEYS[1] .. ':at', redis.call('time')[2]) return redis.call('incr', KEYS[1] .. ':n')"
  await app.eval(source, 1, 'a')
  await eventually(async () => expect(await fresh.client().get('a:n')).toBe('1'))
  await settled(understudy)
  for (const { mirror } of await routesOf(understudy)) expect(mirror.needsVerify).toBe(false)
  const logged = async (): Promise<number> =>
    (await understudy.admin<Status>('/api/v1/status')).body.durability.intentLogBytes
  // What came before is done, and not in the log any more.
  await eventually(async () => expect(await logged()).toBe(0))
  old.pause()
  app.eval(source, 1, 'b').catch(() => {})
  await eventually(async () => expect(await logged()).toBeGreaterThan(0))
  await understudy.kill9()
  old.resume()
  await eventually(async () => expect(await old.client().get('b:n')).toBe('1'))
  await understudy.restart()
  for (const { mirror } of await routesOf(understudy)) expect(mirror.verifyCauses).toEqual(['script'])
}, 30_000)

describe.skipIf(findProgram('prlimit') === null)('a disk that is full', () => {
  /** As a full disk does: no file grows beyond so many bytes. Of the soft limit, which can be raised again. */
  const limitFiles = ({ pid }: UnderstudyProcess, bytes: string): void => {
    execFileSync('prlimit', ['--pid', `${pid}`, `--fsize=${bytes}:`])
  }

  test('costs no client a command: routes need a verify, loudly; and the log goes on when there is room', async () => {
    const { old, understudy } = await setUp('shadow')
    const app = understudy.client()
    await app.set('a', 1)
    limitFiles(understudy, '0')
    for (let i = 0; i < 50; i++) expect(await app.set(`key:${i}`, i)).toBe('OK')
    await eventually(async () => {
      for (const { mirror } of await routesOf(understudy)) expect(mirror.needsVerify).toBe(true)
    })
    const status = async () => (await understudy.admin<Status>('/api/v1/status')).body
    expect((await status()).durability.intact).toBe(false)
    expect(await understudy.metrics()).toContain('understudy_durable 0')
    await eventually(() => expect(understudy.stdout).toContain('the intent log cannot be written'))
    limitFiles(understudy, 'unlimited')
    await eventually(async () => expect((await status()).durability.intact).toBe(true))
    await eventually(() => expect(understudy.stdout).toContain('the intent log is written again'))
    expect(await old.client().get('key:49')).toBe('49')
    // It is not forgotten.
    await understudy.kill9()
    await understudy.restart()
    for (const { mirror } of await routesOf(understudy)) expect(mirror.needsVerify).toBe(true)
  })

  test('ends no process in which jobs run: they wait for room, and say so', async () => {
    const { old, understudy } = await setUp('shadow')
    await old.client().mset(Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`key:${i}`, 'v'])))
    const app = understudy.client()
    const { id } = await startJob(understudy, 'backfill', 'rest', { rate: 5_000 })
    const last = await startJob(understudy, 'verify', 'rest')
    await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
    limitFiles(understudy, '0')
    await eventually(async () =>
      expect((await jobOf(understudy, id)).throttle).toMatch(/stateDir cannot be written \(disk I\/O error\)/),
    )
    await expect(startJob(understudy, 'verify', 'jobs')).rejects.toThrow(/stateDir cannot be written/)
    expect((await understudy.admin(`/api/v1/jobs/${id}`, { method: 'PATCH', body: '{"action":"pause"}' })).status).toBe(
      503,
    )
    expect(await app.set('a', 1)).toBe('OK')
    limitFiles(understudy, 'unlimited')
    await eventually(async () => expect((await jobOf(understudy, id)).state).toBe('paused'))
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { failed: 0 } })
    expect((await over(understudy, last.id)).state).toBe('done')
  })

  const phaseOf = async (understudy: UnderstudyProcess): Promise<string> =>
    (await understudy.admin<Status>('/api/v1/status')).body.routes['rest']!.phase
  const forced = { method: 'PUT', body: '{"phase":"switched","force":true,"reason":"a test"}' }
  const change = (understudy: UnderstudyProcess): Promise<{ status: number; body: unknown }> =>
    understudy.admin('/api/v1/routes/rest/phase', forced)

  test('takes no change of a phase, forced or in the file: what was told to have failed is not in force', async () => {
    const { old, understudy } = await setUp('shadow')
    const app = understudy.client()
    await app.set('a', 1)
    await settled(understudy)
    const status = async () => (await understudy.admin<Status>('/api/v1/status')).body
    const asked = readFileSync(understudy.configPath, 'utf8')
    limitFiles(understudy, '0')
    expect(await change(understudy)).toMatchObject({ status: 503, body: { error: { code: 'STATE_UNUSABLE' } } })
    expect([await phaseOf(understudy), (await status()).epoch]).toEqual(['shadow', 0])
    expect(readFileSync(understudy.configPath, 'utf8')).toBe(asked)
    understudy.edit((text) => text.replaceAll('phase: shadow', 'phase: passthrough'))
    await eventually(async () => expect((await status()).lastReload.error).toMatch(/stateDir cannot be written/))
    expect([await phaseOf(understudy), (await status()).epoch]).toEqual(['shadow', 0])
    expect(await app.set('a', 2)).toBe('OK')
    expect(await old.client().get('a')).toBe('2')

    limitFiles(understudy, 'unlimited')
    expect((await understudy.admin('/api/v1/config/reload', { method: 'POST', body: '{}' })).status).toBe(200)
    expect((await status()).lastReload.successful).toBe(true)
    expect(await phaseOf(understudy)).toBe('passthrough')
  })

  test('for the file of dirty keys alone calls a switch off', async () => {
    // No room for a backlog: every write makes its key dirty.
    const { fresh, understudy } = await setUp('shadow', { backlog: '1b' })
    const app = understudy.client()
    await fresh.kill9()
    const sizeOf = (name: string): number => statSync(join(understudy.stateDir, name)).size
    for (let i = 0; i < 5_000; i += 1_000)
      await app.mset(Object.fromEntries(Array.from({ length: 1_000 }, (_, j) => [`${'k'.repeat(200)}${i + j}`, 'v'])))
    await eventually(() => expect(sizeOf('dirty.db-wal')).toBeGreaterThan(1_000_000))
    expect(sizeOf('state.db-wal')).toBeLessThan(400_000)
    limitFiles(understudy, '500000')
    expect(await change(understudy)).toMatchObject({
      body: { error: { code: 'SWITCH_CALLED_OFF', message: expect.stringMatching(/stateDir cannot be written/) } },
    })
    expect(await phaseOf(understudy)).toBe('shadow')
    expect(await app.get(`${'k'.repeat(200)}7`)).toBe('v')

    limitFiles(understudy, 'unlimited')
    expect((await change(understudy)).status).toBe(200)
    expect(await phaseOf(understudy)).toBe('switched')
  })

  test('is remembered by a crash in the middle of it', async () => {
    const { understudy } = await setUp('shadow')
    const app = understudy.client()
    await app.set('a', 1)
    await settled(understudy)
    limitFiles(understudy, '0')
    await app.set('b', 1)
    await understudy.kill9()
    await understudy.restart()
    await eventually(() => expect(understudy.stdout).toContain('what the last run was writing is not known'))
    for (const { mirror } of await routesOf(understudy)) expect(mirror.needsVerify).toBe(true)
  })
})

test('a state directory that has lost what was known of keys, but not the rest, takes no shadow for complete', async () => {
  const { understudy } = await setUp('shadow')
  const gates = async (): Promise<string> => {
    const { body } = await understudy.admin<{ closedGates: string[] }>('/api/v1/routes/jobs/phase', {
      method: 'PUT',
      body: JSON.stringify({ phase: 'switched', dryRun: true }),
    })
    return body.closedGates.join()
  }
  await understudy.client().mset('job:1', 1, 'other', 1)
  await settled(understudy)
  // Both were empty when mirroring began.
  await eventually(async () => expect(await gates()).toBe(''))
  await understudy.kill9()
  for (const part of ['dirty.db', 'dirty.db-wal', 'intent'])
    rmSync(join(understudy.stateDir, part), { recursive: true, force: true })
  await understudy.restart()
  expect(await gates()).toContain('may lack what')
  await eventually(() => expect(understudy.stdout).toContain('no shadow is taken for complete'))
})
