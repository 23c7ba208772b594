import { expect, test } from 'vitest'
import { Journal } from '../../src/cutover/journal.ts'
import { OwedWrites } from '../../src/cutover/owed-writes.ts'
import { openStateDatabase } from '../../src/state/state-database.ts'
import { LogLines } from '../support/log-lines.ts'

test('the configuration that was refused last is known, until one comes in force', () => {
  const database = openStateDatabase('', () => {})
  const journal = new Journal(database, new OwedWrites(new LogLines()))
  expect(journal.whyRefused('one')).toBeNull()
  journal.refused('one', 'a gate', 1)
  journal.refused('two', 'another gate', 2)
  expect([journal.whyRefused('one'), journal.whyRefused('two')]).toEqual([null, 'another gate'])
  journal.forced('all', { from: 'shadow', to: 'switched', reason: 'a test', closedGates: [] }, 3)
  journal.entered()
  expect(journal.whyRefused('two')).toBeNull()
  expect(database.prepare('SELECT kind FROM journal').all()).toEqual([{ kind: 'forced' }])
  database.close()
})
