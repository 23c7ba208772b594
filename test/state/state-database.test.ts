import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/state/database.ts'
import { STATE_MIGRATIONS } from '../../src/state/migrations.ts'
import { openStateDatabase } from '../../src/state/state-database.ts'

test('a damaged state.db is set aside and said to be', () => {
  const dir = mkdtempSync(join(tmpdir(), 'state-'))
  const damage = 'no database'.repeat(1000)
  writeFileSync(join(dir, 'state.db'), damage)
  const said: string[] = []
  const database = openStateDatabase(dir, (_error, setAside) => said.push(setAside))
  database.close()
  expect(said).toHaveLength(1)
  expect(existsSync(said[0]!)).toBe(true)
  expect(readdirSync(dir)).toContain('state.db')
  openStateDatabase(dir, () => said.push('again')).close()
  expect(said).toHaveLength(1)
  rmSync(dir, { recursive: true })
})

test('state.db of every earlier version is brought up to date with what is in it; one of a later version is refused', () => {
  for (let version = 1; version < STATE_MIGRATIONS.length; version++) {
    const dir = mkdtempSync(join(tmpdir(), 'understudy-older-'))
    try {
      const older = openDatabase(join(dir, 'state.db'), STATE_MIGRATIONS.slice(0, version))
      const tables = older.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'journal'").all()
      if (tables.length > 0)
        older.prepare(`INSERT INTO journal (at, kind, route, detail) VALUES (1, 'forced', 'all', '{}')`).run()
      older.close()
      const now = openStateDatabase(dir, (error) => expect.fail(error.message))
      expect(now.prepare('SELECT count(*) AS n FROM route_mirroring').get()).toEqual({ n: 0 })
      if (tables.length > 0)
        expect(now.prepare('SELECT at, kind, route FROM journal').all()).toEqual([
          { at: 1, kind: 'forced', route: 'all' },
        ])
      now.close()
      expect(() => openDatabase(join(dir, 'state.db'), STATE_MIGRATIONS.slice(0, version))).toThrow(
        /written by a later version of Understudy .*use that version, or another stateDir/,
      )
    } finally {
      rmSync(dir, { recursive: true })
    }
  }
})
