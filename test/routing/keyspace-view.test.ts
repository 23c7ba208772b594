import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import { commonKey } from '../../src/config/patterns/key-language.ts'
import type { KeyPattern } from '../../src/config/patterns/pattern.ts'
import { segmentsOf } from '../../src/config/patterns/pattern-overlap.ts'
import { KeyRename } from '../../src/config/patterns/rename.ts'
import { Glob } from '../../src/routing/glob.ts'
import { storePatterns } from '../../src/routing/keyspace-patterns.ts'
import { rolesOf } from '../../src/routing/route.ts'
import { RouteTable } from '../../src/routing/route-table.ts'
import { formatCursor, parseCursor } from '../../src/routing/scan-cursor.ts'
import { storePrefixes } from '../../src/routing/tracking-prefixes.ts'
import { allKeysUpTo, arbitraryPattern, arbitraryRearrangement } from '../config/patterns/arbitrary-pattern.ts'
import { configOf, type RouteOptions } from '../support/data-path.ts'

function tableOf(routes: RouteOptions[]): RouteTable {
  const config = configOf({ stores: { one: { port: 1 }, two: { port: 2 }, alias: { port: 1 } }, routes })
  return new RouteTable(config, 1, Object.keys(config.stores), new Map())
}
const seen = (table: RouteTable, name: string, store = 0): string | null => {
  const bytes = Buffer.from(`<${name}>`)
  return (
    table
      .viewOf(store)
      .nameOf(bytes, 1, bytes.length - 1)
      ?.toString() ?? null
  )
}
const named = (table: RouteTable, key: string): { store: number; name: string } => {
  const bytes = Buffer.from(key)
  const rule = table.find(bytes, 0, bytes.length)
  return { store: rule.route.primary.store, name: (rule.primary?.apply(bytes, 0, bytes.length) ?? bytes).toString() }
}

const jobs = (phase: Phase): RouteOptions => ({
  name: 'jobs',
  keys: ['job:{id}', 'worker:{id}:jobs', 'pending'],
  source: 'one',
  target: {
    store: 'one',
    keys: { 'job:{id}': 'step:{id}', 'worker:{id}:jobs': 'worker:{id}:steps', pending: 'waiting' },
  },
  phase,
})
const rest: RouteOptions = { name: 'rest', source: 'one' }

describe('a keyspace as the application sees it', () => {
  test.each(['passthrough', 'mirror', 'shadow', 'read-target'] as const)(
    'on one server in %s: the target names are hidden',
    (phase) => {
      const table = tableOf([jobs(phase), rest])
      expect(
        ['job:1', 'step:1', 'worker:7:jobs', 'worker:7:steps', 'pending', 'waiting', 'user:1', 'step:'].map((name) =>
          seen(table, name),
        ),
      ).toEqual(['job:1', null, 'worker:7:jobs', null, 'pending', null, 'user:1', 'step:'])
    },
  )

  test.each(['switched', 'done'] as const)('on one server in %s: the source names are hidden', (phase) => {
    const table = tableOf([jobs(phase), rest])
    expect(
      ['job:1', 'step:1', 'worker:7:jobs', 'worker:7:steps', 'pending', 'waiting', 'user:1'].map((name) =>
        seen(table, name),
      ),
    ).toEqual([null, 'job:1', null, 'worker:7:jobs', null, 'pending', 'user:1'])
  })

  test('two names of one server are one keyspace', () => {
    const table = tableOf([{ ...jobs('mirror'), target: { store: 'alias', keys: { 'job:{id}': 'step:{id}' } } }, rest])
    expect(seen(table, 'step:1')).toBeNull()
    expect(table.primaryStores).toEqual([0])
  })

  test('of two servers, each shows what it is the primary of', () => {
    const table = tableOf([{ ...jobs('switched'), target: { store: 'two', keys: { 'job:{id}': 'step:{id}' } } }, rest])
    expect(table.primaryStores).toEqual([0, 1])
    expect([seen(table, 'job:1'), seen(table, 'user:1'), seen(table, 'worker:1:jobs')]).toEqual([null, 'user:1', null])
    expect([seen(table, 'step:1', 1), seen(table, 'user:1', 1), seen(table, 'worker:1:jobs', 1)]).toEqual([
      'job:1',
      null,
      'worker:1:jobs',
    ])
  })

  test('a prefix of its own hides the neighbours', () => {
    const table = tableOf([{ name: 'app', source: { store: 'one', keys: { '*': 'app1:*' } } }])
    expect(['app1:x', 'app1:', 'x', 'app2:x'].map((name) => seen(table, name))).toEqual(['x', '', null, null])
  })

  test('nothing is to be translated where nothing is renamed and all is on one server', () => {
    expect(tableOf([rest]).viewOf(0).whole).toBe(true)
    expect(tableOf([rest]).scanView).toBe(0)
    const migrating = tableOf([{ ...rest, target: 'two', phase: 'mirror' }])
    expect(migrating.viewOf(0).whole).toBe(true)
    // Another store may become the primary while a scan is under way.
    expect(migrating.scanView).toBeGreaterThan(0)
    expect(tableOf([{ ...rest, target: 'two', phase: 'switched' }]).scanView).not.toBe(migrating.scanView)
  })

  test('a name is seen as k exactly if commands for k go to this name', () => {
    const keys = allKeysUpTo(6)
    for (const phase of ['mirror', 'switched'] as const) {
      for (const store of ['one', 'two']) {
        const table = tableOf([
          {
            name: 'a',
            keys: ['a{x}b', 'ab:{y}'],
            source: 'one',
            target: { store, keys: { 'a{x}b': '::{x}:', 'ab:{y}': 'b{y}b' } },
            phase,
          },
          rest,
        ])
        for (const at of [0, 1]) {
          for (const name of keys) {
            const key = seen(table, name, at)
            if (key !== null) expect([name, named(table, key)]).toEqual([name, { store: at, name }])
          }
        }
        for (const key of keys) {
          const { store: at, name } = named(table, key)
          const other = seen(table, name, at)
          // Whoever renames into a part of the keyspace that `*` has too hides what was there.
          if (other !== key)
            expect([key, table.find(Buffer.from(key), 0, key.length).route.name]).toEqual([key, 'rest'])
        }
      }
    }
  })
})

test('a name is seen as k only if commands for k go to it, whatever is renamed to what', () => {
  const keys = allKeysUpTo(4)
  const renames = arbitraryPattern
    .chain((from) => fc.tuple(fc.constant(from), arbitraryRearrangement(from)))
    .filter(([from, to]) => !from.isCatchAll && isAccepted(from, to))
  fc.assert(
    fc.property(renames, fc.constantFrom('mirror', 'switched'), ([from, to], phase) => {
      const target = { store: 'one', keys: { [from.text]: to.text } }
      const table = tableOf([{ name: 'a', keys: [from.text], source: 'one', target, phase: phase as Phase }, rest])
      for (const name of keys) {
        const key = seen(table, name)
        if (key !== null) expect([name, named(table, key).name]).toEqual([name, name])
      }
      for (const key of keys) {
        const { name } = named(table, key)
        if (table.find(Buffer.from(key), 0, key.length).route.name === 'a') expect(seen(table, name)).toBe(key)
      }
    }),
    { numRuns: 150 },
  )
})

test('a view of a route at its other end is the one of a table in which that route is there', () => {
  const elsewhere: RouteOptions = {
    name: 'users',
    keys: ['user:*', 'step:9*'],
    source: 'two',
    target: { store: 'one', keys: { 'user:*': 'person:*' } },
    phase: 'shadow',
  }
  const names = ['job:1', 'step:1', 'step:9', 'worker:7:steps', 'waiting', 'pending', 'user:1', 'person:1', 'other']
  for (const phase of ['mirror', 'switched'] as const) {
    const table = tableOf([jobs(phase), elsewhere, { ...rest, target: 'two', phase: 'mirror' }])
    for (const route of table.routes) {
      for (const which of ['source', 'target'] as const) {
        const isThere = which === rolesOf(route.phase).primary
        const reference = isThere ? table : table.turned(new Set([route.name]))
        const store = table.stores.indexOf(route.config[which]!.store)
        const view = table.viewAt(route, which)
        const wanted = reference.viewOf(store)
        expect([view.whole, view.script]).toEqual([wanted.whole, wanted.script])
        for (const name of names) {
          const bytes = Buffer.from(name)
          expect(view.nameOf(bytes, 0, bytes.length)).toEqual(wanted.nameOf(bytes, 0, bytes.length))
        }
      }
    }
  }
})

/** As `check` accepts it on one server. */
function isAccepted(from: KeyPattern, to: KeyPattern): boolean {
  try {
    return commonKey(segmentsOf(from), KeyRename.between(from, to).image()) === null
  } catch {
    return false
  }
}

test('what a store is asked for gives every key that the application asks for', () => {
  const tables = (['mirror', 'switched'] as const).flatMap((phase) => [
    tableOf([
      {
        name: 'a',
        keys: ['a{x}b', 'ab:{y}', 'a*', 'bb'],
        source: 'one',
        target: { store: 'one', keys: { 'a{x}b': 'c{x}:', 'ab:{y}': 'd{y}b', 'a*': 'e*', bb: 'f' } },
        phase,
      },
      rest,
    ]),
    tableOf([
      { name: 'a', keys: ['a:{x}'], source: 'one', target: { store: 'one', keys: { 'a:{x}': 'b:[{x}' } }, phase },
      rest,
    ]),
  ])
  const keys = allKeysUpTo(5)
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'b', ':', '*', '?', '[', ']', '^', '-', '\\'), maxLength: 6 }),
      (text) => {
        const glob = new Glob(Buffer.from(text))
        for (const table of tables) {
          const globs = storePatterns(glob, table.rules, (rule) => table.isOn(rule, 0)).map(
            (pattern) => new Glob(pattern),
          )
          for (const key of keys) {
            if (!glob.matches(Buffer.from(key))) continue
            const { name } = named(table, key)
            expect([text, key, globs.some((one) => one.matches(Buffer.from(name)))]).toEqual([text, key, true])
          }
          const prefixes = storePrefixes(table, 0, [glob.text])
          for (const key of keys.filter((one) => one.startsWith(text))) {
            const { name } = named(table, key)
            expect([text, key, prefixes.filter((one) => name.startsWith(one.toString())).length]).toEqual([
              text,
              key,
              1,
            ])
          }
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('narrow patterns stay narrow', () => {
  const patterns = (glob: string, phase: Phase): string[] => {
    const table = tableOf([jobs(phase), rest])
    return storePatterns(new Glob(Buffer.from(glob)), table.rules, (rule) => table.isOn(rule, 0)).map(String)
  }
  expect(patterns('job:7*', 'switched')).toEqual(['step:7*'])
  expect(patterns('job:*', 'switched')).toEqual(['step:*', 'job:'])
  expect(patterns('job:*', 'shadow')).toEqual(['job:*'])
  expect(patterns('user:*', 'switched')).toEqual(['user:*'])
  expect(patterns('pending', 'switched')).toEqual(['waiting'])
  expect(patterns('*', 'switched')).toEqual(['*'])
  const prefixes = (...of: string[]): string[] =>
    storePrefixes(
      tableOf([jobs('switched'), rest]),
      0,
      of.map((prefix) => Buffer.from(prefix)),
    ).map(String)
  expect(prefixes('job:7', 'user:')).toEqual(['user:', 'step:7'])
  expect(prefixes('')).toEqual([''])
})

test('a cursor says where it belongs, and stays a number that every client can hold', () => {
  const bits = (n: number) => fc.bigInt({ min: 0n, max: 2n ** BigInt(n) - 1n })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2047 }),
      fc.integer({ min: 0, max: 15 }),
      fc.oneof(bits(20), bits(37), bits(47)),
      (view, store, cursor) => {
        const text = formatCursor({ view, store, cursor })!
        // A double, as node-redis 4 keeps it, comes back as the same digits.
        if (cursor < 2n ** 37n) expect(String(Number(text))).toBe(text)
        expect(BigInt(text)).toBeLessThan(2n ** 63n)
        expect(parseCursor(text)).toEqual({ view, store, cursor })
      },
    ),
  )
  expect(formatCursor({ view: 1, store: 0, cursor: 2n ** 47n })).toBeNull()
  for (const text of ['', '-', '--1', 'x', '1.0', ' 1', '0x1', String(2n ** 64n), String(-(2n ** 64n))])
    expect(parseCursor(text)).toBeNull()
})

test('a cursor that nobody gave is read as servers read it', () => {
  const largest = { view: 0, store: 0, cursor: 2n ** 64n - 1n }
  for (const text of ['-1', String(2n ** 64n - 1n)]) expect(parseCursor(text)).toEqual(largest)
  for (const text of ['-0', '+0']) expect(parseCursor(text)).toEqual(parseCursor('0'))
  expect(parseCursor('+7')).toEqual(parseCursor('7'))
})

test('a cursor that a store gave when there was nothing to translate stays the store’s', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }), fc.bigInt({ min: 2n ** 53n, max: 2n ** 62n - 1n })),
      (cursor) => {
        expect(parseCursor(String(cursor))).toEqual({ view: 0, store: 0, cursor })
      },
    ),
  )
})
