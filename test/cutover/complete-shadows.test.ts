import { expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { endedAfterEach } from '../support/running.ts'
import { startUnderstudy } from '../support/understudy.ts'

const { running } = endedAfterEach()

test('what is made of several keys is copied for as long as the shadow lacks some, and no longer', async () => {
  const migration = await startMigration(undefined, (server) => server.client().zadd('x', 5, 'm'))
  running.push(migration)
  const { source, target, understudy } = migration
  const to = async (phase: string): Promise<void> => {
    const init = { method: 'PUT', body: JSON.stringify({ phase }) }
    const { body } = await understudy.admin<PhaseResult & { error?: object }>('/api/v1/routes/all/phase', init)
    expect(body.error).toBeUndefined()
  }
  const app = () => understudy.client()
  const union = async (made: string, of: string): Promise<void> => {
    await app().zadd(of, 1, 'm')
    expect(await app().zunionstore(made, 2, 'x', of)).toBe(1)
  }
  const comesTo = (at: RedisServer, made: string) =>
    eventually(async () => expect(await at.client().zscore(made, 'm')).toBe('6'))
  const lacksIt = async (at: RedisServer, made: string): Promise<void> => {
    await mirrorSettled(understudy)
    expect(await at.client().zscore(made, 'm')).toBe('1')
  }

  await union('a', 'y')
  await comesTo(target, 'a')
  await understudy.restart()
  await union('b', 'y')
  await comesTo(target, 'b')
  expect(await target.client().exists('x')).toBe(0)

  await doJob(understudy, 'backfill', 'all')
  // Who takes it away there shows that the command itself goes to the shadow.
  await target.client().del('x')
  await union('c', 'y')
  await lacksIt(target, 'c')
  await understudy.restart()
  await union('d', 'y')
  await lacksIt(target, 'd')

  await to('passthrough')
  await target.client().flushall()
  await to('mirror')
  await union('e', 'y')
  await comesTo(target, 'e')
  await doJob(understudy, 'backfill', 'all')
  await to('switched')
  await union('f', 'y')
  await comesTo(source, 'f')
  await doJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect(await source.client().exists('x')).toBe(0)
  await union('g', 'z')
  await comesTo(source, 'g')
  expect(await source.client().exists('x')).toBe(0)
})

test('a shadow that holds keys of another time is not complete before a verify has found no difference', async () => {
  const [source, target] = await Promise.all([startRedis(), startRedis()])
  await source.client().set('a', 1)
  await target.client().zadd('x', 5, 'm')
  const understudy = await startUnderstudy({
    stores: { old: { url: source.url }, new: { url: target.url } },
    routes: [mirroredRoute()],
  })
  running.push({ stop: () => Promise.all([understudy.stop(), source.stop(), target.stop()]) })
  await doJob(understudy, 'backfill', 'all')
  const app = understudy.client()
  await app.zadd('y', 1, 'm')
  expect(await app.zunionstore('d', 2, 'x', 'y')).toBe(1)
  await eventually(async () => expect(await target.client().zscore('d', 'm')).toBe('1'))
})
