import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { StoreConfig, TlsConfig } from '../../../src/config/config.ts'
import { type Health, HealthProbe } from '../../../src/upstream/health.ts'
import { TestAuthority, type TestCertificate } from '../../support/certificates.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { freePort } from '../../support/ports.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let authority: TestAuthority
let stranger: TestAuthority
let client: TestCertificate
let intruder: TestCertificate
/** Demands certificates of its clients. */
let strict: RedisServer
let strictPort: number
/** Its certificate is for localhost, 127.0.0.1 and redis.example; it demands nothing. */
let open: RedisServer
let openPort: number
let path: DataPathUnderTest

beforeAll(async () => {
  authority = await TestAuthority.create()
  stranger = await TestAuthority.create('Somebody Else')
  client = await authority.issue('client')
  intruder = await stranger.issue('intruder')
  strictPort = await freePort()
  openPort = await freePort()
  strict = await startTlsRedis(strictPort, await authority.issue('strict'), 'yes')
  open = await startTlsRedis(openPort, await authority.issue('open', ['redis.example']), 'no')
})

afterAll(async () => {
  await strict?.stop()
  await open?.stop()
  authority?.remove()
  stranger?.remove()
})

afterEach(async () => {
  await path?.stop()
})

describe('a rediss:// store', () => {
  test('is reached with its authority and our certificate, on every kind of connection', async () => {
    await through(strictPort, { caFile: authority.caFile, certFile: client.cert, keyFile: client.key })
    const redis = path.client()
    expect(await redis.set('k', 'v')).toBe('OK')
    expect(await redis.get('k')).toBe('v')
    const large = 'x'.repeat(2_000_000)
    await redis.set('large', large)
    expect(await redis.get('large')).toBe(large)
    const taken = path.client().blpop('queue', 0)
    await eventually(async () => expect(await redis.rpush('queue', 'a')).toBe(1))
    expect(await taken).toEqual(['queue', 'a'])
    const resp3 = await path.raw()
    expect(await resp3.ask('HELLO', '3')).toMatch(/^%/)
    expect(await resp3.ask('GET', 'k')).toBe('$1\r\nv\r\n')
    const keys = await Promise.all(Array.from({ length: 2_000 }, (_, i) => redis.set(`k${i}`, `${i}`)))
    expect(keys.length).toBe(2_000)
  })

  test('is verified by the name in its certificate, which may be told', async () => {
    await through(openPort, { caFile: authority.caFile, serverName: 'redis.example' })
    expect(await path.client().ping()).toBe('PONG')
    await path.stop()
    await through(openPort, { caFile: authority.caFile, serverName: 'wrong.example' })
    expect(await refusal()).toContain('stores.store.tls.serverName (DNS:redis.example')
  })

  test('of an authority nobody told about is refused, and the error says which setting is missing', async () => {
    await through(openPort, {})
    expect(await refusal()).toMatch(/no authority that is trusted here .* stores\.store\.tls\.ca/)
    await path.stop()
    await through(openPort, { verify: false })
    expect(await path.client().ping()).toBe('PONG')
  })

  test('that demands a certificate says so', async () => {
    await through(strictPort, { caFile: authority.caFile })
    expect(await refusal()).toContain('write stores.store.tls.cert and stores.store.tls.key')
    await path.stop()
    await through(strictPort, { caFile: authority.caFile, certFile: intruder.cert, keyFile: intruder.key })
    expect(await refusal()).toContain('have one signed by an authority it trusts')
  })

  test('that demands a certificate says so by TLS 1.2, too, and that ours has expired', async () => {
    const lifetime = { notBeforeDate: new Date('2020-01-01'), notAfterDate: new Date('2020-12-31') }
    const expired = await authority.issue('expired', ['localhost'], lifetime)
    await through(strictPort, { caFile: authority.caFile, certFile: expired.cert, keyFile: expired.key })
    expect(await refusal()).toContain('our certificate in stores.store.tls.cert has expired')
    await path.stop()
    const admin = await RawClient.open(strict.port)
    expect(await admin.ask('CONFIG', 'SET', 'tls-protocols', 'TLSv1.2')).toBe('+OK\r\n')
    await through(strictPort, { caFile: authority.caFile })
    expect(await refusal()).toContain('write stores.store.tls.cert and stores.store.tls.key')
    expect(await admin.ask('CONFIG', 'SET', 'tls-protocols', '')).toBe('+OK\r\n')
    admin.destroy()
  })

  test('and a plain one are told apart, either way round', async () => {
    await through(open.port, { caFile: authority.caFile }, 200)
    expect(await refusal()).toContain('write redis:// in stores.store.url')
    await path.stop()
    path = await startDataPath({ stores: { store: { port: openPort } } })
    expect(await refusal()).toContain('speaks TLS on this port: write rediss:// in stores.store.url')
  })

  test('with a certificate that was renewed is reached without a restart, by the health probe too', async () => {
    const mine = await stranger.issue('renewable')
    const tls = { caFile: authority.caFile, certFile: mine.cert, keyFile: mine.key }
    await through(strictPort, tls)
    const health: Health[] = []
    const store = path.config.stores['store'] as StoreConfig
    const probe = new HealthProbe(
      store,
      store.endpoints[0]!,
      () => {},
      (now) => health.push({ ...now }),
    )
    await probe.start()
    expect(probe.health.up).toBe(false)
    writeFileSync(mine.key, readFileSync(client.key))
    writeFileSync(mine.cert, readFileSync(client.cert))
    await eventually(async () => expect(await path.client().ping()).toBe('PONG'))
    await eventually(() => expect(probe.health.up).toBe(true))
    probe.stop()
  })
})

async function startTlsRedis(
  port: number,
  { cert, key }: TestCertificate,
  clients: 'yes' | 'no',
): Promise<RedisServer> {
  const args = ['--tls-port', port, '--tls-cert-file', cert, '--tls-key-file', key]
  return startRedis({
    args: [...args, '--tls-ca-cert-file', authority.caFile, '--tls-auth-clients', clients].map(String),
  })
}

async function through(port: number, tls: Partial<TlsConfig>, connectTimeoutMs = 2_000): Promise<void> {
  const whole = { caFile: null, certFile: null, keyFile: null, serverName: null, verify: true, ...tls }
  path = await startDataPath({ stores: { store: { port, tls: whole, connectTimeoutMs } } })
}

/** What a client is told once the store has turned us away. */
async function refusal(): Promise<string> {
  const raw = await path.raw()
  return eventually(async () => {
    const reply = await raw.ask('PING')
    expect(reply).toMatch(/is down/)
    expect(reply).not.toMatch(/not connected/)
    return reply
  })
}
