import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
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
