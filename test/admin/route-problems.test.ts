import { expect, test } from 'vitest'
import { problemsOf } from '../../src/admin/route-problems.ts'
import type { RouteStatus } from '../../src/admin/status.ts'
import type { ScriptsAstray } from '../../src/cutover/scripts-gate.ts'
import { idOfFunction, idOfUnread } from '../../src/routing/script-id.ts'
import { FakeControl } from './fake-control.ts'

test('functions that could not be read are told apart from those that make names of keys themselves', async () => {
  const { jobs } = (await new FakeControl().status()).routes as { jobs: RouteStatus }
  const scriptsInDoubt = [idOfUnread('a'), idOfFunction('b'), idOfUnread('c')]
  const mirror = { ...jobs.mirror, needsVerify: false, verifyCauses: [], scriptsInDoubt }
  expect(problemsOf({ ...jobs, mirror }).map(({ text }) => text)).toEqual([
    'scripts or functions that make names of keys themselves: 1 (function b); under other names they reach the wrong keys',
    expect.stringMatching(
      /^functions that their store does not let be read: 2 \(function a, \.\.\.\); .*the right to FUNCTION LIST$/,
    ),
  ])
})

test('scripts that use keys which they do not declare are a problem only where such keys are elsewhere', async () => {
  const { jobs } = (await new FakeControl().status()).routes as { jobs: RouteStatus }
  const mirror = {
    ...jobs.mirror,
    needsVerify: false,
    verifyCauses: [],
    scriptsInDoubt: [idOfFunction('b'), idOfUnread('a')],
  }
  const told = (scriptsAstray: ScriptsAstray | null) =>
    problemsOf({ ...jobs, mirror: { ...mirror, scriptsAstray } }).map(({ text }) => text)
  expect(told('primaries')[0]).toMatch(/^scripts .* do not declare: 1 \(function b\); keys have several primaries/)
  expect(told('names')).toHaveLength(2)
  expect(told(null)).toEqual([])
})

test('what a verify has found stays told until it is repaired', async () => {
  const { rest } = (await new FakeControl().status()).routes as { rest: RouteStatus }
  const told = (extra: boolean) =>
    problemsOf({ ...rest, mirror: { ...rest.mirror, unsettledVerify: { job: 6, keys: 203, extra, turned: false } } })
  const listed =
    "verify 6 lists 203 keys ('understudy jobs keys 6' says why) that no repair or later verify has settled"
  expect(told(false)).toEqual([{ level: 'warn', text: `${listed}: run 'understudy repair ROUTE'`, verify: false }])
  expect(told(true)[0]!.text).toContain('--delete-extra')
})

test('what to do about keys that nobody can name is said once, in commands to be typed; no repair where it would harm', async () => {
  const { jobs } = (await new FakeControl().status()).routes as { jobs: RouteStatus }
  const told = (...verifyCauses: string[]) => {
    const mirror = { ...jobs.mirror, scriptsInDoubt: [], needsVerify: true, verifyCauses }
    const unsettledVerify = { job: 6, keys: 203, extra: true, turned: false }
    return problemsOf({ ...jobs, mirror: { ...mirror, unsettledVerify } }, 'jobs').map(({ text }) => text)
  }
  expect(told('shadow-restarted')).toEqual([
    "keys may differ that nobody can name (shadow-restarted): verify 6 lists 203 keys ('understudy jobs keys 6' says why) that no repair or later verify has settled: " +
      "run 'understudy repair jobs --delete-extra' (it deletes what only the shadow has), then 'understudy verify jobs'",
  ])
  const [kept, ...others] = told('primary-restarted')
  expect(others).toEqual([])
  expect(kept).toContain("'understudy phase jobs switched --force --reason TEXT' makes 'new' the primary")
  expect(kept).not.toContain('understudy repair')
})

test('a primary that was made one by force although it has never had all keys is told as that, where nothing else tells it', async () => {
  const { rest } = (await new FakeControl().status()).routes as { rest: RouteStatus }
  const told = (phase: 'shadow' | 'switched', unsettledVerify: RouteStatus['mirror']['unsettledVerify'] = null) => {
    const mirror = { ...rest.mirror, incompleteEnd: 'target' as const, unsettledVerify }
    return problemsOf({ ...rest, phase, primary: 'new', shadow: 'old', mirror }, 'rest')
  }
  const lacks = {
    level: 'warn',
    text: expect.stringMatching(
      /^'new', the primary, may lack what 'old' held before mirroring began: run 'understudy verify rest' and look at what it lists: .*'understudy phase rest shadow --force/,
    ),
    verify: false,
  }
  expect(told('switched')).toEqual([lacks])
  expect(told('shadow')).toEqual([])
  const listed = { job: 6, keys: 203, extra: true, turned: false }
  expect(told('switched', listed)).toEqual([{ ...lacks, text: expect.stringContaining('verify 6 lists 203 keys') }])
  expect(told('switched', { ...listed, turned: true })).toEqual([
    lacks,
    { ...lacks, text: expect.stringContaining('before any repair') },
  ])
})

test('a side that has never had all keys is not to become the primary, nor is the other one to be made what it is', async () => {
  const { jobs } = (await new FakeControl().status()).routes as { jobs: RouteStatus }
  expect(jobs).toMatchObject({ phase: 'shadow', primary: 'old', shadow: 'new' })
  const unsettledVerify = { job: 6, keys: 203, extra: true, turned: false }
  const told = (phase: 'shadow' | 'switched', incompleteEnd: 'source' | 'target' | null, ...verifyCauses: string[]) => {
    const mirror = { ...jobs.mirror, scriptsInDoubt: [], unsettledVerify, incompleteEnd, verifyCauses }
    const [primary, shadow] = phase === 'shadow' ? (['old', 'new'] as const) : (['new', 'old'] as const)
    const needsVerify = verifyCauses.length > 0
    return problemsOf({ ...jobs, phase, primary, shadow, mirror: { ...mirror, needsVerify } }, 'jobs').map(
      ({ text }) => text,
    )
  }
  // The source was restarted before a backfill has brought its keys over.
  expect(told('shadow', 'target', 'primary-restarted')).toEqual([
    expect.stringMatching(/'old', the primary, and 'new' may each lack what the other has/),
  ])
  // It was left by force before that.
  const [left, ...others] = told('switched', 'target')
  expect(others).toEqual([])
  expect(left).toContain("'understudy phase jobs shadow --force --reason TEXT' makes 'old' the primary")
  expect(left).not.toContain('understudy repair')
  expect(told('switched', 'target', 'shadow-restarted')).toEqual([expect.stringMatching(/may each lack/)])
  // What only the shadow lacks does no harm.
  expect(told('shadow', 'target')).toEqual([expect.stringContaining("'understudy repair jobs --delete-extra'")])
})
