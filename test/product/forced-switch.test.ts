import { afterEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { mirroredRoute, mirrorSettled } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

test('a forced switch past a gate that says nothing of it still asks for what was on its way', async () => {
  const [source, target] = [await startRedis(), await startRedis()]
  const understudy = await startUnderstudy({
    stores: { old: { url: source.url }, new: { url: target.url } },
    cutover: { minCompared: 1_000, holdTimeout: '50ms' },
    routes: [mirroredRoute()],
  })
  running.push(source, target, understudy)
  const app = understudy.client()
  await app.set('k', 'first')
  await mirrorSettled(understudy)
  target.pause()
  await app.set('k', 'on its way')
  const init = { method: 'PUT', body: JSON.stringify({ phase: 'switched', force: true, reason: 'nothing reads here' }) }
  const { body } = await understudy.admin<PhaseResult>('/api/v1/routes/all/phase', init)
  expect(body).toMatchObject({ to: 'switched' })
  const last = app.set('k', 'last')
  target.resume()
  await last
  await eventually(async () => expect(await source.client().get('k')).toBe('last'))
  expect(await target.client().get('k')).toBe('last')
  const { routes } = (await understudy.admin<Status>('/api/v1/status')).body
  expect(routes['all']!.mirror.verifyCauses).toEqual(['turned'])
})

test('what the former primary held before mirroring began is not overwritten by compare.repair behind a switch that was forced before a backfill', async () => {
  const [source, target] = [await startRedis(), await startRedis()]
  await source.client().hset('k', 'old', 1)
  const understudy = await startUnderstudy({
    stores: { old: { url: source.url }, new: { url: target.url } },
    routes: [mirroredRoute({ compare: { sample: '100%', repair: true } })],
  })
  running.push(source, target, understudy)
  const init = { method: 'PUT', body: JSON.stringify({ phase: 'switched', force: true, reason: 'a cache' }) }
  await understudy.admin('/api/v1/routes/all/phase', init)
  const app = understudy.client()
  const status = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!
  const lacks = expect.objectContaining({ level: 'warn', text: expect.stringMatching(/^'new', the primary, may lack/) })
  expect(await status()).toMatchObject({
    mirror: { incompleteEnd: 'target' },
    problems: expect.arrayContaining([lacks]),
  })
  /** The former primary has a field more, a client reads the key, and what follows from that has been done. */
  const differsOnce = async (key: string): Promise<void> => {
    await app.hset(key, 'new', 1)
    await eventually(async () => expect(await source.client().hget(key, 'new')).toBe('1'))
    const { mismatched } = (await status()).compare
    await source.client().hset(key, 'old', 1)
    await app.hgetall(key)
    await eventually(async () => expect((await status()).compare.mismatched).toBeGreaterThan(mismatched))
    await mirrorSettled(understudy)
  }
  await differsOnce('k')
  expect(await source.client().hgetall('k')).toEqual({ old: '1', new: '1' })
  // Nothing of it is wanted.
  await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
  await eventually(async () => expect(await status()).toMatchObject({ mirror: { incompleteEnd: null }, problems: [] }))
  await differsOnce('other')
  await eventually(async () => expect(await source.client().hgetall('other')).toEqual({ new: '1' }))
})

/** Two stores between which everything is equal, the target the primary. */
async function switched() {
  const [source, target] = [await startRedis(), await startRedis()]
  const understudy = await startUnderstudy({
    stores: { old: { url: source.url }, new: { url: target.url } },
    cutover: { holdTimeout: '50ms' },
    routes: [mirroredRoute({ phase: 'switched' })],
  })
  running.push(source, target, understudy)
  await understudy.client().mset('a', 'first', 'b', 'first')
  await mirrorSettled(understudy)
  return {
    source,
    target,
    understudy,
    causes: async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror.verifyCauses,
    force: async (phase: string) => {
      const init = {
        method: 'PUT',
        body: JSON.stringify({ phase, force: true, reason: 'it has what the other lacks' }),
      }
      expect(await understudy.admin('/api/v1/routes/all/phase', init)).toMatchObject({ status: 200 })
    },
    /** As it is said: no difference is left in the end. */
    mend: async () => {
      await doJob(understudy, 'verify', 'all')
      await doJob(understudy, 'repair', 'all', { deleteExtra: true })
      await doJob(understudy, 'verify', 'all')
    },
  }
}

test('what a primary that has come back empty has lost is kept by the way back to the store that has it', async () => {
  const { source, target, understudy, causes, force, mend } = await switched()
  await target.restart()
  await eventually(async () => expect(await causes()).toContain('primary-restarted'))
  await eventually(async () => expect(await understudy.client().set('c', 'since')).toBe('OK'))
  await mirrorSettled(understudy)
  await force('shadow')
  expect(await causes()).toContain('shadow-restarted')
  await mend()
  // Functions are compared by themselves, a moment later.
  await eventually(async () => expect(await causes()).toEqual([]))
  for (const store of [source, target])
    expect(await store.client().mget('a', 'b', 'c')).toEqual(['first', 'first', 'since'])
})

test('what a forced switch has left behind is kept by the way back', async () => {
  const { source, target, understudy, causes, force, mend } = await switched()
  const app = understudy.client()
  await source.client().config('SET', 'maxmemory', '1')
  await app.mset('a', 'last', 'new', 'last')
  await force('shadow')
  await source.client().config('SET', 'maxmemory', '0')
  expect(await causes()).toEqual(['turned'])
  await app.set('b', 'since')
  await mirrorSettled(understudy)
  await force('switched')
  expect(await causes()).toEqual(['turned-back'])
  await mend()
  // Functions are compared by themselves, a moment later.
  await eventually(async () => expect(await causes()).toEqual([]))
  for (const store of [source, target])
    expect(await store.client().mget('a', 'b', 'new')).toEqual(['last', 'since', 'last'])
})
