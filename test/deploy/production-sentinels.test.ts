import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { spawnTethered, type TetheredChild } from '../../src/base/tethered-child.ts'
import { ROOT } from '../docs/markdown.ts'
import { end } from '../support/child.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/ports.ts'

const children: TetheredChild[] = []
const clients: Redis[] = []
const dir = mkdtempSync(join(tmpdir(), 'understudy-production-'))
afterEach(async () => {
  for (const client of clients) client.disconnect()
  for (const child of children) await end(child, 'SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

interface Service {
  readonly command: readonly [string, string, string]
  readonly networks?: { readonly default: { readonly ipv4_address: string } }
}
const { services } = parse(readFileSync(join(ROOT, 'deploy/compose/production.yaml'), 'utf8'), { merge: true }) as {
  services: Record<string, Service>
}

test('the servers and Sentinels of the production example, by their own command lines, find each other, and a failover outlives a restart', async () => {
  const names = ['new-primary', 'new-replica', 'sentinel-1', 'sentinel-2', 'sentinel-3']
  const ports = new Map<string, number>()
  for (const name of names) ports.set(name, await freePort())
  writeFileSync(join(dir, 'new-password'), 'a-password')

  /** The container's command in a directory of ours, on a port of ours, by the program that is here. */
  const start = (name: string): TetheredChild => {
    const { command } = services[name]!
    mkdirSync(join(dir, name), { recursive: true })
    const script = command[2]
      .replaceAll('$$', '$')
      .replaceAll('/data', join(dir, name))
      .replaceAll('/run/secrets', dir)
      .replaceAll(
        `${services['new-primary']!.networks!.default.ipv4_address} 6379`,
        `127.0.0.1 ${ports.get('new-primary')}`,
      )
      .replace(
        /exec valkey-server (\S+)/,
        `exec redis-server $1 --port ${ports.get(name)} --bind 127.0.0.1 --dir ${join(dir, name)}`,
      )
    const child = spawnTethered('sh', ['-c', script])
    child.stdout.resume()
    child.stderr.resume()
    children.push(child)
    return child
  }
  const client = (name: string, password?: string): Redis => {
    const redis = new Redis({
      port: ports.get(name)!,
      ...(password === undefined ? {} : { password }),
      retryStrategy: () => 50,
      maxRetriesPerRequest: null,
    })
    redis.on('error', () => {})
    clients.push(redis)
    return redis
  }
  start('new-primary')
  expect(await client('new-primary', 'a-password').ping()).toBe('PONG')
  let replica = start('new-replica')
  const replicaClient = client('new-replica', 'a-password')
  await eventually(async () => expect((await replicaClient.role())[3]).toBe('connected'), { timeoutMs: 30_000 })
  for (const name of names.slice(2)) start(name)
  const sentinel = client('sentinel-1')
  await sentinel.call('SENTINEL', 'DEBUG', 'INFO-PERIOD', '200', 'PUBLISH-PERIOD', '1000').catch(() => {})
  await eventually(
    async () => {
      const state = (await sentinel.call('SENTINEL', 'MASTER', 'new')) as string[]
      const fact = (name: string) => state[state.indexOf(name) + 1]
      expect([fact('num-slaves'), fact('num-other-sentinels'), fact('quorum'), fact('flags')]).toEqual([
        '1',
        '2',
        '2',
        'master',
      ])
    },
    { timeoutMs: 30_000 },
  )
  await eventually(
    async () => {
      await sentinel.call('SENTINEL', 'FAILOVER', 'new').catch(() => {})
      await eventually(async () => expect((await replicaClient.role())[0]).toBe('master'), { timeoutMs: 6_000 })
    },
    { timeoutMs: 60_000 },
  )
  await eventually(() =>
    expect(readFileSync(join(dir, 'new-replica', 'valkey.conf'), 'utf8')).not.toMatch(/^replicaof /m),
  )
  await end(replica, 'SIGKILL')
  replica = start('new-replica')
  expect((await replicaClient.role())[0]).toBe('master')
}, 300_000)
