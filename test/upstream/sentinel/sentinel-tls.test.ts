import { afterEach, expect, test } from 'vitest'
import type { StoreConfig, TlsConfig } from '../../../src/config/config.ts'
import { SentinelWatch } from '../../../src/upstream/sentinel/sentinel-watch.ts'
import { TestAuthority } from '../../support/certificates.ts'
import { configOf } from '../../support/data-path.ts'
import { freePort } from '../../support/ports.ts'
import { startRedis } from '../../support/redis.ts'
import { PRIMARY_NAME, SentinelServer } from '../../support/sentinels.ts'

const running: { stop(): Promise<unknown> | undefined }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

test('Sentinels and the store are reached over TLS, each with its own settings', async () => {
  const authority = await TestAuthority.create()
  running.push({ stop: async () => authority.remove() })
  const { cert, key } = await authority.issue('server')
  const secured = [
    ['tls-cert-file', cert],
    ['tls-key-file', key],
    ['tls-ca-cert-file', authority.caFile],
    ['tls-auth-clients', 'no'],
  ] as const
  const [port, sentinelPort] = [await freePort(), await freePort()]
  const store = await startRedis({
    args: ['--tls-port', `${port}`, ...secured.flatMap(([name, value]) => [`--${name}`, value])],
  })
  running.push(store)
  const sentinel = new SentinelServer(
    await freePort(),
    [
      `tls-port ${sentinelPort}`,
      'tls-replication yes',
      ...secured.map(([name, value]) => `${name} ${value}`),
      `sentinel monitor ${PRIMARY_NAME} 127.0.0.1 ${port} 1`,
      '',
    ].join('\n'),
    undefined,
  )
  running.push(sentinel)
  await sentinel.start()

  const trusting: TlsConfig = {
    caFile: authority.caFile,
    certFile: null,
    keyFile: null,
    serverName: null,
    verify: true,
  }
  const watch = async (tls: TlsConfig | null, ofSentinels: TlsConfig | null): Promise<SentinelWatch> => {
    const config: StoreConfig = {
      ...configOf({ stores: { only: { port: sentinelPort } } }).stores['only']!,
      kind: 'sentinel',
      sentinelName: PRIMARY_NAME,
      sentinel: { username: null, password: null, tls: ofSentinels },
      tls,
    }
    const made = new SentinelWatch({ store: config, onPrimary: () => {}, onChange: () => {} })
    running.push({ stop: async () => made.stop() })
    await made.start()
    return made
  }
  expect((await watch(trusting, trusting)).primary).toEqual({ kind: 'tcp', host: '127.0.0.1', port })
  const stranger = { ...trusting, caFile: null }
  expect((await watch(trusting, stranger)).view.error).toContain('stores.only.sentinel.tls.ca')
  const refused = (await watch(stranger, trusting)).view.error
  expect(refused).toContain(`the Sentinels name 127.0.0.1:${port} as the primary, and it cannot be reached`)
  expect(refused).toContain('stores.only.tls.ca')
}, 180_000)
