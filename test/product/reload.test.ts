import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseDocument } from 'yaml'
import type { ReloadResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { findProgram } from '../../src/base/find-program.ts'
import type { Config } from '../../src/config/config.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { freePort } from '../support/ports.ts'
import type { RedisServer } from '../support/redis.ts'
import { endedAfterEach } from '../support/running.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const { running, redis } = endedAfterEach()

async function understudyWith(config: string | object, env: Record<string, string> = {}): Promise<UnderstudyProcess> {
  const understudy = await startUnderstudy(config, { env })
  running.push(understudy)
  return understudy
}

const twoStores = (source: RedisServer, target: RedisServer, phase: string): string => `
stores: { old: { url: "${source.url}" }, new: { url: "${target.url}" } }
routes:
  - { name: all, keys: ["*"], source: { store: old }, target: { store: new }, phase: ${phase} }
`

/** Those that it has started so far: `log` at `debug`, in JSON. */
function managedServersOf({ stdout }: UnderstudyProcess): { port: number; pid: number }[] {
  return stdout
    .split('\n')
    .filter((line) => line.includes('managed redis-server is up'))
    .map((line) => JSON.parse(line))
}

async function status(understudy: UnderstudyProcess): Promise<Status> {
  return (await understudy.admin<Status>('/api/v1/status')).body
}

describe('reload', () => {
  test('follows the file, keeps the client connected, and counts generations', async () => {
    const understudy = await understudyWith(twoStores(await redis(), await redis(), 'passthrough'))
    const app = understudy.client()
    const id = await app.client('ID')
    understudy.edit((text) => text.replace('phase: passthrough', 'phase: mirror'))
    await eventually(async () => expect((await status(understudy)).routes['all']?.phase).toBe('mirror'))
    expect(await app.client('ID')).toBe(id)
    expect((await status(understudy)).epoch).toBe(1)
  })

  test.each(['SIGHUP', 'a changed file'])(
    '%s while it still starts ends nothing, and is followed once it runs',
    async (how) => {
      // A store of its own, whose server does not begin before the test says so.
      const dir = mkdtempSync(join(tmpdir(), 'understudy-slow-server-'))
      running.push({ stop: async () => rmSync(dir, { recursive: true, force: true }) })
      const held = `#!/bin/sh\ntouch ${dir}/asked\nuntil [ -e ${dir}/go ]; do sleep 0.02; done\nexec ${findProgram('redis-server')} "$@"\n`
      writeFileSync(join(dir, 'redis-server'), held, { mode: 0o755 })
      const understudy = await startUnderstudy(
        { stores: { own: 'managed:' }, routes: [{ name: 'all', keys: ['*'], source: 'own' }], log: { level: 'info' } },
        { env: { PATH: `${dir}:${process.env['PATH']}` }, until: 'nothing' },
      )
      running.push(understudy)
      await eventually(() => expect(existsSync(join(dir, 'asked'))).toBe(true), { timeoutMs: 30_000 })
      if (how === 'SIGHUP') understudy.signal('SIGHUP')
      else understudy.edit((text) => `${text}cutover: { holdTimeout: 3s }\n`)
      writeFileSync(join(dir, 'go'), '')
      await eventually(
        async () => {
          const { body } = await understudy.admin<Config>('/api/v1/config')
          expect(body.cutover.holdTimeoutMs).toBe(how === 'SIGHUP' ? 5_000 : 3_000)
        },
        { timeoutMs: 30_000 },
      )
    },
  )

  test('a broken file changes nothing and says so; the next good one is taken', async () => {
    const understudy = await understudyWith(twoStores(await redis(), await redis(), 'mirror'))
    const app = understudy.client()
    understudy.edit((text) => text.replace('phase: mirror', 'phase: sideways'))
    await eventually(async () => expect((await status(understudy)).lastReload.successful).toBe(false))
    expect(await understudy.metrics()).toContain('understudy_config_last_reload_successful 0')
    expect((await status(understudy)).routes['all']?.phase).toBe('mirror')
    expect(await app.set('a', '1')).toBe('OK')
    const refused = await understudy.admin<{ error: { code: string } }>('/api/v1/config/reload', {
      method: 'POST',
      body: '{}',
    })
    expect([refused.status, refused.body.error.code]).toEqual([422, 'CONFIG_INVALID'])
    const mended = 'the configuration file holds again what is in force'
    expect(understudy.stdout).not.toContain(mended)
    understudy.edit((text) => text.replace('phase: sideways', 'phase: mirror'))
    await eventually(() => expect(understudy.stdout).toContain(mended))
    expect(await understudy.metrics()).toContain('understudy_config_last_reload_successful 1')
    understudy.edit((text) => text.replace('phase: mirror', 'phase: shadow'))
    await eventually(async () => expect((await status(understudy)).routes['all']?.phase).toBe('shadow'))
  })

  test('a file that stays away is told as one with a mistake, until it is there again', async () => {
    const understudy = await understudyWith(twoStores(await redis(), await redis(), 'mirror'))
    const away = `${understudy.configPath}.away`
    renameSync(understudy.configPath, away)
    await eventually(async () => expect((await status(understudy)).lastReload.error).toContain('it does not exist'))
    expect(await understudy.metrics()).toContain('understudy_config_last_reload_successful 0')
    renameSync(away, understudy.configPath)
    await eventually(async () => expect((await status(understudy)).lastReload.successful).toBe(true))
  })

  test('what needs a restart is told until it is taken back, and is not shown as in force before', async () => {
    const understudy = await understudyWith(`${twoStores(await redis(), await redis(), 'mirror')}\n`)
    const config = async () => (await understudy.admin<Config>('/api/v1/config')).body
    const before = await config()
    expect((await status(understudy)).needsRestart).toEqual([])
    const elsewhere = '\nintentLog: false\ncutover: { holdTimeout: 3s }\n'
    understudy.edit((text) => text + elsewhere)
    await eventually(async () => expect((await status(understudy)).needsRestart).toEqual(['intentLog']))
    const reloaded = await understudy.admin<ReloadResult>('/api/v1/config/reload', { method: 'POST' })
    expect(reloaded.body).toMatchObject({ changed: false, needsRestart: ['intentLog'] })
    expect(await config()).toMatchObject({ intentLog: before.intentLog, cutover: { holdTimeoutMs: 3_000 } })
    understudy.edit((text) => text.replace('intentLog: false\n', ''))
    await eventually(async () => expect((await status(understudy)).needsRestart).toEqual([]))
  })

  test('another directory of a managed store needs a restart, and is not shown as in force before', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'understudy-data-dir-'))
    running.push({ stop: async () => rmSync(dir, { recursive: true, force: true }) })
    const one = join(dir, 'one')
    const store = { url: 'managed:', dataDir: one }
    const understudy = await startUnderstudy({
      stores: { own: store },
      routes: [{ name: 'all', keys: ['*'], source: 'own' }],
    })
    running.push(understudy)
    const directory = async () => (await understudy.admin<Config>('/api/v1/config')).body.stores['own']?.dataDir
    const asked = async () => (await status(understudy)).needsRestart
    const was = await directory()
    understudy.edit((text) => text.replaceAll(one, join(dir, 'two')))
    await eventually(async () => expect(await asked()).toEqual(['stores.own.dataDir']))
    expect(await directory()).toBe(was)
    expect(await understudy.client().call('CONFIG', 'GET', 'dir')).toEqual(['dir', one])
    understudy.edit((text) => text.replaceAll(join(dir, 'two'), one))
    await eventually(async () => expect(await asked()).toEqual([]))
  })

  test('SIGHUP reloads, also where the file was swapped as Kubernetes swaps a mounted directory', async () => {
    const source = await redis()
    const target = await redis()
    const mount = mkdtempSync(join(tmpdir(), 'understudy-mount-'))
    running.push({ stop: async () => rmSync(mount, { recursive: true, force: true }) })
    const listen = `listen: [{ url: "redis://127.0.0.1:${await freePort()}" }]\n`
    const admin = `admin: { url: "http://127.0.0.1:${await freePort()}" }\n`
    const first = mkdtempSync(join(mount, '..one-'))
    writeFileSync(join(first, 'understudy.yaml'), listen + admin + twoStores(source, target, 'mirror'))
    symlinkSync(first, join(mount, '..data'))
    symlinkSync(join('..data', 'understudy.yaml'), join(mount, 'understudy.yaml'))
    const understudy = await understudyWith(listen + admin + twoStores(source, target, 'mirror'))
    // The process of the support file serves its own copy: it is told to read the mounted one by a link in its place.
    rmSync(understudy.configPath)
    symlinkSync(join(mount, 'understudy.yaml'), understudy.configPath)
    understudy.signal('SIGHUP')
    await eventually(async () => expect((await status(understudy)).lastReload.successful).toBe(true))
    const second = mkdtempSync(join(mount, '..two-'))
    writeFileSync(join(second, 'understudy.yaml'), listen + admin + twoStores(source, target, 'shadow'))
    symlinkSync(second, join(mount, '..data_tmp'))
    renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
    await eventually(async () => expect((await status(understudy)).routes['all']?.phase).toBe('shadow'))
  })

  test('a configuration out of a pipe is read once, which the log says; nothing waits for more of it', async () => {
    const understudy = await understudyWith(twoStores(await redis(), await redis(), 'passthrough'))
    const text = readFileSync(understudy.configPath, 'utf8')
    unlinkSync(understudy.configPath)
    execFileSync('mkfifo', [understudy.configPath])
    const fed = writeFile(understudy.configPath, text)
    await understudy.restart()
    await fed
    expect((await status(understudy)).lastReload).toMatchObject({ successful: true })
    const { status: code, body } = await understudy.admin('/api/v1/config/reload', { method: 'POST' })
    expect([code, JSON.stringify(body)]).toEqual([422, expect.stringContaining('it is no regular file')])
    expect(
      (await understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body: '{"phase":"mirror"}' })).status,
    ).toBe(422)
    understudy.signal('SIGHUP')
    await eventually(async () => expect((await status(understudy)).lastReload.error).toContain('it is no regular file'))
    expect(understudy.stdout.match(/the configuration is no regular file/g)).toHaveLength(1)
    unlinkSync(understudy.configPath)
    writeFileSync(understudy.configPath, text.replace('phase: passthrough', 'phase: mirror'))
    understudy.signal('SIGHUP')
    await eventually(async () => expect((await status(understudy)).routes['all']?.phase).toBe('mirror'))
    expect(await understudy.stop()).toEqual({ code: 0, signal: null })
  })

  test('a secret that comes with a reload is in no line of the log, whoever writes it there', async () => {
    const understudy = await understudyWith(twoStores(await redis(), await redis(), 'passthrough'))
    const secret = 'a-store-password-4711'
    understudy.edit((text) => {
      const file = parseDocument(text)
      file.setIn(['stores', 'spare'], { url: 'redis://127.0.0.1:1', password: secret })
      return file.toString()
    })
    const inForce = async () => (await understudy.admin<Config>('/api/v1/config')).body
    await eventually(async () => expect((await inForce()).stores).toHaveProperty('spare'))
    const { status: answered } = await understudy.admin('/api/v1/routes/all/phase', {
      method: 'PUT',
      body: JSON.stringify({ phase: 'mirror', reason: `because of ${secret}, at night` }),
    })
    expect(answered).toBe(200)
    await eventually(() => expect(understudy.stdout).toContain(', at night'))
    expect(understudy.stdout + understudy.stderr).not.toContain(secret)
  })

  test('what is saved in the file right before a phase is changed comes first', async () => {
    const understudy = await understudyWith(twoStores(await redis(), await redis(), 'mirror'))
    for (const [holdTimeout, phase] of [
      ['3s', 'shadow'],
      ['4s', 'mirror'],
    ] as const) {
      understudy.edit((text) => `${text.replace(/^cutover:.*\n/m, '')}cutover: { holdTimeout: ${holdTimeout} }\n`)
      const body = JSON.stringify({ phase })
      expect((await understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body })).status).toBe(200)
      const { cutover } = (await understudy.admin<Config>('/api/v1/config')).body
      expect(cutover.holdTimeoutMs).toBe(Number.parseInt(holdTimeout, 10) * 1_000)
      expect((await status(understudy)).routes['all']?.phase).toBe(phase)
    }
  })

  test('a phase is refused while the file holds another change, which is not in force', async () => {
    const understudy = await understudyWith(
      `${twoStores(await redis(), await redis(), 'shadow')}  - { name: late, keys: ["late:{id}"], source: { store: old }, target: { store: new }, phase: passthrough }\n`,
    )
    understudy.edit((text) => text.replace('phase: passthrough', 'phase: switched'))
    await eventually(async () => expect((await status(understudy)).lastReload.successful).toBe(false))
    const body = JSON.stringify({ phase: 'mirror', force: true, reason: 'the target is broken' })
    const refused = await understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body })
    expect(JSON.stringify(refused.body)).toMatch(/other changes that are not in force \(route 'late'\)/)
    expect((await status(understudy)).routes).toMatchObject({
      all: { phase: 'shadow' },
      late: { phase: 'passthrough' },
    })
    understudy.edit((text) => text.replace('phase: switched', 'phase: passthrough'))
    await eventually(async () =>
      expect((await understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body })).status).toBe(200),
    )
    expect((await status(understudy)).routes).toMatchObject({
      all: { phase: 'mirror' },
      late: { phase: 'passthrough' },
    })
  })

  test('routes, stores and listeners change while a client stays connected', async () => {
    const source = await redis()
    const target = await redis()
    const understudy = await understudyWith(twoStores(source, target, 'mirror'))
    const app = understudy.client()
    await app.set('a', '1')
    const port = await freePort()
    understudy.edit((text) =>
      text
        .replace(/listen:\n/, `listen:\n  - url: redis://127.0.0.1:${port}\n`)
        .replace(
          'routes:\n',
          `routes:\n  - { name: tmp, keys: ["tmp:{id}"], source: { store: new }, phase: passthrough }\n`,
        ),
    )
    await eventually(async () => expect(Object.keys((await status(understudy)).routes)).toEqual(['tmp', 'all']))
    await app.set('tmp:1', 'x')
    expect(await target.client().get('tmp:1')).toBe('x')
    expect(await source.client().get('tmp:1')).toBeNull()
    expect(await understudy.client({ port }).get('a')).toBe('1')
  })

  test('who starts with one store adds the target later, with its route', async () => {
    const [source, target] = [await redis(), await redis()]
    const understudy = await understudyWith({
      stores: { old: { url: source.url } },
      routes: [{ name: 'all', keys: ['*'], source: { store: 'old' }, phase: 'passthrough' }],
    })
    const app = understudy.client()
    await app.set('before', '1')
    const id = await app.client('ID')
    understudy.edit((text) => {
      const file = parseDocument(text)
      file.setIn(['stores', 'new'], { url: target.url })
      file.setIn(['routes', 0, 'target'], { store: 'new' })
      file.setIn(['routes', 0, 'phase'], 'mirror')
      return file.toString()
    })
    await eventually(async () =>
      expect(await status(understudy)).toMatchObject({
        routes: { all: { phase: 'mirror', shadow: 'new' } },
        stores: { new: { up: true } },
      }),
    )
    await app.set('after', '2')
    await eventually(async () => expect(await target.client().get('after')).toBe('2'))
    expect(await app.client('ID')).toBe(id)
  })

  test('a managed store that leaves ends with its server and is shown no more; it comes back as another one', async () => {
    const source = await redis()
    const understudy = await understudyWith(`
stores: { old: { url: "${source.url}" }, own: { url: "managed:" } }
routes:
  - { name: all, keys: ["*"], source: { store: old }, target: { store: own }, phase: mirror }
log: { level: debug, format: json }
`)
    const app = understudy.client()
    const servers = () => managedServersOf(understudy)
    const reaches = async (key: string): Promise<void> => {
      await app.set(key, 'v')
      const client = understudy.client({ port: servers().at(-1)!.port })
      await eventually(async () => expect(await client.get(key)).toBe('v'))
      client.disconnect()
    }
    await eventually(() => expect(servers()).toHaveLength(1))
    await reaches('one')
    let text = ''
    understudy.edit((before) => {
      text = before
      const file = parseDocument(before)
      file.deleteIn(['stores', 'own'])
      file.deleteIn(['routes', 0, 'target'])
      file.setIn(['routes', 0, 'phase'], 'passthrough')
      return file.toString()
    })
    await eventually(async () => expect(Object.keys((await status(understudy)).stores)).toEqual(['old']))
    expect(await understudy.metrics()).not.toContain('store="own"')
    await eventually(() => expect(() => process.kill(servers()[0]!.pid, 0)).toThrow(/ESRCH/))
    understudy.edit(() => text)
    await eventually(async () => expect((await status(understudy)).stores['own']).toMatchObject({ up: true }))
    expect(servers()).toHaveLength(2)
    await reaches('two')
    expect(understudy.stdout).not.toContain('store connection lost')
  })

  test('a managed server that was started for a reload which is called off is ended again', async () => {
    const [source, stranger] = [await redis(), await redis()]
    const understudy = await understudyWith({
      stores: { old: { url: source.url } },
      routes: [{ name: 'all', keys: ['*'], source: 'old' }],
      log: { level: 'debug', format: 'json' },
    })
    understudy.edit((text) => {
      const file = parseDocument(text)
      file.setIn(['stores', 'own'], 'managed:')
      file.setIn(['listen', 1], { url: stranger.url })
      return file.toString()
    })
    await eventually(async () => expect((await status(understudy)).lastReload.error).toContain('called off'))
    expect(managedServersOf(understudy)).toHaveLength(1)
    await eventually(() => expect(() => process.kill(managedServersOf(understudy)[0]!.pid, 0)).toThrow(/ESRCH/))
  })

  test('a managed store whose server could not be started is started by the next reload', async () => {
    const understudy = await understudyWith({
      stores: { old: { url: (await redis()).url } },
      routes: [{ name: 'all', keys: ['*'], source: 'old' }],
    })
    const dataDir = join(understudy.stateDir, 'own')
    writeFileSync(dataDir, 'no directory')
    understudy.edit((text) => {
      const file = parseDocument(text)
      file.setIn(['stores', 'own'], { url: 'managed:', dataDir })
      return file.toString()
    })
    await eventually(async () => expect((await status(understudy)).lastReload.error).toContain('dataDir'))
    rmSync(dataDir)
    expect((await understudy.admin('/api/v1/config/reload', { method: 'POST' })).status).toBe(200)
    await eventually(async () => expect((await status(understudy)).stores['own']).toMatchObject({ up: true }))
  })

  test('jobs go to the stores in force, not to those of a file that was refused', async () => {
    const [source, target, stranger] = [await redis(), await redis(), await redis()]
    for (const server of [source, target, stranger]) await server.client().set('k', 'v')
    const understudy = await understudyWith(twoStores(source, target, 'switched'))
    const dataDir = join(understudy.stateDir, 'own')
    writeFileSync(dataDir, 'no directory')
    understudy.edit((text) => {
      const file = parseDocument(text)
      file.setIn(['stores', 'old', 'url'], stranger.url)
      file.setIn(['stores', 'own'], { url: 'managed:', dataDir })
      return file.toString()
    })
    await eventually(async () => expect((await status(understudy)).lastReload.error).toContain('dataDir'))
    await doJob(understudy, 'cleanup', 'all', { dryRun: false })
    expect(await Promise.all([source, target, stranger].map((server) => server.client().dbsize()))).toEqual([0, 1, 1])
  })

  test('a switch whose target is down is refused with the reason; the old phase stays', async () => {
    const target = await redis()
    const understudy = await understudyWith(twoStores(await redis(), target, 'shadow'))
    const app = understudy.client()
    await app.set('a', '1')
    await target.kill9()
    await eventually(async () => expect((await status(understudy)).stores['new']?.up).toBe(false))
    const path = '/api/v1/routes/all/phase'
    const dry = await understudy.admin<{ closedGates: string[] }>(path, {
      method: 'PUT',
      body: JSON.stringify({ phase: 'switched', dryRun: true }),
    })
    expect(dry.body.closedGates.join()).toContain("store 'new' does not answer")
    expect((await status(understudy)).routes['all']?.phase).toBe('shadow')
    expect(await app.incr('b')).toBe(1)
  })

  test('a phase that skips the mirroring is refused: the target lacks the data', async () => {
    const understudy = await understudyWith(twoStores(await redis(), await redis(), 'passthrough'))
    const refused = await understudy.admin<{ error: { code: string; message: string } }>('/api/v1/routes/all/phase', {
      method: 'PUT',
      body: JSON.stringify({ phase: 'done' }),
    })
    expect([refused.status, refused.body.error.code]).toEqual([409, 'GATE_CLOSED'])
    expect(refused.body.error.message).toContain('have not been mirrored')
  })
})

describe('start and stop', () => {
  test('the first lines say where to connect; SIGTERM drains and exits 0', async () => {
    const target = await redis()
    const understudy = await understudyWith(twoStores(await redis(), target, 'mirror'))
    await eventually(() => expect(understudy.stdout.split('\n').length).toBeGreaterThan(2))
    const [first, second] = understudy.stdout.split('\n')
    expect(first).toContain(`REDIS_URL=redis://127.0.0.1:${understudy.port}`)
    expect(second).toContain(understudy.adminUrl)
    const app = understudy.client()
    await Promise.all(Array.from({ length: 500 }, (_, i) => app.set(`k${i}`, 'v')))
    understudy.signal('SIGTERM')
    expect(await understudy.exited).toEqual({ code: 0, signal: null })
    expect(await target.client().dbsize()).toBe(500)
  })

  test('a used port is one line and exit code 3', async () => {
    const source = await redis()
    const understudy = await startUnderstudy(
      {
        listen: [{ url: source.url }],
        stores: { old: { url: 'redis://127.0.0.1:1' } },
        routes: [{ name: 'all', keys: ['*'], source: { store: 'old' }, phase: 'passthrough' }],
      },
      { until: 'nothing' },
    )
    running.push(understudy)
    expect((await understudy.exited).code).toBe(3)
    expect(understudy.stderr).toContain('the address is in use')
    expect(understudy.stderr.trim().split('\n')).toHaveLength(1)
  })
})
