import { afterEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Phase } from '../../src/config/config.ts'
import { eventually } from '../support/eventually.ts'
import { type Migration, mirroredRoute, startMigration } from '../support/migration.ts'

const running: Migration[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

test('a primary that does not answer closes the gate of a step that takes the authority from it, and forcing it goes', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'switched' })])
  running.push(migration)
  const { understudy, source, target } = migration
  const to = async (phase: Phase, more: object = {}) =>
    (
      await understudy.admin<PhaseResult & { error?: { code: string; message: string } }>('/api/v1/routes/all/phase', {
        method: 'PUT',
        body: JSON.stringify({ phase, ...more }),
      })
    ).body
  await understudy.client().set('a', 1)
  await eventually(async () => expect(await source.client().get('a')).toBe('1'))
  const open = { route: 'all', open: true, reason: "store 'new', the primary until now, answers" }
  expect((await to('shadow', { dryRun: true })).gates).toContainEqual(open)
  expect((await to('done', { dryRun: true })).gates).toEqual([])

  await target.kill9()
  const says = /store 'new', the primary until now, does not answer: what it has not mirrored is lost; --force --reason/
  await eventually(async () =>
    expect((await to('shadow', { dryRun: true })).closedGates).toEqual([expect.stringMatching(says)]),
  )
  expect(await to('shadow', { force: true, reason: 'the target is gone' })).toMatchObject({ to: 'shadow' })
  expect(await understudy.client().get('a')).toBe('1')
}, 60_000)
