import { describe, expect, test } from 'vitest'
import { luaTokens } from '../../../src/command/scripts/lua-tokens.ts'
import { analyseScript } from '../../../src/command/scripts/script-analysis.ts'
import { CommandTable } from '../../../src/command/table.ts'

const table = CommandTable.builtin()

/** `reads`, `replay`, or why not; `undeclared` before it when further keys are used. */
function said(source: string): string {
  const { writes, varies, declaresKeys } = analyseScript(source, table)
  return `${declaresKeys ? '' : 'undeclared: '}${writes ? (varies ?? 'replay') : 'reads'}`
}

const HIDES = 'it may go on behind an error (pcall)'
const MEMORY = 'it may write where something lies in memory (tostring)'

test.each(['x', '\\n', "\\'", 'é'])('a literal of megabytes (%j) is read as any other', (part) => {
  const long = part.repeat(6 * 1024 * 1024)
  expect(said(`redis.call('set', KEYS[1], '${long}') redis.call('set', KEYS[2], "${long}")`)).toBe('replay')
})

describe('a script', () => {
  test.each([
    ["return redis.call('GET', KEYS[1])", 'reads'],
    ['return 1', 'reads'],
    // No Lua, and nothing to fear of it: the server says what is wrong.
    ['syntax error here', 'reads'],
    ['a', 'reads'],
    ["return redis.call('incr', KEYS[1])", 'replay'],
    ["redis.call('set', KEYS[1], ARGV[1]) redis.call('del', KEYS[2], KEYS[3])", 'replay'],
    ['local call = redis.call call("lpush", KEYS[1], unpack(ARGV))', 'replay'],
    ["return server.call('set', KEYS[1], 1)", 'replay'],
    ["#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])", 'reads'],
    ["local key = KEYS[1]\nif redis.call('get', key) == ARGV[1] then return redis.call('del', key) end", 'replay'],
    ["local a, b = KEYS[1], KEYS[2] redis.call('rename', a, b)", 'replay'],
    ["for i = 1, #KEYS do redis.call('sadd', KEYS[i], ARGV[i]) end", 'replay'],
    ["redis.call('del', unpack(KEYS))", 'replay'],
    ["redis.call('zadd', KEYS[1], unpack(ARGV, 2))", 'replay'],
    ["redis.call('set', KEYS[1], 'x', 'NX')", 'replay'],
    ["-- redis.call('time')\nredis.call('set', KEYS[1], [[redis.call('time')]])", 'replay'],
    ["--[==[ redis.call('time') ]==] redis.call('set', KEYS[1], 'it\\'s')", 'replay'],
    ["redis.call('zunionstore', KEYS[1], 2, KEYS[2], KEYS[3])", 'replay'],
    ["redis.call('copy', KEYS[1], KEYS[2]) redis.call('copy', KEYS[1], KEYS[3], 'replace')", 'replay'],
    ["redis.call('copy', KEYS[1], KEYS[2], 'DB', 1, 'REPLACE')", 'undeclared: replay'],
    ["redis.call('copy', KEYS[1], KEYS[2], ARGV[1])", 'undeclared: replay'],
    ["redis.call('copy', KEYS[1], KEYS[2], unpack(ARGV))", 'undeclared: replay'],
    ["redis.call('copy', unpack(KEYS))", 'undeclared: replay'],
    ["redis.call('xgroup', 'create', KEYS[1], 'g', '$')", 'replay'],
    ["redis.call('xgroup', 'create', KEYS[1] .. ':x', 'g', '$')", 'undeclared: replay'],
    ["redis.call('xgroup', ARGV[1], KEYS[1], 'g', '$')", 'undeclared: replay'],
    [
      "redis.call('set', KEYS[1], tostring(ARGV[1]) .. tostring(KEYS[1]) .. tostring(1 + 2) .. tostring(#ARGV))",
      'replay',
    ],
    ["local n = redis.call('incr', KEYS[1]) redis.call('set', KEYS[2], tostring(n))", 'replay'],
    ["local call = redis.call call('set', KEYS[2], tostring(tonumber(call('get', KEYS[1]))))", 'replay'],
    ["local all = redis.call('hmget', KEYS[1], 'a', 'b') redis.call('set', KEYS[2], tostring(all[1]))", 'replay'],
    ["local k, v = KEYS[1], tostring((ARGV[1] .. 'x') == 'y') redis.call('set', k, v)", 'replay'],
    ["redis.log(redis.LOG_WARNING, 'x') return redis.status_reply('FINE')", 'reads'],
  ])('%s: %s', (source, expected) => {
    expect(said(source)).toBe(expected)
  })

  test.each([
    ["redis.call('set', KEYS[1], redis.call('time')[1])", 'it calls TIME'],
    ["redis.call('expire', KEYS[1], 10)", 'it sets a relative time (EXPIRE)'],
    ["redis.call('set', KEYS[1], 1, 'ex', 10)", 'it sets a relative time (SET)'],
    ["redis.call('set', KEYS[1], 1, ARGV[1], ARGV[2])", 'it sets a relative time (SET)'],
    ["redis.call('set', KEYS[1], math.random())", 'it may use random numbers'],
    ["local m = math redis.call('set', KEYS[1], m.random())", 'it may use random numbers'],
    ["redis.call('set', KEYS[1], math['random']())", 'it may use random numbers'],
    ["redis.call('spop', KEYS[1])", 'it calls SPOP'],
    ["redis.call('set', KEYS[1], tostring({}))", MEMORY],
    ["local t = {} redis.call('set', KEYS[1], redis.sha1hex(tostring(t)))", MEMORY],
    ["redis.call('set', KEYS[1], string.format('%s', tostring(print or type)))", MEMORY],
    ["redis.call('set', KEYS[1], tostring(cjson.decode(ARGV[1])))", MEMORY],
    ["local s = tostring redis.call('set', KEYS[1], s({}))", MEMORY],
    ["local n = 1 n = {} redis.call('set', KEYS[1], tostring(n))", MEMORY],
    ["ARGV[1] = {} redis.call('set', KEYS[1], tostring(ARGV[1]))", MEMORY],
    ["redis.call('set', KEYS[1], tostring{})", MEMORY],
    ["local t = redis.call('lrange', KEYS[1], 0, -1) t[1] = {} redis.call('set', KEYS[2], tostring(t[1]))", MEMORY],
    [
      "local t = redis.call('lrange', KEYS[1], 0, 1) local u = t u[1] = {} redis.call('set', KEYS[2], tostring(t[1]))",
      MEMORY,
    ],
    [
      "table['foreach'](ARGV, function(k) redis.call('rpush', KEYS[1], k) end)",
      'it walks a table in no order (foreach)',
    ],
    ["redis.call('set', KEYS[1], collectgarbage('count') .. '')", 'it uses collectgarbage'],
    ["redis.call('set', KEYS[1], gcinfo() .. '')", 'it uses gcinfo'],
    ["redis.call('set', KEYS[1], type(coroutine.create(print)))", 'it uses coroutine'],
    [
      "for k, v in pairs(cjson.decode(ARGV[1])) do redis.call('rpush', KEYS[1], k) end",
      'it walks a table in no order (pairs)',
    ],
    ["redis.call('xadd', KEYS[1], '*', 'f', 'v')", 'it calls XADD'],
    ["for _, m in ipairs(redis.call('smembers', KEYS[1])) do redis.call('rpush', KEYS[2], m) end", 'it calls SMEMBERS'],
    ["redis.call('set', 'literal', 1)", 'undeclared: replay'],
    ["redis.call('set', KEYS[1] .. ':x', 1)", 'undeclared: replay'],
    ["redis.call('set', ARGV[1], 1)", 'undeclared: replay'],
    ["local key = KEYS[1] key = key .. 'x' redis.call('set', key, 1)", 'undeclared: replay'],
    ["local key = KEYS[1] local function f(key) redis.call('set', key, 1) end f('x')", 'undeclared: replay'],
    ["KEYS = {'a'} redis.call('set', KEYS[1], 1)", 'undeclared: replay'],
    ["redis.call('flushall')", 'undeclared: replay'],
    ["redis.call('move', KEYS[1], 1)", 'undeclared: replay'],
    ['redis.call(ARGV[1], KEYS[1])', 'undeclared: it calls a command by a computed name'],
    ["local r = redis r.call('set', KEYS[1], 1)", 'undeclared: it uses redis....'],
    ["local f = redis['call'] f('time')", 'undeclared: it uses redis....'],
    ["pcall(redis.call, 'set', KEYS[1], 1)", `undeclared: ${HIDES}`],
    ["local call = redis.call pcall(call, 'set', KEYS[1], 1)", `undeclared: ${HIDES}`],
    ["apply(redis.call, 'set', KEYS[1], 1)", 'undeclared: it passes redis.call on'],
    ["local call = redis.call apply(call, 'set', KEYS[1], 1)", 'undeclared: it passes call on'],
    ["redis.pcall('set', KEYS[1], ARGV[1]) return 1", HIDES],
    ["local call = redis.pcall call('set', KEYS[1], ARGV[1])", HIDES],
    ["pcall(function() redis.call('set', KEYS[1], 1) end)", HIDES],
    ["xpcall(function() redis.call('set', KEYS[1], 1) end, function() end)", HIDES],
    ["redis.call('set', KEYS[2], redis.call('pexpiretime', KEYS[1]))", 'it calls PEXPIRETIME'],
    ["redis.call('rpush', KEYS[2], tostring(redis.call('set', KEYS[1], 1)))", MEMORY],
    ["local r = redis.call('set', KEYS[1], 1) redis.call('rpush', KEYS[2], tostring(r))", MEMORY],
    ["redis.call('set', KEYS[2], tostring(redis.call('xrange', KEYS[1], '-', '+')[1]))", MEMORY],
    ["redis.setresp(3) redis.call('set', KEYS[2], tostring(redis.call('zscore', KEYS[1], 'm')))", MEMORY],
    [
      "table.foreach(cjson.decode(ARGV[1]), function(k) redis.call('rpush', KEYS[1], k) end)",
      'it walks a table in no order (foreach)',
    ],
    ['loadstring(ARGV[1])()', 'undeclared: it uses loadstring'],
    ["redis.call('nobody.knows', KEYS[1])", 'undeclared: it calls NOBODY.KNOWS'],
    ["redis.call('set', KEYS[1], 'unfinished", 'undeclared: it cannot be read'],
    ["syntax error redis.call('set', KEYS[1], 1)", 'undeclared: it cannot be read'],
    ['syntax error return loadstring(ARGV[1])', 'undeclared: it cannot be read'],
    ['syntax error return KEYS', 'undeclared: it cannot be read'],
    ["redis.call('set', KEYS[1], 'not\nended')", 'undeclared: it cannot be read'],
  ])('%s is not simply done again: %s', (source, expected) => {
    expect(said(source)).toBe(expected)
  })

  test.each([
    ["redis.call('rpush', KEYS[1], ARGV[1]) redis.call('hset', KEYS[2], 'a', 1) return 1"],
    ["local n = redis.call('incr', KEYS[2]) redis.call('zadd', KEYS[1], n, ARGV[1]) return redis.status_reply('OK')"],
    [
      "if redis.call('hget', KEYS[2], 'paused') then redis.call('lpush', KEYS[1], 1) else redis.call('del', KEYS[1], KEYS[3]) end",
    ],
    ["local call = redis.call\nfor i = 1, 3 do call('lpush', KEYS[1], i); call('expireat', KEYS[1], ARGV[1]) end"],
    ["local x = ARGV[1] redis.call('ltrim', KEYS[1], 0, 9)"],
  ])('only adds to queues, or changes one by itself: %s', (source) => {
    expect(analyseScript(source, table).looksIntoQueues).toBe(false)
  })

  test.each([
    ["return redis.call('rpush', KEYS[1], ARGV[1])"],
    ["redis.call('set', KEYS[2], redis.call('llen', KEYS[1]))"],
    ["redis.call('lmove', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') return 1"],
    ["redis.call('zunionstore', KEYS[3], 2, KEYS[1], KEYS[2]) return 1"],
    ["local n = 1 + redis.call('zcard', KEYS[1]) redis.call('set', KEYS[2], n)"],
    ["if not redis.call('lpop', KEYS[1]) then redis.call('set', KEYS[2], 1) end"],
    ["local call = redis.call local job = call('rpop', KEYS[1]) call('set', KEYS[2], job)"],
    ['redis.call(ARGV[1], KEYS[1], KEYS[2])'],
    ["local ok = redis.pcall('exists', KEYS[1]) redis.call('set', KEYS[2], ok)"],
    ['this is no script "'],
  ])('may look into queues: %s', (source) => {
    expect(analyseScript(source, table).looksIntoQueues).toBe(true)
  })

  test('words: strings of every form, comments, numbers', () => {
    expect(luaTokens('a="x\\"y"--c\n[=[l]]]=]0x1F 1e-3 ..')?.map(({ text }) => text)).toEqual([
      'a',
      '=',
      'x\\"y',
      'l]]',
      '0x1F',
      '1e-3',
      '..',
    ])
  })
})

test.each([
  ["return redis.call('GET', KEYS[1])", false],
  ["local key, other = KEYS[1], KEYS[2] return redis.call('RENAME', key, other) or #KEYS", false],
  [
    "for i = 1, #KEYS do redis.call('SADD', KEYS[i], ARGV[i]) end redis.call('ZUNIONSTORE', KEYS[1], 1, KEYS[2])",
    false,
  ],
  ["redis.call('DEL', unpack(KEYS))", false],
  ['return KEYS', true],
  ['return #KEYS[1]', true],
  ['local key = KEYS[1] return #key', true],
  ['local keys = KEYS return #keys', false],
  ["return redis.call('XREAD', 'STREAMS', KEYS[1], 0)", true],
  ["return {redis.pcall('XPENDING', KEYS[1], 'group')}", true],
  ["local key = KEYS[1] redis.call('GET', key) return key", true],
  ["redis.call('SADD', KEYS[1], KEYS[2])", true],
  ["return redis.call('GET', KEYS[1] .. ':x')", true],
  ['for _, key in ipairs(KEYS) do redis.call("DEL", key) end', true],
  ['return [[', true],
])('%s: may tell names: %s', (source, expected) => {
  expect(analyseScript(source, table).tellsNames).toBe(expected)
})
