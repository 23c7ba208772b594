import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Config } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { keyspaceOf } from '../../src/config/keyspace.ts'
import { sameKeyspaces } from '../../src/cutover/same-keyspaces.ts'
import { freePort } from '../support/ports.ts'
import { startRedis } from '../support/redis.ts'

const config = (url: string): Config =>
  parseConfig(
    `stores: { only: { url: "${url}" } }\nroutes: [{ name: all, keys: ["*"], source: { store: only }, phase: passthrough }]`,
    { path: 'test.yaml', env: {} },
  ).config

const keyspace = ({ stores }: Config): string => keyspaceOf(stores['only']!)
const never = () => Promise.reject(new Error('nobody is to be asked'))

test('Sentinels and nodes of a cluster may be added and removed, as long as one stays', async () => {
  for (const [before, after, isSame] of [
    ['redis+sentinel://h1,h2/one', 'redis+sentinel://h2,h3/one', true],
    ['redis+sentinel://h1,h2/one', 'redis+sentinel://h3,h4/one', false],
    ['redis+sentinel://h1,h2/one', 'redis+sentinel://h2,h3/two', false],
    ['redis+cluster://h1,h2', 'redis+cluster://h2,h3', true],
    ['redis+cluster://h1,h2', 'redis+cluster://h3', false],
    ['redis+cluster://h1', 'redis://h1', false],
  ] as const) {
    const [old, next] = [config(before), config(after)]
    expect(await sameKeyspaces(old, next, never)).toEqual(new Map(isSame ? [[keyspace(next), keyspace(old)]] : []))
  }
})

test('a server is the same when it says the same run_id; another database of it is not, nor is one that says nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-same-'))
  const socket = join(folder, 'redis.sock')
  const server = await startRedis({ args: ['--unixsocket', socket] })
  const other = await startRedis()
  try {
    const old = config(server.url)
    const here = config(`unix://${socket}`)
    expect(await sameKeyspaces(old, here)).toEqual(new Map([[keyspace(here), keyspace(old)]]))
    const nobody = `redis://127.0.0.1:${await freePort()}`
    for (const url of [other.url, `unix://${socket}?db=1`, nobody])
      expect(await sameKeyspaces(old, config(url))).toEqual(new Map())
  } finally {
    await Promise.all([server.stop(), other.stop()])
    rmSync(folder, { recursive: true })
  }
})
