import { expect, test } from 'vitest'
import type { Job } from '../../src/jobs/job.ts'
import { unsettledVerify } from '../../src/jobs/unsettled-keys.ts'

let next = 1
const job = (kind: string, classes: Record<string, number>, clean = false, options: object = {}): Job =>
  ({ id: next++, kind, options, createdAt: new Date(next).toISOString(), report: { classes, clean } }) as unknown as Job
/** As `unsettledVerify` is told them: the newest first. */
const after = (...jobs: Job[]) => unsettledVerify(jobs.reverse(), 0)

const FOUND = () => job('verify', { value: 2, extra: 1 })

test('what a verify has listed is settled by a repair of it all, or by a verify of every key that finds nothing', () => {
  next = 1
  expect(after(FOUND())).toEqual({ job: 1, keys: 3, extra: true })
  expect(after(FOUND(), job('repair', {}, true))).toBeNull()
  expect(after(FOUND(), job('verify', {}, true))).toBeNull()
  expect(after()).toBeNull()
})

test('it is not by what has looked only, or at other keys, or has left some', () => {
  for (const behind of [
    () => job('repair', {}, true, { dryRun: true }),
    () => job('repair', { extra: 1 }),
    () => job('repair', {}, true, { from: ['dirty'] }),
    () => job('verify', {}, false, { sample: 0.1 }),
    () => job('backfill', {}, true),
  ]) {
    next = 1
    expect(after(FOUND(), behind())).toMatchObject({ job: 1, keys: 3 })
  }
  next = 1
  expect(after(FOUND(), job('verify', {}, false, { sample: 0.1 }), job('repair', {}, true))).toMatchObject({ job: 1 })
  // A repair takes what the newest verify lists.
  next = 1
  const some = () => job('verify', { value: 1 }, false, { sample: 0.01 })
  expect(after(FOUND(), some(), job('repair', {}, true))).toMatchObject({ job: 1, keys: 3 })
  next = 1
  expect(after(FOUND(), job('repair', {}, true), job('verify', { missing: 1 }))).toMatchObject({
    keys: 1,
    extra: false,
  })
})

test('one from before the two ends were what they are says nothing', () => {
  next = 1
  expect(unsettledVerify([FOUND()], 3)).toBeNull()
})
