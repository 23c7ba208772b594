import { expect, test } from 'vitest'
import type { Job, JobKind } from '../../../src/jobs/runner/job.ts'
import { unsettledKeys, unsettledVerify } from '../../../src/jobs/runner/unsettled-keys.ts'

interface Ran {
  readonly kind: JobKind
  readonly classes: Record<string, number>
  readonly clean: boolean
  readonly options: object
  /** It had begun before the one before it did, and was paused. */
  readonly isResumed: boolean
  readonly primary?: 'source' | 'target'
}

function ran(kind: JobKind, classes: Record<string, number>, clean = false, options: object = {}): Ran {
  return { kind, classes, clean, options, isResumed: false }
}

function resumed(job: Ran): Ran {
  return { ...job, isResumed: true }
}

/** Jobs that were asked for all at once and ended one after the other, each 10 ms after it began, which is when the one before ended; numbered as they ended, from 1. */
function doneAfter(...jobs: Ran[]): (...kinds: JobKind[]) => Job[] {
  const done = jobs.map(({ kind, classes, clean, options, isResumed, primary }, i) => ({
    id: i + 1,
    kind,
    options,
    createdAt: new Date(0).toISOString(),
    startedAt: new Date(10 * i - (isResumed ? 15 : 0)).toISOString(),
    finishedAt: new Date(10 * (i + 1)).toISOString(),
    report: { classes, clean, ...(primary === undefined ? {} : { primary }) },
  })) as unknown as Job[]
  return (...kinds) => done.filter(({ kind }) => kinds.includes(kind)).reverse()
}

const after = (...jobs: Ran[]) => unsettledVerify(doneAfter(...jobs), Number.NEGATIVE_INFINITY, 'source')
const FOUND = ran('verify', { value: 2, extra: 1 })
const CLEAN = ran('verify', {}, true)
const REPAIRED = ran('repair', {}, true)

test('what a verify has listed is settled by a repair of it all, or by a verify of every key that finds nothing', () => {
  expect(after(FOUND)).toEqual({ job: 1, keys: 3, extra: true, turned: false })
  expect(after(FOUND, REPAIRED)).toBeNull()
  expect(after(FOUND, CLEAN)).toBeNull()
  expect(after()).toBeNull()
})

test('it is not by what has looked only, or at other keys, or has left some', () => {
  for (const behind of [
    ran('repair', {}, true, { dryRun: true }),
    ran('repair', { extra: 1 }),
    ran('repair', {}, true, { from: ['dirty'] }),
    ran('verify', {}, false, { sample: 0.1 }),
    ran('backfill', {}, true),
  ]) {
    expect(after(FOUND, behind)).toMatchObject({ job: 1, keys: 3 })
  }
  // A repair takes what verifies list back to the newest one of every key.
  for (const classes of [{}, { value: 1 }]) {
    const sampled = ran('verify', classes, false, { sample: 0.1 })
    expect(after(FOUND, sampled, REPAIRED)).toBeNull()
    expect(after(FOUND, ran('verify', { value: 1 }), sampled, REPAIRED)).toBeNull()
    expect(after(FOUND, REPAIRED, FOUND, sampled)).toMatchObject({ job: 'value' in classes ? 4 : 3 })
  }
  expect(after(FOUND, REPAIRED, ran('verify', { missing: 1 }))).toMatchObject({ keys: 1, extra: false })
})

test('a verify that was paused settles nothing that another one has found meanwhile, and is settled by nothing that ran meanwhile', () => {
  expect(after(FOUND, resumed(CLEAN))).toMatchObject({ job: 1, keys: 3 })
  expect(after(REPAIRED, resumed(FOUND))).toMatchObject({ job: 2, keys: 3 })
  expect(after(FOUND, resumed(ran('verify', { value: 1 })), REPAIRED)).toMatchObject({ job: 1, keys: 3 })
  expect(after(FOUND, resumed(ran('verify', { value: 1 })), CLEAN)).toBeNull()
})

test('one from while the other end was the primary is told as such, and no repair of the other side settles it', () => {
  const at = (primary: 'source' | 'target', job: Ran): Ran => ({ ...job, primary })
  const found = at('source', FOUND)
  expect(unsettledVerify(doneAfter(found), 0, 'source')).toMatchObject({ job: 1, turned: false })
  expect(unsettledVerify(doneAfter(found), 0, 'target')).toMatchObject({ job: 1, turned: true })
  expect(unsettledVerify(doneAfter(found, at('target', REPAIRED)), 0, 'target')).toMatchObject({ job: 1, turned: true })
  expect(unsettledVerify(doneAfter(found, at('source', REPAIRED)), 0, 'target')).toBeNull()
  expect(unsettledVerify(doneAfter(found, at('target', FOUND), at('target', REPAIRED)), 0, 'target')).toBeNull()
})

test('one from before the two ends were what they are says nothing, and hides nothing that one has found since', () => {
  expect(unsettledVerify(doneAfter(FOUND), 10, 'source')).toBeNull()
  const both = doneAfter(CLEAN, FOUND, resumed(ran('verify', { value: 1 })))
  expect(unsettledVerify(both, 10, 'source')).toMatchObject({ job: 2, keys: 3 })
  expect(unsettledKeys(both, 10)).toEqual({ kind: 'verify', id: 2, keys: 3 })
  expect(unsettledKeys(both, 20)).toBeNull()
})

test('what a job has left counts from when it began, however long it had waited for others', () => {
  const looked = ran('backfill', {}, true, { dryRun: true })
  const done = doneAfter(ran('cleanup', {}, true), ran('backfill', { failed: 2 }), looked)
  expect(unsettledKeys(done, 10)).toEqual({ kind: 'backfill', id: 2, keys: 2 })
  expect(unsettledKeys(done, 20)).toBeNull()
  expect(unsettledVerify(doneAfter(ran('cleanup', {}, true), FOUND), 10, 'source')).toMatchObject({ job: 2 })
})
