import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { diskTrouble, inTransaction, openDatabase } from '../../src/state/database.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'state-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const ONE = ['CREATE TABLE a (x INTEGER)']
const TWO = [...ONE, 'ALTER TABLE a ADD COLUMN y TEXT']

test('makes the folder, for the owner only, and keeps what was committed', () => {
  const path = join(dir, 'deep', 'state.db')
  const first = openDatabase(path, ONE)
  first.exec('INSERT INTO a VALUES (1)')
  first.close()
  expect(statSync(join(dir, 'deep')).mode & 0o077).toBe(0)
  for (const name of ['state.db', 'state.db-wal']) {
    const keeper = openDatabase(path, ONE)
    expect(statSync(join(dir, 'deep', name)).mode & 0o077).toBe(0)
    keeper.close()
  }
  const second = openDatabase(path, TWO)
  expect(second.prepare('SELECT * FROM a').all()).toEqual([{ x: 1, y: null }])
  second.close()
})

test('tables of a later version are left alone', () => {
  const path = join(dir, 'state.db')
  openDatabase(path, TWO).close()
  expect(() => openDatabase(path, ONE)).toThrow(/later version of Understudy/)
  openDatabase(path, TWO).close()
})

test('a migration that fails leaves the tables as they were', () => {
  const path = join(dir, 'state.db')
  openDatabase(path, ONE).close()
  expect(() => openDatabase(path, [...TWO, 'nonsense'])).toThrow(/cannot be used/)
  const database = openDatabase(path, ONE)
  expect(database.prepare('SELECT * FROM a').all()).toEqual([])
  database.close()
})

test('a second process is told that the state directory is in use', () => {
  const path = join(dir, 'state.db')
  const first = openDatabase(path, ONE)
  expect(() => openDatabase(path, ONE)).toThrow(
    expect.objectContaining({ code: 'STATE_UNUSABLE', message: expect.stringContaining('in use by another process') }),
  )
  first.close()
  openDatabase(path, ONE).close()
})

test('a file that is no database is told apart', () => {
  const path = join(dir, 'state.db')
  writeFileSync(path, 'x'.repeat(8192))
  expect(() => openDatabase(path, ONE)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
})

test('a folder that cannot be made is named', () => {
  writeFileSync(join(dir, 'file'), '')
  expect(() => openDatabase(join(dir, 'file', 'state.db'), ONE)).toThrow(
    expect.objectContaining({ code: 'STATE_UNUSABLE', message: expect.stringContaining('state.db') }),
  )
})

test('a transaction is whole or nothing', () => {
  const database = openDatabase(':memory:', ONE)
  expect(() =>
    inTransaction(database, () => {
      database.exec('INSERT INTO a VALUES (1)')
      throw new Error('half-way')
    }),
  ).toThrow('half-way')
  inTransaction(database, () => database.exec('INSERT INTO a VALUES (2)'))
  expect(database.prepare('SELECT x FROM a').all()).toEqual([{ x: 2 }])
})

test('a disk that is full is told with the directory that needs room', () => {
  const database = openDatabase(join(dir, 'state.db'), [])
  const { page_count: pages } = database.prepare('PRAGMA page_count').get() as { page_count: number }
  database.exec(`PRAGMA max_page_count = ${pages + 1}`)
  let thrown: unknown
  try {
    database.exec('CREATE TABLE a (b BLOB); INSERT INTO a VALUES (randomblob(100000))')
  } catch (error) {
    thrown = error
  }
  expect(diskTrouble(thrown)?.message).toBe(`the disk of stateDir is full: make room for ${dir}`)
  database.close()
})
