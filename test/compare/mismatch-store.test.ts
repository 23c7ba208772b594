import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Finding } from '../../src/compare/finding.ts'
import { MismatchStore } from '../../src/compare/mismatch-store.ts'
import { openDatabase } from '../../src/state/database.ts'
import { STATE_MIGRATIONS } from '../../src/state/migrations.ts'

const NOW = Date.parse('2026-05-01T12:00:00Z')
const DAY = 24 * 3_600_000

let dir = ''
let store: MismatchStore
let close: () => void

function open(): void {
  const database = openDatabase(join(dir, 'state.db'), STATE_MIGRATIONS)
  store = new MismatchStore(database)
  close = () => database.close()
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mismatches-'))
  open()
})
afterEach(() => {
  close()
  rmSync(dir, { recursive: true })
})

function finding(changes: Partial<Omit<Finding, 'key'>> & { key?: string } = {}): Finding {
  return {
    route: 'jobs',
    phase: 'shadow',
    command: 'GET',
    database: 0,
    class: 'value',
    cause: null,
    lackingOn: null,
    detail: 'The values differ.',
    paths: [],
    primary: 'string, 1 byte, #1',
    shadow: 'string, 1 byte, #2',
    count: 1,
    acknowledged: false,
    atMs: NOW,
    ...changes,
    key: Buffer.from(changes.key ?? 'job:1'),
  }
}

describe('mismatches', () => {
  test('of one route, command, class and key pattern are one line, with the latest key as example', () => {
    store.add(finding())
    store.add(finding({ key: 'job:1', atMs: NOW + 1 }))
    store.add(finding({ key: 'job:22', atMs: NOW + 2, count: 5, detail: 'Other.', paths: ['$.a'] }))
    store.add(finding({ key: 'job:1', class: 'missing', atMs: NOW + 3 }))
    store.add(finding({ key: 'job:1', cause: 'eviction', class: 'missing', atMs: NOW + 4 }))
    const list = store.list({}, NOW)
    expect(list.map((one) => [one.class, one.cause, one.pattern, one.count, one.keys])).toEqual([
      ['missing', 'eviction', 'job:<n>', 1, 1],
      ['missing', null, 'job:<n>', 1, 1],
      ['value', null, 'job:<n>', 7, 2],
    ])
    expect(list[2]).toMatchObject({
      key: 'job:22',
      detail: 'Other.',
      paths: ['$.a'],
      firstSeen: '2026-05-01T12:00:00.000Z',
      lastSeen: '2026-05-01T12:00:00.002Z',
    })
  })

  test('survive a restart, and keep their numbers', () => {
    const { id } = store.add(finding())
    close()
    open()
    expect(store.list({}, NOW)).toMatchObject([{ id, count: 1 }])
    expect(store.add(finding()).id).toBe(id)
    expect(store.list({}, NOW)).toMatchObject([{ id, count: 2 }])
    expect(store.totals('jobs')).toEqual([{ route: 'jobs', class: 'value', command: 'GET', count: 1 }])
  })

  test('are filtered by route, class, command and number', () => {
    store.add(finding({ key: 'a' }))
    store.add(finding({ key: 'b', route: 'rest', atMs: NOW + 1 }))
    store.add(finding({ key: 'c', class: 'ttl', command: 'PTTL', atMs: NOW + 2 }))
    const keys = (filter: Parameters<MismatchStore['list']>[0]) => store.list(filter, NOW).map(({ key }) => key)
    expect(keys({ route: 'rest' })).toEqual(['b'])
    expect(keys({ class: 'ttl' })).toEqual(['c'])
    expect(keys({ command: 'GET' })).toEqual(['b', 'a'])
    expect(keys({ limit: 2 })).toEqual(['c', 'b'])
    expect([...store.keys({ route: 'jobs' }, NOW)].map(({ key }) => key)).toEqual(['c', 'a'])
  })

  test('are exported key by key', () => {
    const { id } = store.add(finding({ key: 'job:1' }))
    store.add(finding({ key: 'job:2', atMs: NOW + 1 }))
    expect([...store.keys({}, NOW)]).toMatchObject([
      { mismatch: id, key: 'job:2', command: 'GET', route: 'jobs', count: 1 },
      { mismatch: id, key: 'job:1' },
    ])
    store.acknowledgements.make(
      { route: 'jobs', pattern: 'job:<n>', command: null, class: null, untilMs: null },
      'known',
      NOW,
    )
    store.add(finding({ key: 'new' }))
    expect([...store.keys({ acknowledged: false }, NOW)].map(({ key }) => key)).toEqual(['new'])
    expect([...store.keys({ acknowledged: true }, NOW)].map(({ key }) => key)).toEqual(['job:2', 'job:1'])
  })

  test('go when their keys are equal again, unless they were seen since, or lie in no data', () => {
    const open = () => store.list({}, NOW).map(({ key, cause, keys }) => [key, cause, keys])
    store.add(finding({ key: 'job:1' }))
    store.add(finding({ key: 'job:2', atMs: NOW + 1 }))
    store.add(finding({ key: 'job:1', cause: 'same-data', atMs: NOW + 2 }))
    store.add(finding({ key: 'job:1', database: 3, command: 'TYPE', atMs: NOW + 3 }))
    store.add(finding({ key: 'job:1', route: 'rest', atMs: NOW + 4 }))
    store.mended('jobs', 0, ['job:1'], NOW + 10, NOW + 30)
    expect(open()).toEqual([
      ['job:1', null, 1],
      ['job:1', null, 1],
      ['job:1', 'same-data', 1],
      ['job:2', null, 1],
    ])
    // The latest key is the example: another takes its place.
    store.add(finding({ key: 'job:9', atMs: NOW + 5, detail: 'Other.' }))
    store.mended('jobs', 0, ['job:9'], NOW + 10, NOW + 30)
    expect(store.list({}, NOW)).toContainEqual(expect.objectContaining({ key: 'job:2', detail: 'The values differ.' }))
    store.add(finding({ key: 'job:2', atMs: NOW + 20 }))
    store.mended('jobs', 0, ['job:2'], NOW + 10, NOW + 30)
    expect(open()).toContainEqual(['job:2', null, 1])
    store.mended('jobs', 0, ['job:2'], NOW + 30, NOW + 30)
    expect(open()).not.toContainEqual(['job:2', null, 1])
  })

  test('go when their keys are equal again although the clock was set back since they were seen', () => {
    store.add(finding({ key: 'job:1', atMs: NOW + DAY }))
    store.add(finding({ key: 'job:2', atMs: NOW + 5 }))
    store.mended('jobs', 0, ['job:1', 'job:2'], NOW, NOW + 10)
    expect([...store.keys({}, NOW)].map(({ key }) => key)).toEqual(['job:2'])
    store.add(finding({ key: 'other', atMs: NOW + DAY }))
    store.mended('jobs', 0, ['other'], NOW, NOW + 10)
    expect(store.list({}, NOW).map(({ pattern }) => pattern)).toEqual(['job:<n>'])
  })

  test('that are too old go, and so do their keys', () => {
    store.add(finding({ key: 'old', atMs: NOW - 31 * DAY }))
    store.add(finding({ key: 'young' }))
    store.sweep(NOW)
    expect(store.list({}, NOW).map(({ key }) => key)).toEqual(['young'])
    expect([...store.keys({}, NOW)].map(({ key }) => key)).toEqual(['young'])
  })

  test('are bounded in number: the oldest go', () => {
    const letters = (i: number) => [...String(i)].map((digit) => 'abcdefghij'[Number(digit)]).join('')
    for (let i = 0; i < 2_150; i++) store.add(finding({ key: `k:${letters(i)}`, atMs: NOW + i }))
    store.sweep(NOW)
    const list = store.list({ limit: 10_000 }, NOW)
    expect(list).toHaveLength(2_000)
    expect(list[0]!.key).toBe(`k:${letters(2_149)}`)
    expect([...store.keys({}, NOW)]).toHaveLength(2_000)
  })

  test('the metric counts what was confirmed and not acknowledged, since the start', () => {
    store.add(finding({ count: 3 }))
    store.add(finding({ acknowledged: true }))
    store.add(finding({ cause: 'baseline' }))
    expect(store.totals('jobs')).toEqual([{ route: 'jobs', class: 'value', command: 'GET', count: 3 }])
    expect(store.totals('rest')).toEqual([])
  })
})

describe('acknowledgements', () => {
  const all = { route: 'jobs', pattern: null, command: null, class: null, untilMs: null }

  test('mark what they cover, until their time has come', () => {
    store.add(finding({ key: 'job:1' }))
    store.add(finding({ key: 'other' }))
    const { id } = store.acknowledgements.make(
      { ...all, pattern: 'job:<n>', class: 'value', untilMs: NOW + DAY },
      'known',
      NOW,
    )
    const known = (nowMs: number) => store.list({ acknowledged: true }, nowMs).map(({ key }) => key)
    expect(known(NOW)).toEqual(['job:1'])
    expect(store.list({ acknowledged: false }, NOW).map(({ key }) => key)).toEqual(['other'])
    expect(store.list({ acknowledged: true }, NOW)[0]!.acknowledged).toEqual({
      until: '2026-05-02T12:00:00.000Z',
      reason: 'known',
    })
    expect(known(NOW + DAY)).toEqual([])
    expect(store.acknowledgements.standing(NOW + DAY)).toEqual([])
    expect(store.acknowledgements.revoke(id!)).toBe(true)
    expect(store.acknowledgements.revoke(id!)).toBe(false)
    expect(known(NOW)).toEqual([])
  })

  test('survive a restart; those of the configuration are given anew', () => {
    store.acknowledgements.make(all, 'made', NOW)
    store.acknowledgements.configure([{ ...all, route: 'rest', id: null, reason: 'configured', createdMs: null }])
    expect(store.acknowledgements.standing(NOW).map(({ reason }) => reason)).toEqual(['configured', 'made'])
    close()
    open()
    expect(store.acknowledgements.standing(NOW).map(({ reason }) => reason)).toEqual(['made'])
  })
})
