import { afterEach, expect, test } from 'vitest'
import type { PhaseResult, Status } from '../../src/admin/control.ts'
import { eventually } from '../support/eventually.ts'
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
