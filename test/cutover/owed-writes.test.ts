import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OwedWrites } from '../../src/cutover/owed-writes.ts'
import { IN_MEMORY, mustTakeWrites, openDatabase } from '../../src/state/database.ts'
import { eventually } from '../support/eventually.ts'
import { LogLines } from '../support/log-lines.ts'

let database: DatabaseSync
let log: LogLines
let owed: OwedWrites
beforeEach(() => {
  database = openDatabase(IN_MEMORY, ['CREATE TABLE said (word TEXT NOT NULL) STRICT'])
  log = new LogLines()
  owed = new OwedWrites(log)
})
afterEach(() => {
  owed.stop()
  database.close()
})

/** No write succeeds, as on a disk that is full: each throws. */
const disk = (takes: boolean): void => database.exec(`PRAGMA query_only = ${takes ? 'OFF' : 'ON'}`)
const say = (word: string): void =>
  owed.write(() => {
    database.prepare('INSERT INTO said VALUES (?)').run(word)
  })
const said = (): unknown[] =>
  database
    .prepare('SELECT word FROM said')
    .all()
    .map((row) => row['word'])

test('what the disk does not take is written in its order as soon as it does, and said once', async () => {
  disk(false)
  say('a')
  say('b')
  expect(() => owed.settle()).toThrow(/readonly/)
  expect(said()).toEqual([])
  expect(log.lines).toEqual([expect.stringMatching(/tried again each second.*stateDir cannot be written/)])
  disk(true)
  await eventually(() => expect(said()).toEqual(['a', 'b']))
  say('c')
  expect(said()).toEqual(['a', 'b', 'c'])
  expect(log.lines.slice(1)).toEqual([expect.stringContaining('has what was decided meanwhile')])
})

test('who asks before the second is over finds it written, if it can be', () => {
  disk(false)
  say('a')
  disk(true)
  owed.settle()
  expect(said()).toEqual(['a'])
})

test('what fails for another reason is told, and holds nothing up', () => {
  owed.write(() => database.exec('INSERT INTO nothing VALUES (1)'))
  say('a')
  owed.settle()
  expect(said()).toEqual(['a'])
  expect(log.lines).toEqual([expect.stringContaining('could not be written')])
})

test('the end of the process says what was never taken', () => {
  disk(false)
  say('a')
  owed.stop()
  expect(log.lines.at(-1)).toContain('never took')
})

test('whether the disk takes writes is found by one, also where nothing changes', () => {
  mustTakeWrites(database)
  disk(false)
  expect(() => mustTakeWrites(database)).toThrow(/readonly/)
})
