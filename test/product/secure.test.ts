import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Readiness } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { TestAuthority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/ports.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const APP = 'app-password-7531'
const OPS = 'ops-password-9642'

let authority: TestAuthority
let store: RedisServer
let understudy: UnderstudyProcess
let port: number
let socket: string

beforeAll(async () => {
  authority = await TestAuthority.create()
  const [server, client, own] = [
    await authority.issue('server'),
    await authority.issue('client'),
    await authority.issue('own'),
  ]
  const tlsPort = await freePort()
  store = await startRedis({
    args: [
      '--tls-port',
      tlsPort,
      '--tls-cert-file',
      server.cert,
      '--tls-key-file',
      server.key,
      '--tls-ca-cert-file',
      authority.caFile,
    ].map(String),
  })
  port = await freePort()
  socket = join(authority.dir, 'understudy.sock')
  writeFileSync(join(authority.dir, 'ops'), `${OPS}\n`)
  understudy = await startUnderstudy(
    {
      listen: [
        { url: `redis://127.0.0.1:${await freePort()}` },
        { url: `rediss://127.0.0.1:${port}`, tls: { ...own, ca: authority.caFile } },
        { url: `unix://${socket}`, mode: '0600' },
      ],
      stores: {
        secure: {
          url: `rediss://127.0.0.1:${tlsPort}`,
          tls: { ca: authority.caFile, cert: client.cert, key: client.key },
        },
      },
      routes: [{ name: 'all', keys: ['*'], source: 'secure' }],
      clients: { users: { default: { env: 'APP_PASSWORD' }, ops: { file: join(authority.dir, 'ops') } } },
    },
    { env: { APP_PASSWORD: APP } },
  )
})

afterAll(async () => {
  await understudy?.stop()
  await store?.stop()
  authority?.remove()
})

describe('everything encrypted and every client known', () => {
  test('applications work through TLS, a unix socket and a plain port, once they have logged in', async () => {
    const tls = {
      ca: readFileSync(authority.caFile),
      cert: readFileSync(join(authority.dir, 'client.crt')),
      key: readFileSync(join(authority.dir, 'client.key')),
    }
    const app = understudy.client({ port, tls, password: APP })
    expect(await app.set('k', 'v')).toBe('OK')
    expect(await app.multi().incr('n').get('k').exec()).toEqual([
      [null, 1],
      [null, 'v'],
    ])
    const ops = understudy.client({ username: 'ops', password: OPS })
    expect(await ops.call('ACL', 'WHOAMI')).toBe('ops')
    const local = await RawClient.openUnix(socket)
    expect(await local.ask('GET', 'k')).toBe('-NOAUTH Authentication required.\r\n')
    expect(await local.ask('AUTH', APP)).toBe('+OK\r\n')
    expect(await local.ask('GET', 'k')).toBe('$1\r\nv\r\n')
    local.destroy()
    expect((await understudy.admin<{ stores: object }>('/api/v1/status')).body.stores).toMatchObject({
      secure: { up: true },
    })
  })

  test('a value larger than any buffer goes through TLS on both sides at the pace of its reader', async () => {
    const ca = readFileSync(authority.caFile)
    const certificate = {
      cert: readFileSync(join(authority.dir, 'client.crt')),
      key: readFileSync(join(authority.dir, 'client.key')),
    }
    const raw = await RawClient.openTls(port, { ca, ...certificate })
    expect(await raw.ask('AUTH', APP)).toBe('+OK\r\n')
    const value = Buffer.alloc(30 * 1024 * 1024)
    for (let at = 0; at < value.length; at += 4096) value.writeUInt32LE(at, at)
    expect(await raw.ask('SET', 'large', value)).toBe('+OK\r\n')
    const other = understudy.client({ password: APP })
    for (let i = 0; i < 3; i++) {
      raw.socket.pause()
      raw.command('GET', 'large')
      expect(await other.ping()).toBe('PONG')
      raw.socket.resume()
      const reply = await raw.next()
      expect(reply.subarray(reply.indexOf('\n') + 1, -2).equals(value)).toBe(true)
    }
    raw.destroy()
  })

  test('a user that is added is let in after a reload; who is in stays', async () => {
    const before = understudy.client({ password: APP })
    expect(await before.ping()).toBe('PONG')
    writeFileSync(join(authority.dir, 'late'), 'late-password-1357')
    understudy.edit((text) =>
      text.replace('  users:\n', `  users:\n    late: { file: ${join(authority.dir, 'late')} }\n`),
    )
    const raw = await RawClient.open(understudy.port)
    await eventually(async () => expect(await raw.ask('AUTH', 'late', 'late-password-1357')).toBe('+OK\r\n'))
    expect(await before.ping()).toBe('PONG')
    raw.destroy()
  })

  test('no password is in a log, in the configuration that is shown, or in a metric', async () => {
    const shown = [
      understudy.stdout,
      understudy.stderr,
      JSON.stringify(await understudy.admin('/api/v1/config')),
      await understudy.metrics(),
    ]
    expect(shown[2]).toContain('"ops":["***"]')
    for (const text of shown) {
      for (const secret of [APP, OPS, 'late-password-1357']) expect(text).not.toContain(secret)
    }
  })
})

describe('a primary that wants a login, where the configuration has none', () => {
  test.each(['store', 'users', 'passthrough'])(
    'with `auth: %s` it is ready if clients bring one along',
    async (auth) => {
      const locked = await startRedis({ args: ['--requirepass', APP], password: APP })
      const behind = await startUnderstudy(
        {
          stores: { old: { url: `redis://127.0.0.1:${locked.port}` } },
          routes: [{ name: 'all', keys: ['*'], source: 'old' }],
          clients: { auth, ...(auth === 'users' ? { users: { default: 'another' } } : {}) },
        },
        { until: 'live' },
      )
      try {
        const reason = /it wants a login \(NOAUTH\), and the configuration has none: write stores\.old\.password/
        await eventually(async () => {
          const { body } = await behind.admin<Status>('/api/v1/status')
          expect(body.stores['old']).toMatchObject({ up: false, error: expect.stringMatching(reason) })
        })
        const readiness = await behind.admin<Readiness>('/readyz')
        if (auth === 'passthrough') {
          expect(readiness).toMatchObject({ status: 200, body: { ready: true, reasons: [] } })
          const { application } = (await behind.admin<Status>('/api/v1/status')).body
          expect(application).toEqual({ served: true, reasons: [] })
          expect(await behind.client({ password: APP }).set('k', 'v')).toBe('OK')
        } else {
          const said = [
            expect.stringMatching(/^the primary of route 'all', store 'old', serves no command: it wants a login/),
          ]
          expect(readiness).toMatchObject({ status: 503, body: { ready: false, reasons: said } })
          const { application } = (await behind.admin<Status>('/api/v1/status')).body
          expect(application.reasons).toEqual([
            expect.stringMatching(/^the primary of every route serves no command: it wants a login/),
          ])
          // As soon as it is let in without one.
          await locked.client().config('SET', 'requirepass', '')
          await eventually(async () => expect((await behind.admin('/readyz')).status).toBe(200))
        }
      } finally {
        await behind.stop()
        await locked.stop()
      }
    },
  )
})
