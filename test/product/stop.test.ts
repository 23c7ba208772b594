import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

let redis: RedisServer
let understudy: UnderstudyProcess

afterEach(async () => {
  await understudy?.stop()
  await redis?.stop()
})

test('a part that fails when it is stopped keeps no other from being stopped, and the exit code tells', async () => {
  await startWith(`async () => { throw new Error('planted') }`)
  const client = understudy.client()
  await client.set('k', 'v')
  expect(existsSync(join(understudy.stateDir, 'state.db-wal'))).toBe(true)
  understudy.signal('SIGTERM')
  expect(await understudy.exited).toEqual({ code: 3, signal: null })
  const log = understudy.stdout + understudy.stderr
  expect(log).toMatch(/"part":"jobs".*a part did not stop as it should/)
  // What comes behind it: the state database has been closed, and the intent log is empty.
  expect(existsSync(join(understudy.stateDir, 'state.db-wal'))).toBe(false)
  expect(log).toMatch(/stopped/)
})

test('a second signal ends the process at once, whatever it is stopping', async () => {
  await startWith('() => new Promise(() => {})')
  understudy.signal('SIGTERM')
  await eventually(() => expect(understudy.stdout + understudy.stderr).toContain('stopping:'))
  understudy.signal('SIGINT')
  expect(await understudy.exited).toEqual({ code: 1, signal: null })
})

test('a file of a disk that hangs keeps the process no longer than it takes to stop', async () => {
  // Nobody writes to it: whoever opens it waits in a thread.
  const directory = mkdtempSync(join(tmpdir(), 'understudy-stop-'))
  const pipe = join(directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  try {
    await startPatched(
      `import { open } from 'node:fs'; import { isMainThread } from 'node:worker_threads'
      if (isMainThread) open(${JSON.stringify(pipe)}, 'r', () => {})`,
    )
    understudy.signal('SIGTERM')
    expect(await understudy.exited).toEqual({ code: null, signal: 'SIGKILL' })
    expect(understudy.stdout + understudy.stderr).toMatch(/"msg":"stopped"/)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('nobody reads its log any more: it ends as ever', async () => {
  const log = new URL('../../src/observability/log.ts', import.meta.url).href
  const runner = new URL('../../src/jobs/runner/runner.ts', import.meta.url).href
  // The last lines are written one right behind the other.
  await startPatched(
    `import { Log } from '${log}'; import { JobRunner } from '${runner}'
    const { info } = Log.prototype
    Log.prototype.info = function (msg, fields) {
      info.call(this, msg, fields)
      if (msg === 'stopped') info.call(this, 'planted', fields)
    }
    JobRunner.prototype.stop = () => new Promise((resolve) => setTimeout(resolve, 1_000))`,
  )
  understudy.signal('SIGTERM')
  await eventually(() => expect(understudy.stdout).toContain('stopping:'))
  understudy.closeOutput()
  expect(await understudy.exited).toEqual({ code: 0, signal: null })
})

test('while it stops, nothing is changed any more, reading goes on, and a switch that waits is told why it ends', async () => {
  const target = await startRedis()
  try {
    await startWith('() => new Promise((resolve) => setTimeout(resolve, 2_000))', target)
    await target.stop()
    const put = (phase: string) =>
      understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body: JSON.stringify({ phase }) })
    const stopping = {
      status: 503,
      body: { error: { code: 'STOPPING', message: expect.stringMatching(/is stopping/) } },
    }
    await eventually(async () => {
      const { stores } = (await understudy.admin<Status>('/api/v1/status')).body
      expect(stores['new']?.up).toBe(false)
    })
    // It waits for the target to come back.
    const waiting = put('switched')
    expect(await Promise.race([waiting, sleep(500, 'waits')])).toBe('waits')
    understudy.signal('SIGTERM')
    await eventually(() => expect(understudy.stdout).toContain('stopping:'))
    expect(await put('shadow')).toEqual(stopping)
    const job = JSON.stringify({ kind: 'verify', route: 'all' })
    expect(await understudy.admin('/api/v1/jobs', { method: 'POST', body: job })).toEqual(stopping)
    expect(await understudy.admin('/api/v1/config/reload', { method: 'POST' })).toEqual(stopping)
    expect((await understudy.admin('/api/v1/status')).status).toBe(200)
    expect(await waiting).toEqual(stopping)
    expect(await understudy.exited).toEqual({ code: 0, signal: null })
    expect(understudy.stdout).not.toMatch(/admin request failed/)
  } finally {
    await target.stop()
  }
})

test('a reload that waits for a gate when it stops is not told as refused', async () => {
  const target = await startRedis()
  try {
    await startWith('async () => {}', target)
    await target.kill9()
    await eventually(async () => {
      const { stores } = (await understudy.admin<Status>('/api/v1/status')).body
      expect(stores['new']?.up).toBe(false)
    })
    understudy.edit((text) => text.replace('mirror', 'switched'))
    const reload = understudy.admin('/api/v1/config/reload', { method: 'POST' })
    expect(await Promise.race([reload, sleep(500, 'waits')])).toBe('waits')
    understudy.signal('SIGTERM')
    expect(await reload).toMatchObject({ status: 503, body: { error: { code: 'STOPPING' } } })
    expect(await understudy.exited).toEqual({ code: 0, signal: null })
    expect(understudy.stdout).not.toMatch(/"level":"error"/)
  } finally {
    await target.stop()
  }
})

/** Starts it with another `JobRunner.stop`; with a target, in `mirror`. */
async function startWith(stop: string, target: RedisServer | null = null): Promise<void> {
  const runner = new URL('../../src/jobs/runner/runner.ts', import.meta.url).href
  await startPatched(`import { JobRunner } from '${runner}'; JobRunner.prototype.stop = ${stop}`, target)
}

/** `patch`: a module that every thread begins with. */
async function startPatched(patch: string, target: RedisServer | null = null): Promise<void> {
  redis = await startRedis()
  understudy = await startUnderstudy(
    {
      stores: { only: { url: redis.url }, ...(target === null ? {} : { new: { url: target.url } }) },
      routes: [
        {
          name: 'all',
          keys: ['*'],
          source: { store: 'only' },
          ...(target === null ? { phase: 'passthrough' } : { target: { store: 'new' }, phase: 'mirror' }),
        },
      ],
    },
    { env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(patch)}` } },
  )
}
