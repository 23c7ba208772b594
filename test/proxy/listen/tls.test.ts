import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { TLSSocket } from 'node:tls'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ListenTlsConfig } from '../../../src/config/config.ts'
import { tlsOptions } from '../../../src/upstream/connection/connect.ts'
import { TestAuthority, type TestCertificate } from '../../support/certificates.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { freePort } from '../../support/ports.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let redis: RedisServer
let authority: TestAuthority
let stranger: TestAuthority
let server: TestCertificate
let other: TestCertificate
let client: TestCertificate
let path: DataPathUnderTest

beforeAll(async () => {
  redis = await startRedis()
  authority = await TestAuthority.create()
  stranger = await TestAuthority.create('Somebody Else')
  server = await authority.issue('server')
  other = await authority.issue('other', ['other.example', '*.wild.example'])
  client = await authority.issue('client')
})

afterAll(async () => {
  await redis?.stop()
  authority?.remove()
  stranger?.remove()
})

afterEach(async () => {
  await path?.stop()
})

describe('a rediss:// listener', () => {
  test('serves commands, large replies and many commands at once as a plain one does', async () => {
    await listen({})
    const raw = await RawClient.openTls(path.port, { ca: readFileSync(authority.caFile) })
    expect(await raw.ask('PING')).toBe('+PONG\r\n')
    const large = Buffer.alloc(3_000_000, 'x')
    expect(await raw.ask('SET', 'large', large)).toBe('+OK\r\n')
    raw.command('GET', 'large')
    expect((await raw.next()).length).toBe(large.length + '$3000000\r\n\r\n'.length)
    for (let i = 0; i < 1_000; i++) raw.command('ECHO', `${i}`)
    const echoes = await raw.take(1_000)
    expect(echoes[999]).toBe('$3\r\n999\r\n')
    expect(await raw.ask('QUIT')).toBe('+OK\r\n')
    await raw.closed
  })

  test('answers what a client has said before it ended its side', async () => {
    await listen({})
    const raw = await RawClient.openTls(path.port, { ca: readFileSync(authority.caFile) })
    for (let i = 0; i < 500; i++) raw.command('ECHO', 'x'.repeat(1_000))
    const replies = raw.take(500)
    await raw.end()
    expect((await replies).length).toBe(500)
    await raw.closed
  })

  test('counts a client once, whether in its handshake or served', async () => {
    await listen({}, 1)
    const ca = readFileSync(authority.caFile)
    for (let i = 0; i < 100; i++) expect(await firstReply({ ca })).toBe('+PONG\r\n')
  })

  test('serves ioredis with TLS options', async () => {
    await listen({})
    const redis = new Redis({ port: path.port, host: '127.0.0.1', tls: { ca: readFileSync(authority.caFile) } })
    expect(await redis.set('k', 'v')).toBe('OK')
    expect(await redis.get('k')).toBe('v')
    redis.disconnect()
  })

  test('shows the certificate of the server that the client names', async () => {
    await listen({ certificates: [filesOf(server), filesOf(other)] })
    expect(await subjectFor('other.example')).toBe('other')
    expect(await subjectFor('a.wild.example')).toBe('other')
    expect(await subjectFor('unknown.example')).toBe('server')
    expect(await subjectFor('')).toBe('server')
  })

  test('demands a certificate of an authority it knows, when told so', async () => {
    await listen({ caFile: authority.caFile, clientCertificates: 'required' })
    const ca = readFileSync(authority.caFile)
    const raw = await RawClient.openTls(path.port, { ca, ...contentOf(client) })
    expect(await raw.ask('PING')).toBe('+PONG\r\n')
    await expect(firstReply({ ca })).rejects.toThrow()
    await expect(firstReply({ ca, ...contentOf(await stranger.issue('intruder')) })).rejects.toThrow()
    expect(warnings()).toContain('a client was turned away during its TLS handshake')
  })

  test('tells that its own certificate has expired, when a client turns away for it', async () => {
    const lifetime = { notBeforeDate: new Date('2020-01-01'), notAfterDate: new Date('2020-12-31') }
    await listen({ certificates: [filesOf(await authority.issue('expired', ['localhost'], lifetime))] })
    const options = ['--tls', '--cacert', authority.caFile, '-h', '127.0.0.1', '-p', `${path.port}`]
    const client = spawn('redis-cli', [...options, 'PING'], { stdio: 'ignore' })
    await once(client, 'close')
    await eventually(() =>
      expect(JSON.stringify(path.notices)).toContain('the certificate of this listener has expired'),
    )
  })

  test('takes clients without a certificate where it is optional, but none with a wrong one', async () => {
    await listen({ caFile: authority.caFile, clientCertificates: 'optional' })
    const ca = readFileSync(authority.caFile)
    expect(await firstReply({ ca })).toBe('+PONG\r\n')
    expect(await firstReply({ ca, ...contentOf(client) })).toBe('+PONG\r\n')
    await expect(firstReply({ ca, ...contentOf(await stranger.issue('intruder')) })).rejects.toThrow()
  })

  test('takes renewed certificates up by itself, and keeps the old one while the new one is half written', async () => {
    const renewed = await authority.issue('renewed')
    await listen({ certificates: [filesOf(renewed)] })
    const before = await RawClient.openTls(path.port, { ca: readFileSync(authority.caFile) })
    const serial = serialOf(before)
    const keyBefore = readFileSync(renewed.key)
    await authority.issue('renewed')
    const keyAfter = readFileSync(renewed.key)
    writeFileSync(renewed.key, keyBefore)
    await eventually(async () => {
      expect(await serialNow()).toBe(serial)
      expect(errors()).toContain('the renewed certificate cannot be used; the one before stays')
    })
    writeFileSync(renewed.key, keyAfter)
    await eventually(async () => expect(await serialNow()).not.toBe(serial))
    expect(await before.ask('PING')).toBe('+PONG\r\n')
  })

  test('is not kept from anybody by a pipe that has taken the place of a certificate, nor by a store with such a one', async () => {
    const renewed = await authority.issue('a pipe')
    await listen({ certificates: [filesOf(renewed)] })
    const ca = readFileSync(authority.caFile)
    expect(await firstReply({ ca })).toBe('+PONG\r\n')
    rmSync(renewed.key)
    execFileSync('mkfifo', [renewed.key])
    await eventually(async () => {
      expect(await firstReply({ ca })).toBe('+PONG\r\n')
      expect(JSON.stringify(path.notices)).toContain('it is no regular file')
    })
    const store = { kind: 'tcp', host: '127.0.0.1', port: redis.port } as const
    const tls = { caFile: renewed.key, certFile: null, keyFile: null, serverName: null, verify: true }
    expect(() => tlsOptions(store, tls)).toThrow('it is no regular file')
  })

  test('is not kept from others by a client that does not speak TLS or begins a handshake and stops', async () => {
    await listen({})
    const plain = await RawClient.open(path.port)
    plain.command('PING')
    await plain.closed
    const silent = await RawClient.open(path.port)
    expect(await firstReply({ ca: readFileSync(authority.caFile) })).toBe('+PONG\r\n')
    silent.destroy()
    const line = path.notices.find((n) => n.kind === 'log' && n.line.level === 'warn')
    expect(JSON.stringify(line)).toContain('must begin with rediss://')
  })

  test('answers one client too many in words, over TLS', async () => {
    await listen({}, 1)
    const ca = readFileSync(authority.caFile)
    const first = await RawClient.openTls(path.port, { ca })
    expect(await first.ask('PING')).toBe('+PONG\r\n')
    const second = await RawClient.openTls(path.port, { ca })
    expect(await second.text()).toBe('-ERR max number of clients reached\r\n')
    await second.closed
  })

  test('turns to TLS and back at the same address without losing a client', async () => {
    const port = await freePort()
    const listening = { url: `redis://127.0.0.1:${port}`, endpoint: { kind: 'tcp', host: '127.0.0.1', port } as const }
    const change = {
      endpoints: {},
      hold: [],
      needsEqual: [],
      forget: [],
      holdTimeoutMs: 1_000,
    }
    path = await startDataPath({ stores: { redis }, listen: listening })
    const plain = await path.raw()
    const secured = {
      ...path.config,
      listen: [{ ...path.config.listen[0]!, url: `rediss://127.0.0.1:${port}`, tls: tlsOf({}) }],
    }
    expect(await path.runtime.apply({ ...change, config: secured, generation: 1 })).toMatchObject({ ok: true })
    expect(await firstReply({ ca: readFileSync(authority.caFile) })).toBe('+PONG\r\n')
    expect(await plain.ask('PING')).toBe('+PONG\r\n')
    const broken = { certificates: [{ certFile: server.cert, keyFile: other.key }] }
    const refused = { ...secured, listen: [{ ...secured.listen[0]!, tls: tlsOf(broken) }] }
    expect(await path.runtime.apply({ ...change, config: refused, generation: 2 })).toMatchObject({
      ok: false,
      reason: expect.stringContaining('certificate cannot be used'),
    })
    expect(await path.runtime.apply({ ...change, config: path.config, generation: 3 })).toMatchObject({ ok: true })
    expect(await (await path.raw()).ask('PING')).toBe('+PONG\r\n')
  })
})

async function listen(tls: Partial<ListenTlsConfig>, maxClients = 100): Promise<void> {
  path = await startDataPath({
    stores: { redis },
    clients: { maxClients },
    listen: { url: 'rediss://127.0.0.1:0', tls: tlsOf(tls) },
  })
}

function tlsOf(tls: Partial<ListenTlsConfig>): ListenTlsConfig {
  return { certificates: [filesOf(server)], caFile: null, clientCertificates: 'none', ...tls }
}

function filesOf({ cert, key }: TestCertificate) {
  return { certFile: cert, keyFile: key }
}

function contentOf({ cert, key }: TestCertificate) {
  return { cert: readFileSync(cert), key: readFileSync(key) }
}

async function firstReply(options: Parameters<typeof RawClient.openTls>[1]): Promise<string> {
  const raw = await RawClient.openTls(path.port, options)
  try {
    return await raw.ask('PING')
  } finally {
    raw.destroy()
  }
}

async function subjectFor(servername: string): Promise<string> {
  const raw = await RawClient.openTls(path.port, { servername, rejectUnauthorized: false })
  const { subject } = (raw.socket as TLSSocket).getPeerCertificate()
  raw.destroy()
  return String(subject.CN)
}

function serialOf(raw: RawClient): string {
  return (raw.socket as TLSSocket).getPeerCertificate().fingerprint256
}

async function serialNow(): Promise<string> {
  const raw = await RawClient.openTls(path.port, { ca: readFileSync(authority.caFile) })
  const serial = serialOf(raw)
  raw.destroy()
  return serial
}

function messages(level: string): string[] {
  return path.notices.flatMap((n) => (n.kind === 'log' && n.line.level === level ? [n.line.msg] : []))
}
function warnings(): string[] {
  return messages('warn')
}
function errors(): string[] {
  return messages('error')
}
