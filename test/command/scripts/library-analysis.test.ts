import { describe, expect, test } from 'vitest'
import { analyseLibrary } from '../../../src/command/scripts/library-analysis.ts'
import type { ScriptFacts } from '../../../src/command/scripts/script-facts.ts'
import { CommandTable } from '../../../src/command/table.ts'

const table = CommandTable.builtin()

function factsOf(body: string, name = 'f'): ScriptFacts {
  const library = analyseLibrary(`#!lua name=l\n${body}`, table)
  return library.functions.get(name) ?? library.others
}

/** `reads`, `replay`, or why not; `undeclared` before it when further keys are used. */
function said(body: string, name = 'f'): string {
  const { writes, varies, declaresKeys } = factsOf(body, name)
  return `${declaresKeys ? '' : 'undeclared: '}${writes ? (varies ?? 'replay') : 'reads'}`
}

const F = (body: string): string => `redis.register_function('f', function(keys, args) ${body} end)`
/** Another function of the library, that does whatever it likes. */
const WILD =
  "redis.register_function('wild', function(keys, args) redis.call('set', args[1], redis.call('time')[1]) end)"
const KEEPS = 'it may keep something between two calls'

describe('a function is judged by what it alone does', () => {
  test.each([
    [F("return redis.call('get', keys[1])"), 'reads'],
    [F("return redis.call('incr', keys[1])"), 'replay'],
    [F("return redis.call('incr', keys[1] .. ':n')"), 'undeclared: replay'],
    [F("return redis.call('expire', keys[1], 10)"), 'it sets a relative time (EXPIRE)'],
    ["server.register_function('f', function(k) return server.call('incr', k[1]) end)", 'replay'],
    ["local register = redis.register_function register('f', function(k) redis.call('del', k[1]) end)", 'replay'],
    ["local function f(keys) redis.call('incr', keys[1]) end redis.register_function('f', f)", 'replay'],
    [
      "redis.register_function{ callback = function(k) redis.call('incr', k[1]) end, function_name = 'f', flags = {'allow-oom'} }",
      'replay',
    ],
    ["redis.register_function 'f'", `undeclared: ${KEEPS}`],
  ])('%s: %s', (body, expected) => {
    if (expected.endsWith(KEEPS)) expect(said(`${WILD} ${body}`)).toBe('undeclared: it calls TIME')
    else expect([said(body), said(`${WILD} ${body}`), said(`${body} ${WILD}`)]).toEqual([expected, expected, expected])
    expect(said(`${body} ${WILD}`, 'wild')).toBe('undeclared: it calls TIME')
  })
})

describe('a local function counts for those that reach it', () => {
  const help = "local function help(x) return redis.call('set', x, 1) end"
  test.each([
    [`${help} ${F('help(args[1])')}`, 'undeclared: replay'],
    [`${help} local function more(x) return help(x) end ${F('more(args[1])')}`, 'undeclared: replay'],
    [`${help} local other = help ${F('other(args[1])')}`, 'undeclared: replay'],
    [`${help} ${F("redis.call('del', keys[1])")}`, 'replay'],
    [`${help} help('x') ${F("redis.call('del', keys[1])")}`, 'undeclared: replay'],
    // Its own, by the same name.
    [`${help} ${F("local function help(x) return x end local y = help(1) redis.call('set', keys[1], y)")}`, 'replay'],
    // Also called by another, with a list of its own.
    [
      `local function f(keys) redis.call('del', keys[1]) end redis.register_function('f', f) redis.register_function('g', function(k, a) f(a) end)`,
      'undeclared: replay',
    ],
    [
      "local M = {} function M.drop(x) redis.call('del', x) end redis.register_function('f', function(k) return redis.call('get', k[1]) end)",
      'undeclared: replay',
    ],
  ])('%s: %s', (body, expected) => {
    expect(said(body)).toBe(expected)
  })
})

describe('what a library holds between calls', () => {
  test.each([
    `local TTL, NAMES = 60 * 60, { a = 'x', b = 'y' } ${F("redis.call('set', keys[1], NAMES[args[1]] .. TTL)")}`,
    `local call = redis.call local floor, abs = math.floor, math.abs ${F("call('set', keys[1], floor(abs(args[1])) .. '')")}`,
    `local M = {} M.prefix = 'x' function M.two(n) return n * 2 end ${F("redis.call('set', keys[1], M.two(args[1]) .. M.prefix)")}`,
    `local LIST = { 'a', 'b' } ${F("for _, name in ipairs(LIST) do redis.call('rpush', keys[1], name) end redis.call('set', keys[2], #LIST)")}`,
    `local n = 0 local function count() n = n + 1 end redis.register_function('other', function() count() end) ${F("redis.call('incr', keys[1])")}`,
  ])('the same at every call: %s', (body) => {
    expect(said(body)).toBe('replay')
  })

  test.each([
    `local n = 0 ${F("n = n + 1 redis.call('set', keys[1], n)")}`,
    `local n = 0 local function count() n = n + 1 return n end ${F("redis.call('set', keys[1], count())")}`,
    `local n redis.register_function('g', function(k, a) n = a[1] end) ${F("redis.call('set', keys[1], n)")}`,
    `local seen = {} ${F("seen[args[1]] = true redis.call('set', keys[1], #seen)")}`,
    `local seen = {} ${F("table.insert(seen, 1) redis.call('set', keys[1], #seen)")}`,
    `local seen = {} ${F("local mine = seen mine[1] = args[1] redis.call('set', keys[1], seen[1])")}`,
    `local deep = { list = {} } ${F("local l = deep.list l[1] = args[1] redis.call('set', keys[1], deep.list[1])")}`,
    `local M = {} M.list = {} ${F("table.insert(M.list, 1) redis.call('set', keys[1], #M.list)")}`,
    `local M = {} redis.register_function('g', function(k, a) M.act = nil end) ${F("M.act(keys[1]) redis.call('del', keys[1])")}`,
    `local M = {} local N = M ${F("N[1] = 2 redis.call('set', keys[1], M[1])")}`,
    `local function make() local n = 0 return function() n = n + 1 return n end end local step = make() ${F("redis.call('set', keys[1], step())")}`,
    "local function make() local n = 0 return function(k) n = n + 1 redis.call('set', k[1], n) end end redis.register_function('f', make())",
    "local n = 0 for i = 1, 2 do redis.register_function('f' .. i, function(k) n = n + i redis.call('set', k[1], n) end) end",
    "local function def(name) local n = 0 redis.register_function(name, function(k) n = n + 1 redis.call('set', k[1], n) end) end def('f')",
    "do local n = 0 redis.register_function('f', function(k) n = n + 1 redis.call('set', k[1], n) end) end",
    `local a = (args or {}) ${F("a[1] = 1 redis.call('set', keys[1], a[1])")}`,
  ])('maybe something else: %s', (body) => {
    expect(factsOf(body).varies).not.toBe(null)
  })
})

test('what cannot be read may do anything', () => {
  for (const body of ["redis.register_function('f', function(", F("loadstring(args[1])() redis.call('del', keys[1])")])
    expect(factsOf(body)).toMatchObject({ writes: true, declaresKeys: false })
  expect(factsOf(F("return redis.call('get', keys[1])"), 'nobody')).toMatchObject({ varies: KEEPS })
})

test('of each it is told what it asks for, publishes and answers with', () => {
  const body = `${F("return redis.call('get', keys[1])")}
    redis.register_function('names', function(keys) return keys end)
    redis.register_function('all', function(keys) return redis.call('dbsize') end)
    redis.register_function('speak', function(keys) redis.call('publish', 'news', 'x') end)
    redis.register_function('group', function(keys) redis.call('xack', keys[1], 'g', '1-1') end)`
  const plain = { tellsNames: false, asksForAllKeys: false, publishesTo: [], untold: false, declaresKeys: true }
  expect(factsOf(body)).toMatchObject(plain)
  expect(factsOf(body, 'names')).toMatchObject({ ...plain, tellsNames: true })
  expect(factsOf(body, 'all')).toMatchObject({ ...plain, asksForAllKeys: true })
  expect(factsOf(body, 'speak')).toMatchObject({ ...plain, publishesTo: ['news'] })
  expect(factsOf(body, 'group')).toMatchObject({ ...plain, untold: true })
})

test('functions of a large library are told apart', () => {
  const names = Array.from({ length: 1_500 }, (_, i) => `f${i}`)
  const body = (i: number): string => (i % 2 === 0 ? "'incr', keys[1]" : "'get', keys[1]")
  const source = names.map((name, i) => `redis.register_function('${name}', function(keys) redis.call(${body(i)}) end)`)
  const { functions } = analyseLibrary(`#!lua name=l\n${source.join('\n')}`, table)
  expect(names.map((name) => functions.get(name)!.writes)).toEqual(names.map((_, i) => i % 2 === 0))
})
