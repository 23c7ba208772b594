import { expect, test } from 'vitest'
import { MismatchControl } from '../../src/admin/mismatch-control.ts'
import type { Finding } from '../../src/compare/finding.ts'
import { configFromUrls } from '../../src/config/file/load.ts'
import type { Log } from '../../src/observability/log.ts'
import type { LogFields } from '../../src/observability/log-fields.ts'
import { IN_MEMORY, openDatabase } from '../../src/state/database.ts'
import { STATE_MIGRATIONS } from '../../src/state/migrations.ts'

const finding = (changes: Partial<Finding>): Finding => ({
  route: 'jobs',
  phase: 'shadow',
  command: 'GET',
  database: 0,
  key: Buffer.from('job:1'),
  class: 'value',
  cause: null,
  lackingOn: null,
  detail: 'The values differ.',
  paths: [],
  primary: 'string, 1 byte, #1',
  shadow: 'string, 1 byte, #2',
  count: 1,
  acknowledged: false,
  atMs: 0,
  ...changes,
})

function opened() {
  const said: LogFields[] = []
  const log = { warn: (_text: string, fields: LogFields = {}) => said.push(fields) } as unknown as Log
  const { config } = configFromUrls({ source: 'redis://127.0.0.1:1', target: 'redis://127.0.0.1:2' })
  const control = new MismatchControl(config, log, () => {})
  const database = openDatabase(IN_MEMORY, STATE_MIGRATIONS)
  control.open(database)
  return { control, said, database }
}

test('the log has one line a minute for each route, command and class, with the reads since the last', () => {
  const { control, said, database } = opened()
  for (const atMs of [0, 10, 59_999]) control.record(finding({ atMs, count: 2 }))
  control.record(finding({ atMs: 20, class: 'missing' }))
  control.record(finding({ atMs: 30, command: 'MGET', acknowledged: true }))
  control.record(finding({ atMs: 60_000 }))
  database.close()
  expect(said).toEqual([
    { route: 'jobs', command: 'GET', class: 'value', count: 2 },
    { route: 'jobs', command: 'GET', class: 'missing', count: 1 },
    { route: 'jobs', command: 'GET', class: 'value', count: 5 },
  ])
})

test('the log goes on when the clock is set back', () => {
  const { control, said, database } = opened()
  for (const atMs of [7_200_000, 0, 10]) control.record(finding({ atMs }))
  database.close()
  expect(said.map(({ count }) => count)).toEqual([1, 1])
})
