import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import { RouteTable } from '../../src/routing/route-table.ts'
import { allKeysUpTo, arbitraryPattern, arbitraryRearrangement } from '../config/patterns/arbitrary-pattern.ts'
import { configOf, type RouteOptions } from '../support/data-path.ts'
import { type ClientOptions, type RedisServer, startRedis } from '../support/redis.ts'

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const NAMES = [
  ...allKeysUpTo(4).map((name) => Buffer.from(name)),
  ...[
    'understudy:copy:',
    'understudy:copy:x',
    'app1:',
    'app1:understudy:copy:x',
    'a\0b',
    ':\r\n',
    'a%1b',
    'ü',
    'a"\\b',
  ].map((name) => Buffer.from(name)),
]

/** For each name 1 or 0. */
async function byScript(table: RouteTable): Promise<number[]> {
  const source = `${table.viewOf(0).script}\nlocal own={} for i,name in ipairs(ARGV) do own[i]=isOwn(name) and 1 or 0 end return own`
  const client = server.client({ lazyConnect: false } satisfies ClientOptions)
  try {
    return (await client.call('EVAL', source, 0, ...NAMES)) as number[]
  } finally {
    client.disconnect()
  }
}

function byView(table: RouteTable): number[] {
  return NAMES.map((name) => (table.viewOf(0).nameOf(name, 0, name.length) === null ? 0 : 1))
}

function tableOf(routes: RouteOptions[]): RouteTable {
  const config = configOf({ stores: { one: { port: 1 }, two: { port: 2 } }, routes })
  return new RouteTable(config, 1, Object.keys(config.stores), new Map())
}

const renames = arbitraryPattern
  .chain((from) => fc.tuple(fc.constant(from), arbitraryRearrangement(from)))
  .filter(([from]) => !from.isCatchAll)
const prefix = fc.constantFrom(undefined, 'app1:*', 'a*', ':*')

test('the script knows the same names as its own as the view does, whatever is renamed to what', async () => {
  await fc.assert(
    fc.asyncProperty(
      renames,
      renames,
      prefix,
      fc.constantFrom<Phase>('mirror', 'switched'),
      fc.constantFrom('one', 'two'),
      async ([from, to], [other, otherTo], star, phase, store) => {
        let table: RouteTable
        try {
          table = tableOf([
            { name: 'a', keys: [from.text], source: 'one', target: { store, keys: { [from.text]: to.text } }, phase },
            {
              name: 'rest',
              keys: ['*', ...(other.text === from.text ? [] : [other.text])],
              source: {
                store: 'one',
                keys: { ...(star === undefined ? {} : { '*': star }), [other.text]: otherTo.text },
              },
            },
          ])
        } catch {
          // A rename that cannot be undone.
          return
        }
        expect(await byScript(table)).toEqual(byView(table))
      },
    ),
    { numRuns: 80 },
  )
})

test('of one prefix every name that it asks for is its own', async () => {
  const table = tableOf([{ name: 'app', source: { store: 'one', keys: { '*': 'app1:*' } } }])
  expect(table.viewOf(0).script).not.toContain('occupants')
  expect(new Set(await byScript(table))).toEqual(new Set([1]))
})
