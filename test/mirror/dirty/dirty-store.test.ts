import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DIRTY_MIGRATIONS } from '../../../src/mirror/dirty/dirty-database.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import { DirtyStore } from '../../../src/mirror/dirty/dirty-store.ts'
import { openDatabase } from '../../../src/state/database.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dirty-store-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const HOUR = 3_600_000
const EVENTS = { damaged: () => {}, failed: () => {}, recovered: () => {} }

test.for([
  ['keeps its age over a restart', -HOUR, HOUR],
  ['is as young as can be, and no younger, after a clock was set back', HOUR, 0],
] as const)('a dirty key %s', ([, markedMs, ageMs]) => {
  const database = openDatabase(join(dir, 'dirty.db'), DIRTY_MIGRATIONS)
  database
    .prepare('INSERT INTO dirty_keys VALUES (1, ?, 0, ?, ?, ?)')
    .run('all', Buffer.from('k'), 'shadow-error', Date.now() + markedMs)
  database.close()
  const set = new DirtySet(10)
  const store = new DirtyStore(dir, set, EVENTS)
  const age = performance.now() - set.figures.oldestMs('all')!
  store.close()
  expect(age).toBeGreaterThan(ageMs - 1)
  expect(age).toBeLessThan(ageMs + HOUR / 2)
})
