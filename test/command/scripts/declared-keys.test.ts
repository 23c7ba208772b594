import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { analyseScript } from '../../../src/command/scripts/script-analysis.ts'
import { CommandTable } from '../../../src/command/table.ts'

const table = CommandTable.builtin()
const declares = (source: string): boolean => analyseScript(source, table).declaresKeys
const inLibrary = (body: string): string =>
  `#!lua name=l\nredis.register_function('f', function(keys, args) ${body} end)`

describe('keys that are declared', () => {
  test.each([
    "redis.call('set', KEYS[1], 1)",
    "redis.call('set', KEYS[tonumber(ARGV[1])], KEYS[2] .. 'x')",
    "redis.call('set', (KEYS[1]), 1)",
    "local key = KEYS[1]\nredis.call('set', key, 1)",
    "local key = KEYS[1];redis.call('set', key, 1)",
    "local key = KEYS[1] -- the lock\nif redis.call('get', key) == ARGV[1] then redis.call('del', key) end",
    "local key = KEYS[1] local n = redis.call('incr', key) redis.call('expire', key, 600) return n",
    "local a, b = KEYS[1], KEYS[2] redis.call('rename', a, b)",
    "local a, b = KEYS[1], KEYS[2] .. 'x' redis.call('set', a, b)",
    "do local key = KEYS[1] end local key = KEYS[2] redis.call('del', key)",
    "local key = KEYS[1] key = key .. ':x' redis.call('set', KEYS[1], key)",
    "local key = KEYS[1] local same = key redis.call('del', same)",
    "local keys = KEYS for i = 1, #keys do redis.call('del', keys[i]) end",
    "for i = 1, #KEYS do redis.call('del', KEYS[i]) end",
    "for i = #KEYS, 1, -1 do redis.call('del', KEYS[i]) end",
    "for i, key in ipairs(KEYS) do redis.call('set', key, ARGV[i]) end",
    "local ipairs = ipairs for _, key in ipairs(KEYS) do redis.call('del', key) end",
    "redis.call('del', unpack(KEYS))",
    "redis.call('del', KEYS[1], unpack(KEYS, 2))",
    "redis.call('mset', KEYS[1], ARGV[1], KEYS[2], cjson.encode({1}))",
    "redis.call('zunionstore', KEYS[1], 2, KEYS[2], KEYS[3], 'WEIGHTS', 1, 2)",
    "redis.call('sort', KEYS[1], 'LIMIT', 0, 10, 'STORE', KEYS[2])",
    "local t = {unpack(KEYS)} table.insert(t, 'x') redis.call('sadd', KEYS[1], unpack(t))",
    "local n = table.getn(KEYS) redis.call('set', KEYS[1], table.concat(KEYS, ',')) return KEYS",
    "local function f(keys) return #keys end redis.call('set', KEYS[1], f(ARGV))",
    "repeat local key = KEYS[1] until redis.call('incr', key) > 5",
    "if #ARGV > 1 then return redis.call('del', KEYS[1]) elseif ARGV[1] then redis.call('incr', KEYS[2]) else return end",
    "local t = {['a'] = 1, b = KEYS[1]; 'c'} redis.call('hset', KEYS[1], t.b, #t, t['a'], not t.c)",
    "local o = {} function o.f(x) return x end function o:g(...) return ... end redis.call('set', KEYS[1], o:g(o.f 'x'))",
    inLibrary("redis.call('incr', keys[1])"),
    inLibrary("local key = keys[1] redis.call('set', key, args[1])"),
    inLibrary("for _, key in ipairs(keys) do redis.call('del', key) end return keys"),
    "redis.register_function{function_name = 'f', callback = function(k, a) redis.call('incr', k[1]) end}",
    "local function f(keys) redis.call('del', unpack(keys)) end redis.register_function('f', f)",
  ])('%s', (source) => {
    expect(declares(source)).toBe(true)
  })
})

/** Each writes, or may write, a key that it does not declare. */
describe('keys that may be others', () => {
  test.each([
    ["KEYS[1] .. ':x'"],
    ['KEYS[1] or ARGV[1]'],
    ['KEYS[1] and ARGV[1]'],
    ["KEYS[1]:gsub('a', 'b')"],
    ['KEYS[1]\n..\nARGV[1]'],
    ["KEYS[1] --[[ the first ]] .. ':x'"],
    ["(KEYS[1]):upper() .. ':x'"],
    ["ARGV[1] .. ':' .. KEYS[1]"],
    ['#KEYS'],
    ['#KEYS[1]'],
    ['{KEYS[1]}'],
    ['tostring(KEYS[1])'],
    ['function() return KEYS[1] end'],
    ['nil'],
  ])('computed: local key = %s', (value) => {
    expect(declares(`local key = ${value} redis.call('set', key, 1)`)).toBe(false)
    expect(declares(`redis.call('set', ${value}, 1)`)).toBe(false)
    expect(declares(`local a, b = KEYS[2], ${value} redis.call('set', b, 1)`)).toBe(false)
  })

  test.each([
    ["local keys = redis.call('keys', ARGV[1]) for i = 1, #keys do redis.call('del', keys[i]) end"],
    ["local keys = {ARGV[1], ARGV[2]} redis.call('del', keys[1])"],
    ["local function f(keys) redis.call('del', keys[1]) end f(ARGV)"],
    ["for _, keys in ipairs({ARGV}) do redis.call('del', keys[1]) end"],
    ["redis.call('del', unpack(keys))"],
    [inLibrary("keys = args redis.call('incr', keys[1])")],
    [inLibrary("local keys = args redis.call('incr', keys[1])")],
    [inLibrary("keys[1] = args[1] redis.call('incr', keys[1])")],
    [inLibrary("table.insert(keys, args[1]) redis.call('incr', keys[2])")],
    [inLibrary("redis.call('incr', args[1])")],
    [inLibrary("local function g(keys) redis.call('incr', keys[1]) end g(args)")],
    ["local function f(keys) redis.call('incr', keys[1]) end redis.register_function('f', f) f({'x'})"],
    ["redis.register_function('f', function(args, keys) redis.call('incr', keys[1]) end)"],
    [
      "local function help(keys) redis.call('incr', keys[1]) end redis.register_function('f', function(k) help({'x'}) end)",
    ],
    ["local f = function(keys) redis.call('incr', keys[1]) end f = nil redis.register_function('f', f)"],
  ])('in a list that is called keys: %s', (source) => {
    expect(declares(source)).toBe(false)
  })

  test.each([
    ["KEYS[1] = KEYS[1] .. ':x'"],
    ["KEYS[1], KEYS[2] = 'a', 'b'"],
    ["local x x, KEYS[1] = 1, 'a'"],
    ["table.insert(KEYS, 'x')"],
    ["table.insert(KEYS, 1, 'x')"],
    ['table.remove(KEYS, 1)'],
    ['table.sort(KEYS, f)'],
    ["local K = KEYS K[2] = 'x'"],
    ["local K = KEYS local L = K L[1] = 'x'"],
    ["local K, n = KEYS, 1 table.insert(K, 'x')"],
    ["local K K = KEYS K[1] = 'x'"],
    ["local K = KEYS table.insert(K, 1, 'x') K = nil"],
    ["local t = {KEYS} t[1][1] = 'x'"],
    ["local t = {} t.k = KEYS t.k[1] = 'x'"],
    ["local _, t = ipairs(KEYS) t[1] = 'x'"],
    ["local function f() return KEYS end f()[1] = 'x'"],
    ["local function f(...) local t = ... t[1] = 'x' end f(KEYS)"],
    ["local function f(t) t[1] = 'x' end f(KEYS)"],
    ["(KEYS)[1] = 'x'"],
    ["rawset(KEYS, 1, 'x')"],
    ["(KEYS or ARGV)[1] = 'x'"],
    ["KEYS = {'x'}"],
    ["local KEYS = {'x'}"],
    ['local KEYS = ARGV'],
    ["local KEYS, x = redis.call('keys', '*')"],
    ['function KEYS() end'],
    ["ipairs = function(list) list[1] = 'x' end ipairs(KEYS)"],
    ["table.concat = function(list) list[1] = 'x' end table.concat(KEYS)"],
    ["local t = table t.concat = function(list) list[1] = 'x' end table.concat(KEYS)"],
    ["local unpack = function(list) list[1] = 'x' end unpack(KEYS)"],
  ])('where the list is changed: %s', (change) => {
    expect(declares(`${change} redis.call('set', KEYS[1], 1)`)).toBe(false)
  })

  test.each([
    ["for _, KEYS in ipairs({ARGV}) do redis.call('set', KEYS[1], 1) end"],
    ["local function f(KEYS) redis.call('set', KEYS[1], 1) end f(ARGV)"],
    ["local f = function(x, KEYS) redis.call('set', KEYS[1], 1) end f(1, ARGV)"],
    ["for key in ipairs(KEYS) do redis.call('set', key, 1) end"],
    ["for _, key in ipairs(ARGV) do redis.call('set', key, 1) end"],
    ["for _, key in ipairs(KEYS) do key = key .. ':x' redis.call('set', key, 1) end"],
    ["for _, key in ipairs(KEYS), ARGV, 0 do redis.call('set', key, 1) end"],
    ["for _, key in f, KEYS do redis.call('set', key, 1) end"],
    ["local function ipairs() return f end for _, key in ipairs(KEYS) do redis.call('set', key, 1) end"],
    ["local key, t = KEYS[1], {} key, t.x = ARGV[1], 1 redis.call('set', key, 1)"],
    ["local key = KEYS[1] local function f() key = ARGV[1] end f() redis.call('set', key, 1)"],
    ["local key = KEYS[1] do local key = ARGV[1] redis.call('set', key, 1) end"],
    ["local key = KEYS[1] function key() end redis.call('set', key, 1)"],
    ["if ARGV[1] then local key = KEYS[1] end redis.call('set', key, 1)"],
    ["repeat local key = ARGV[1] until redis.call('incr', key) > 5"],
    ["redis.call('mset', KEYS[1], 1, unpack(ARGV))"],
    ["redis.call('mset', KEYS[1], unpack(ARGV))"],
    ["redis.call('rename', KEYS[1], ...)"],
    ["redis.call('zunionstore', KEYS[1], 1, ...)"],
    ["redis.call('zunionstore', KEYS[1], 1, 'other')"],
    ["redis.call('zunionstore', KEYS[1], 0x1, 'other')"],
    ["redis.call('lmpop', 1, 'other', 'LEFT')"],
    ["redis.call('sort', KEYS[1], 'STORE', 'other')"],
    ["redis.call('sort', KEYS[1], 'BY', 'weight_*', 'STORE', KEYS[2])"],
    ["redis.call('sort', KEYS[1], KEYS[2], 'other')"],
    ["redis.call('sort', KEYS[1], 'ST\\79RE', 'other')"],
    ["-- nothing\rredis.call('set', 'other', 1)"],
    ["local done = redis.call 'flushall'"],
    ["local key = KEYS[1] redis.call('set', key, 1"],
    ["local key = KEYS[1] redis.call('set', key, 1) end"],
    [`local x = ${'('.repeat(5_000)}1${')'.repeat(5_000)} redis.call('set', KEYS[1], x)`],
    [`redis.call('set', KEYS[1], x${'.x'.repeat(50_000)})`],
    [`local a = KEYS[1] ${'local a = a '.repeat(50_000)} redis.call('set', a, 1)`],
  ])('otherwise: %.200s', (source) => {
    expect(declares(source)).toBe(false)
  })
})

test('property: whatever stands behind KEYS[n], or before it, makes it another value', () => {
  const gap = fc.constantFrom(' ', '\n', ' --[[ a ]] ', ' -- b\n')
  const value = fc.constantFrom("'x'", 'ARGV[1]', 'KEYS[2]', '1', 'nil', '{}', '#KEYS', 'f()', '(KEYS[1])')
  const binary = fc.constantFrom('..', '+', '-', '*', '/', '%', '^', '==', '~=', '<', '>=', 'and', 'or')
  const suffix = fc.constantFrom(":gsub('a', 'b')", ':lower()', '[1]', '.x', "['x']", "'x'", '{}', '(1)')
  const inside = fc.tuple(gap, suffix).map((parts) => parts.join(''))
  const behind = fc.tuple(gap, binary, gap, value).map((parts) => parts.join(''))
  const before = fc.constantFrom('', '', '', 'not ', '#', '-', "'a' .. ", 'x and ')
  const computed = fc
    .tuple(before, fc.array(inside, { maxLength: 2 }), fc.array(behind, { maxLength: 3 }))
    .filter(([first, ...rest]) => first !== '' || rest.flat().length > 0)
    .map(([first, ...rest]) => `${first}KEYS[1]${rest.flat().join('')}`)
  fc.assert(
    fc.property(computed, gap, (expression, end) => {
      expect(declares(`local key = ${expression}${end}redis.call('set', key, 1)`)).toBe(false)
      expect(declares(`redis.call('set', ${expression}, 1)`)).toBe(false)
      expect(declares(`local key${end}=${end}KEYS[1]${end}redis.call('set', key, ${expression})`)).toBe(true)
    }),
    { numRuns: 500 },
  )
})

test.each([
  ["redis.call('set', KEYS[1], unpack(ARGV))", true],
  ["redis.call('set', KEYS[1], ARGV[1], unpack(ARGV, 2))", true],
  ["redis.call('set', KEYS[1], table.unpack(ARGV))", true],
  ["redis.call('set', KEYS[1], ...)", true],
  ["local function f() return 1, 'EX', 9 end redis.call('set', KEYS[1], f())", true],
  ["local o = {} redis.call('set', KEYS[1], o:f())", true],
  ["local tostring = f redis.call('set', KEYS[1], tostring(1))", true],
  ["redis.call('set', unpack(KEYS))", true],
  ["redis.call('restore', KEYS[1], 1000, ARGV[1])", true],
  ["redis.call('set', KEYS[1], ARGV[1])", false],
  ["redis.call('set', KEYS[1], (unpack(ARGV)))", false],
  ["redis.call('set', KEYS[1], f(), 'NX')", false],
  ["redis.call('set', KEYS[1], f() .. 'x')", false],
  ["redis.call('set', KEYS[1], cjson.encode(ARGV))", false],
  ["redis.call('set', KEYS[1], redis.call('get', KEYS[2]))", false],
  ["local call = redis.call call('set', KEYS[1], call('get', KEYS[2]))", false],
  ["redis.call('rpush', KEYS[1], unpack(ARGV))", false],
])('%s: may set a relative time: %s', (source, expected) => {
  expect(analyseScript(source, table).varies !== null).toBe(expected)
})
