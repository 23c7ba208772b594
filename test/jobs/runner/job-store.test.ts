import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { JobKind, JobOptions } from '../../../src/jobs/runner/job.ts'
import { JobStore } from '../../../src/jobs/runner/job-store.ts'
import { unsettledVerify } from '../../../src/jobs/runner/unsettled-keys.ts'
import type { EndName } from '../../../src/jobs/stores/end-keys.ts'
import { openStateDatabase } from '../../../src/state/state-database.ts'

/** More than are kept of a kind. */
const MANY = 205
const SAMPLE: JobOptions = { sample: 0.1 }

let database: DatabaseSync
let store: JobStore
let nowMs: number
beforeEach(() => {
  database = openStateDatabase('', () => {})
  store = new JobStore(database)
  nowMs = 1
})
afterEach(() => database.close())

function begin(kind: JobKind, options: JobOptions = {}): number {
  const { id } = store.create(kind, 'all', options, nowMs++)
  store.enter(id, 'running', nowMs++)
  return id
}

function end(id: number, lists = 0, primary: EndName = 'source'): number {
  const keys = Array.from({ length: lists }, () => ({ database: 0, key: Buffer.from('k'), class: 'value', detail: '' }))
  const { progress, options } = store.get(id)!
  store.save(id, { progress, checkpoint: null, remarks: [], keys, listed: 0 })
  const clean = lists === 0 && options.sample === undefined
  const classes: Record<string, number> = lists > 0 ? { value: lists } : {}
  store.enter(id, 'done', nowMs++, { report: { summary: '', clean, notes: [], classes, primary } })
  return id
}

const ran = (kind: JobKind, options: JobOptions = {}, lists = 0, primary: EndName = 'source'): number =>
  end(begin(kind, options), lists, primary)

const verifies = (): number[] => [...store.done('all', ['verify'])].map(({ id }) => id)
const unsettled = () => unsettledVerify((...kinds) => store.done('all', kinds), 0, 'source')?.job

test('samples that repairs have settled are kept no longer than other jobs', () => {
  for (let i = 0; i < MANY; i++) {
    ran('verify', SAMPLE, 1)
    ran('repair')
  }
  begin('verify')
  expect(verifies()).toHaveLength(200)
}, 60_000)

test.each<[string, () => number]>([
  ['a dry run', () => found(() => ran('repair', { dryRun: true }))],
  ['a repair of other keys', () => found(() => ran('repair', { from: ['dirty', 'mismatches'] }))],
  ['a repair that has left some', () => found(() => ran('repair', {}, 1))],
  ['a repair of the other side', () => found(() => ran('repair', {}, 0, 'target'))],
  [
    'a repair behind a verify of every key that was paused meanwhile',
    () => {
      const paused = begin('verify')
      return found(() => {
        end(paused, 1)
        ran('repair')
      })
    },
  ],
])('a sample that lists keys is kept behind %s', (_, isRun) => {
  const id = isRun()
  expect(unsettled()).toBe(id)
  for (let i = 0; i < MANY; i++) ran('verify', SAMPLE)
  begin('verify')
  expect(verifies()).toHaveLength(id === 2 ? 202 : 201)
  expect(store.countKeys(id)).toBe(1)
  expect(unsettled()).toBe(id)
})

/** A sample that lists a key, and what ends behind it. */
function found(behind: () => unknown): number {
  const id = ran('verify', SAMPLE, 1)
  behind()
  return id
}
