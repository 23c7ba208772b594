import { expect, test } from 'vitest'
import { analyseLibrary } from '../../../src/command/scripts/library-analysis.ts'
import { analyseScript } from '../../../src/command/scripts/script-analysis.ts'
import { CommandTable } from '../../../src/command/table.ts'

/** What a script writes that may be another thing on a server of another make. */

const table = CommandTable.builtin()
const set = (value: string): string => `redis.call('set', KEYS[1], ${value})`

test.each([
  ...['ARGV[1]', 'KEYS[2]', '17', '-1', '1e3', '#ARGV', "'x' .. n", 'tostring(n + 0.5)', '(ARGV[1])', 'n > 1'].map(set),
  ...["string.format('%.2f', n)", "table.concat({n, 0.5}, ',')", 'ARGV[1]:sub(1, 3)', 'redis.sha1hex(n)'].map(set),
  ...["redis.call('get', KEYS[2])", "redis.call('llen', KEYS[2])", "redis.call('get', KEYS[2]) or '0'"].map(set),
  ...["n > 1 and 'a' or #KEYS", "redis.call('lrange', KEYS[2], 0, -1)[1]"].map(set),
  ...['{ARGV[1], 5, {n}}', 'ARGV', "'x'", '{}', 'KEYS'].map((value) => set(`cjson.encode(${value})`)),
  "local all = redis.call('zrange', KEYS[2], 0, ARGV[1]) redis.call('rpush', KEYS[1], all[1], unpack(all))",
  "local a = ARGV for i, v in ipairs(a) do redis.call('hset', KEYS[1], i, v) end redis.call('sadd', KEYS[1], unpack(a))",
  "redis.call('zrangebyscore', KEYS[1], 0, ARGV[1], 'LIMIT', 0, ARGV[2])",
  "redis.call('zincrby', KEYS[1], 1, 'm') redis.call('zpopmin', KEYS[2]) return redis.call('zscore', KEYS[1], 'm')",
  "local t = {ARGV[1]} redis.call('set', KEYS[1], cmsgpack.pack(t, n))",
  "local added = redis.call('zadd', KEYS[2], ARGV[1], 'm') redis.call('set', KEYS[1], added)",
  "local added = redis.call('zadd', KEYS[2], 'NX', 1, 'm', 2, ARGV[1]) redis.call('set', KEYS[1], added)",
  "redis.call('zadd', KEYS[1], ARGV[1], ARGV[2], ARGV[3]) return redis.call('zadd', KEYS[1], ARGV[1], 1, 'm')",
])('alike: %s', (source) => {
  expect(analyseScript(`local n = tonumber(ARGV[1]) ${source}`, table).variesByServer).toBe(false)
})

test.each([
  ...['10 - 0.1', 'n', 'n + 1', '0.5', '12345678901234567890', '-0', 'math.floor(n)', 'n or 1', '...'].map(set),
  ...["redis.call('incr', KEYS[2])", "redis.call('zscore', KEYS[2], 'm')", 'tonumber(ARGV[1])', 'f(1)'].map(set),
  ...["n > 1 and 'a' or n", "redis.call('get', KEYS[2]) or 0.5"].map(set),
  ...['{id = 1}', '{[ARGV[1]] = 1}', 'cjson.decode(ARGV[1])', 'f()', '{{a = 1}}'].map((v) => set(`cjson.encode(${v})`)),
  "redis.call('set', KEYS[1], cmsgpack.pack({a = 1, b = 2}))",
  "local t = {ARGV[1]} t.x = 1 redis.call('set', KEYS[1], cjson.encode(t))",
  "local encode = cjson.encode redis.call('set', KEYS[1], encode({1}))",
  "ARGV[1] = n redis.call('set', KEYS[1], ARGV[1])",
  "table.insert(ARGV, n) redis.call('set', KEYS[1], ARGV[2])",
  "local all = redis.call('lrange', KEYS[2], 0, -1) all[1] = n redis.call('set', KEYS[1], all[1])",
  "local all = redis.call('lrange', KEYS[2], 0, -1) local b = all b[1] = n redis.call('set', KEYS[1], all[1])",
  "local all = redis.call('zrange', KEYS[2], 0, -1, 'WITHSCORES') redis.call('set', KEYS[1], all[2])",
  "local all = redis.call('zrange', KEYS[2], 0, -1, ARGV[1]) redis.call('set', KEYS[1], all[2])",
  "local sum = redis.call('zadd', KEYS[2], ARGV[1], '0.1', 'm') redis.call('set', KEYS[1], sum)",
  "local sum = redis.call('zadd', KEYS[2], 'XX', ARGV[1], 1, 'm') redis.call('set', KEYS[1], tostring(sum))",
  "local at = redis.call('geopos', KEYS[2], 'm') redis.call('set', KEYS[1], at[1][1])",
  "local function score() return redis.call('zscore', KEYS[1], 'm') end redis.call('set', KEYS[2], score())",
  "if redis.call('zscore', KEYS[1], 'm') == '0.1' then redis.call('del', KEYS[1]) end",
])('not alike: %s', (source) => {
  expect(analyseScript(`local n = tonumber(ARGV[1]) ${source}`, table).variesByServer).toBe(true)
})

test('functions: by their own arguments', () => {
  const source = `#!lua name=l
redis.register_function('plain', function(keys, args) return redis.call('hset', keys[1], args[1], args[2]) end)
redis.register_function('score', function(keys, args) return redis.call('zincrby', keys[1], args[1], 'm') end)
redis.register_function('sum', function(keys, args) return redis.call('set', keys[1], args[1] + 0.1) end)
redis.register_function('changed', function(keys, args) args[1] = 0.1 return redis.call('set', keys[1], args[1]) end)`
  const { functions } = analyseLibrary(source, table)
  const varying = [...functions].filter(([, { variesByServer }]) => variesByServer).map(([name]) => name)
  expect(varying).toEqual(['sum', 'changed'])
})
