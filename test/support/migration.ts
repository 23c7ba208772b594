import { expect } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from './eventually.ts'
import { type RedisServer, startRedis } from './redis.ts'
import { startUnderstudy, type UnderstudyOptions, type UnderstudyProcess } from './understudy.ts'

/** Two servers with Understudy between them; `stop` ends all three. */
export interface Migration {
  readonly source: RedisServer
  readonly target: RedisServer
  readonly understudy: UnderstudyProcess
  stop(): Promise<void>
}

/** `fill`: what is in the source before Understudy comes. The stores are `old` and `new`. */
export async function startMigration(
  routes: readonly object[] = [mirroredRoute()],
  fill: (source: RedisServer) => Promise<unknown> = async () => {},
  options: UnderstudyOptions = {},
): Promise<Migration> {
  const source = await startRedis()
  const target = await startRedis()
  await fill(source)
  const stores = { old: { url: source.url }, new: { url: target.url } }
  const understudy = await startUnderstudy({ stores, routes }, options)
  return {
    source,
    target,
    understudy,
    async stop() {
      await understudy.stop()
      await Promise.all([source.stop(), target.stop()])
    },
  }
}

/** All keys from `old` to `new`. */
export function mirroredRoute(changes: object = {}): object {
  return { name: 'all', keys: ['*'], source: { store: 'old' }, target: { store: 'new' }, phase: 'mirror', ...changes }
}

/** `key:0`, `key:1`, ... with small values. */
export async function fillStrings(server: RedisServer, count: number): Promise<void> {
  const redis = server.client()
  for (let from = 0; from < count; from += 1000) {
    const pipeline = redis.pipeline()
    for (let i = from; i < Math.min(count, from + 1000); i++) pipeline.set(`key:${i}`, `value ${i}`)
    await pipeline.exec()
  }
}

/** Everything written has been acknowledged by the shadow, and no key is dirty. */
export async function mirrorSettled(understudy: UnderstudyProcess): Promise<void> {
  await eventually(async () => {
    const { routes } = (await understudy.admin<Status>('/api/v1/status')).body
    for (const { mirror } of Object.values(routes)) expect(mirror).toMatchObject({ backlog: 0, dirtyKeys: 0 })
  })
}
