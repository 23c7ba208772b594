import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CommandTable } from '../../src/command/table.ts'
import { type CompareOptions, compareReplies } from '../../src/compare/diff.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from '../../src/resp/reply.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { WireClient } from '../support/wire-client.ts'

const table = CommandTable.builtin()
const OPTIONS: CompareOptions = { ttlToleranceMs: 2000, ignoreJson: [], decode: [], nowMs: 1_000_000_000_000 }
const b = (text: string): Buffer => Buffer.from(text)
const bs = (text: string): Buffer[] => text.split(' ').map(b)

function classOf(line: string, primary: Reply, shadow: Reply, options = OPTIONS): string {
  return compareReplies(table.lookup(viewOf(bs(line)))!, bs(line), primary, shadow, options)?.class ?? 'same'
}

const cases: [what: string, line: string, primary: Reply, shadow: Reply, expected: string][] = [
  ['equal texts', 'GET k', b('a'), b('a'), 'same'],
  ['two nils', 'GET k', null, null, 'same'],
  ['another text', 'GET k', b('a'), b('b'), 'value'],
  ['a nil on the shadow', 'GET k', b('a'), null, 'missing'],
  ['an empty text against a nil', 'GET k', b(''), null, 'missing'],
  ['an empty text against a text', 'GET k', b(''), b('a'), 'value'],
  ['a nil on the primary', 'GET k', null, b('a'), 'extra'],
  ['the same error code', 'GET k', new ErrorReply('ERR a'), new ErrorReply('ERR b'), 'same'],
  ['other error codes', 'GET k', new ErrorReply('ERR a'), new ErrorReply('OOM b'), 'error'],
  ['an error on one side', 'GET k', b('a'), new ErrorReply('LOADING x'), 'error'],
  ['a wrong type on one side', 'GET k', b('a'), new ErrorReply('WRONGTYPE x'), 'type'],
  ['a status and a text', 'TYPE k', new SimpleReply('list'), b('list'), 'same'],
  ['another type', 'TYPE k', new SimpleReply('list'), new SimpleReply('set'), 'type'],
  ['no type', 'TYPE k', new SimpleReply('list'), new SimpleReply('none'), 'missing'],
  ['a type on the shadow only', 'TYPE k', new SimpleReply('none'), new SimpleReply('set'), 'extra'],
  ['a key that is not there', 'EXISTS k', 1, 0, 'missing'],
  ['a key too many', 'EXISTS a b', 1, 2, 'extra'],
  ['a list that is not there', 'LLEN k', 3, 0, 'missing'],
  ['a longer list', 'LLEN k', 3, 4, 'length'],
  ['a shorter text', 'STRLEN k', 3, 0, 'length'],
  ['another bit count', 'BITCOUNT k', 3, 4, 'value'],
  ['RESP3 booleans and RESP2 numbers', 'SISMEMBER k m', true, 1, 'same'],
  ['a verbatim text', 'GET k', new VerbatimReply('txt', b('a')), b('a'), 'same'],
  ['a list in order', 'LRANGE k 0 -1', bs('a b'), bs('a b'), 'same'],
  ['a list in another order', 'LRANGE k 0 -1', bs('a b'), bs('b a'), 'order'],
  ['a list cut short', 'LRANGE k 0 -1', bs('a b'), bs('a'), 'length'],
  ['a list that is empty on the shadow', 'LRANGE k 0 -1', bs('a b'), [], 'missing'],
  ['another element', 'LRANGE k 0 -1', bs('a b'), bs('a c'), 'value'],
  ['one of several keys missing', 'MGET a b', bs('1 2'), [b('1'), null], 'missing'],
  ['one of several keys too many', 'MGET a b', [b('1'), null], bs('1 2'), 'extra'],
  ['one missing and one changed', 'MGET a b', bs('1 2'), [b('x'), null], 'value'],
  ['a list against a text', 'LRANGE k 0 -1', bs('a b'), b('a'), 'type'],
  ['sets in another order', 'SMEMBERS k', bs('a b c'), bs('c a b'), 'same'],
  ['a RESP3 set', 'SMEMBERS k', new SetReply(bs('a b c')), bs('c a b'), 'same'],
  ['another member', 'SMEMBERS k', bs('a b'), bs('a c'), 'value'],
  ['a member too few', 'SMEMBERS k', bs('a b'), bs('a'), 'length'],
  ['members that only run together alike', 'SMEMBERS k', bs('ab c'), bs('a bc'), 'value'],
  ['an intersection in another order', 'SINTER a b', bs('a b'), bs('b a'), 'same'],
  ['a hash in another order', 'HGETALL k', bs('a 1 b 2'), bs('b 2 a 1'), 'same'],
  [
    'a RESP3 map',
    'HGETALL k',
    new MapReply([
      [b('b'), b('2')],
      [b('a'), b('1')],
    ]),
    bs('a 1 b 2'),
    'same',
  ],
  ['fields and values exchanged', 'HGETALL k', bs('a 1 b 2'), bs('a 2 b 1'), 'value'],
  ['a field too few', 'HGETALL k', bs('a 1 b 2'), bs('a 1'), 'length'],
  ['an empty hash', 'HGETALL k', bs('a 1'), new MapReply([]), 'missing'],
  ['a score as text and as double', 'ZSCORE k m', b('1.50'), new DoubleReply('1.5'), 'same'],
  ['infinite scores', 'ZSCORE k m', b('inf'), new DoubleReply('inf'), 'same'],
  ['another score', 'ZSCORE k m', b('1.5'), b('1.6'), 'value'],
  ['a score that is not there', 'ZSCORE k m', b('1.5'), null, 'missing'],
  ['scores in exponent form', 'ZMSCORE k a b', bs('1e3 2'), bs('1000 2.0'), 'same'],
  [
    'flat scores and pairs',
    'ZRANGE k 0 -1 WITHSCORES',
    bs('a 1 b 2'),
    [
      [b('a'), new DoubleReply('1')],
      [b('b'), new DoubleReply('2')],
    ],
    'same',
  ],
  ['members that look like numbers', 'ZRANGE k 0 -1', bs('1.0 2'), bs('1 2'), 'value'],
  ['members with scores that look like numbers', 'ZRANGE k 0 -1 WITHSCORES', bs('1.0 5'), bs('1 5'), 'value'],
  ['ranks in another order', 'ZRANGE k 0 -1', bs('a b'), bs('b a'), 'order'],
  [
    'coordinates',
    'GEOPOS k a b',
    [bs('13.50 2'), null],
    [[new DoubleReply('13.5'), new DoubleReply('2')], null],
    'same',
  ],
  ['places in another order', 'GEOSEARCH k FROMMEMBER a BYRADIUS 1 m', bs('a b'), bs('b a'), 'same'],
  [
    'places with distances',
    'GEOSEARCH k FROMMEMBER a BYRADIUS 1 m WITHDIST',
    [[b('a'), b('1.10')]],
    [[b('a'), b('1.1')]],
    'same',
  ],
  ['time left within the tolerance', 'TTL k', 100, 98, 'same'],
  ['time left beyond the tolerance', 'TTL k', 100, 97, 'ttl'],
  ['ms left', 'PTTL k', 100_000, 97_999, 'ttl'],
  ['no expiry on the shadow', 'TTL k', 100, -1, 'ttl'],
  ['no expiry on the primary', 'TTL k', -1, 100, 'ttl'],
  ['just expired on the shadow', 'TTL k', 2, -2, 'same'],
  ['just expired on the primary', 'PTTL k', -2, 2000, 'same'],
  ['gone on the shadow long before', 'PTTL k', 2001, -2, 'missing'],
  ['there for ever on the shadow', 'TTL k', -2, -1, 'extra'],
  ['points in time', 'PEXPIRETIME k', 1_000_000_100_000, 1_000_000_098_000, 'same'],
  ['points in time too far apart', 'EXPIRETIME k', 1_000_000_100, 1_000_000_090, 'ttl'],
  ['a point in time that is nearly there', 'EXPIRETIME k', 1_000_000_001, -2, 'same'],
  ['a point in time far off', 'EXPIRETIME k', 1_000_000_100, -2, 'missing'],
  ['an error instead of a time', 'TTL k', 5, new ErrorReply('LOADING x'), 'error'],
  ["fields' times", 'HTTL k FIELDS 2 a b', [100, -1], [99, -1], 'same'],
  ["a field's time", 'HTTL k FIELDS 2 a b', [100, -1], [99, 50], 'ttl'],
  ['fields of no hash', 'HTTL k FIELDS 1 a', [-2], null, 'same'],
  [
    'a stream of another name',
    'XREAD STREAMS k l 0 0',
    [[b('k'), [[b('1-1'), bs('f v')]]]],
    [[b('l'), [[b('1-1'), bs('f v')]]]],
    'value',
  ],
  [
    'a RESP3 stream',
    'XREAD STREAMS k 0',
    new MapReply([[b('k'), [[b('1-1'), bs('f v')]]]]),
    [[b('k'), [[b('1-1'), bs('f v')]]]],
    'same',
  ],
  [
    'another entry',
    'XREAD STREAMS k 0',
    [[b('a'), [[b('1-1'), bs('f v')]]]],
    [[b('a'), [[b('1-2'), bs('f v')]]]],
    'value',
  ],
  ['idle times', 'XPENDING k g - + 9', [[b('1-1'), b('c'), 100, 1]], [[b('1-1'), b('c'), 5, 1]], 'same'],
  ['delivery counts', 'XPENDING k g - + 9', [[b('1-1'), b('c'), 100, 1]], [[b('1-1'), b('c'), 100, 2]], 'value'],
  ['a sort', 'SORT_RO k', bs('1 2'), bs('2 1'), 'order'],
  ['a sort of a set by nothing', 'SORT_RO k BY nosort', bs('1 2'), bs('2 1'), 'same'],
  ['random members', 'SRANDMEMBER k', b('a'), b('b'), 'same'],
  ['an integer beyond 2^53', 'GETRANGE k 0 1', 2n ** 60n, 2n ** 60n + 1n, 'value'],
]

test('what is gone on one side is forgiven a moment before its end, however far times may be apart', () => {
  const half = { ...OPTIONS, ttlToleranceMs: 1_800_000 }
  const { nowMs = 0 } = OPTIONS
  expect(classOf('PTTL k', 1_500_000, 100_000, half)).toBe('same')
  expect(classOf('PTTL k', 1_500_000, -2, half)).toBe('missing')
  expect(classOf('TTL k', -2, 3, half)).toBe('extra')
  expect(classOf('PEXPIRETIME k', nowMs + 2_001, -2, half)).toBe('missing')
  expect(classOf('PEXPIRETIME k', nowMs + 2_000, -2, half)).toBe('same')
  expect(classOf('HPTTL k FIELDS 2 a b', [100, 5_000], [100, -2], half)).toBe('missing')
  const strict = { ...OPTIONS, ttlToleranceMs: 250 }
  expect(classOf('PTTL k', 250, -2, strict)).toBe('same')
  expect(classOf('PTTL k', 251, -2, strict)).toBe('missing')
})

test.each(cases)('%s: %s', (_what, line, primary, shadow, expected) => {
  expect(classOf(line, primary, shadow)).toBe(expected)
})

describe('the detail of a difference', () => {
  function detail(line: string, primary: Reply, shadow: Reply, options = OPTIONS): string {
    return compareReplies(table.lookup(viewOf(bs(line)))!, bs(line), primary, shadow, options)!.detail
  }

  test('is one sentence', () => {
    for (const [, line, primary, shadow, expected] of cases) {
      if (expected !== 'same') expect(detail(line, primary, shadow)).toMatch(/^[A-Z0-9][^.]*\.$/)
    }
  })

  test('holds no value, field, member or error text', () => {
    const secret = 'hunter2'
    const differing: [string, Reply, Reply][] = [
      ['GET k', b(secret), b('x')],
      ['GET k', b(secret), null],
      ['GET k', new ErrorReply(`${secret} x`), b('x')],
      ['LRANGE k 0 -1', [b(secret)], bs('x')],
      ['SMEMBERS k', [b(secret)], bs('x')],
      ['HGETALL k', [b(secret), b(secret)], bs('x y')],
      ['ZRANGE k 0 -1', [b(secret)], bs('x y')],
    ]
    for (const [line, primary, shadow] of differing) {
      expect(detail(line, primary, shadow)).not.toContain(secret)
      expect(detail(line, shadow, primary)).not.toContain(secret)
    }
  })

  test('says where JSON values differ when paths are ignored', () => {
    const options = { ...OPTIONS, ignoreJson: ['$.at'] }
    const a = b('{"at":1,"items":[{"price":1},{"price":2}],"name":"x"}')
    const c = b('{"at":2,"items":[{"price":1},{"price":3}],"note":1,"name":"x"}')
    expect(detail('GET k', a, c, options)).toBe('The structured values differ at $.items[1].price, $.note.')
  })
})

describe('JSON values', () => {
  const ignoring = (...ignoreJson: string[]) => ({ ...OPTIONS, ignoreJson })

  test('are bytes when no paths are ignored', () => {
    expect(classOf('GET k', b('{"a":1,"b":2}'), b('{"b":2,"a":1}'))).toBe('value')
  })

  test.each([
    ['$.at', '{"at":1,"b":2}', '{"b":2,"at":9}', 'same'],
    ['$.at', '{"b":2}', '{"b":2,"at":9}', 'same'],
    ['$.at', '{"at":1,"b":2}', '{"at":1,"b":3}', 'value'],
    ['$.a.at', '{"a":{"at":1},"at":1}', '{"a":{"at":2},"at":1}', 'same'],
    ['$.a.at', '{"a":{"at":1},"at":1}', '{"a":{"at":1},"at":2}', 'value'],
    ['$..at', '{"a":[{"at":1}],"at":1}', '{"a":[{"at":2}],"at":3}', 'same'],
    ['$.a[*].at', '{"a":[{"at":1,"x":1}]}', '{"a":[{"at":2,"x":1}]}', 'same'],
    ['$.a[1]', '{"a":[1,2,3]}', '{"a":[1,9,3]}', 'same'],
    ['$.a[1]', '{"a":[1,2,3]}', '{"a":[1,2,4]}', 'value'],
    ["$['a b']", '{"a b":1}', '{"a b":2}', 'same'],
    ['$.*.at', '{"x":{"at":1}}', '{"x":{"at":2}}', 'same'],
    ['$.at', '{"n":9007199254740993}', '{"n":9007199254740992}', 'value'],
    ['$.at', '{"n":1.0}', '{"n":1}', 'same'],
    ['$.at', '{"at":1', '{"at":2', 'value'],
    ['$.at', 'plain', 'plain2', 'value'],
    ['$.at', '"1"', '"2"', 'value'],
    ['$.__proto__', '{"__proto__":1,"a":1}', '{"__proto__":2,"a":1}', 'same'],
    ['nonsense', '{"a":1}', '{"a":2}', 'value'],
  ])('without %s: %s and %s', (path, primary, shadow, expected) => {
    expect(classOf('GET k', b(primary), b(shadow), ignoring(path))).toBe(expected)
  })

  test('are found inside hashes, lists and sets', () => {
    const one = b('{"at":1,"id":5}')
    const two = b('{"id":5,"at":2}')
    expect(classOf('HGETALL k', [b('f'), one], [b('f'), two], ignoring('$.at'))).toBe('same')
    expect(classOf('LRANGE k 0 -1', [one], [two], ignoring('$.at'))).toBe('same')
    expect(classOf('SMEMBERS k', [one, b('x')], [b('x'), two], ignoring('$.at'))).toBe('same')
  })

  test('nested without end are bytes', () => {
    const deep = b('['.repeat(200_000))
    expect(classOf('GET k', deep, deep, ignoring('$.at'))).toBe('same')
    expect(classOf('GET k', deep, b('['), ignoring('$.at'))).toBe('value')
  })
})

const members = fc.array(
  fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 8 },
)

test('a set equals any order of itself and nothing else', () => {
  fc.assert(
    fc.property(
      members.chain((items) => fc.tuple(fc.constant(items), fc.shuffledSubarray(items))),
      ([items, some]) => {
        const expected = some.length === items.length ? 'same' : some.length === 0 ? 'missing' : 'length'
        expect(classOf('SMEMBERS k', items, some)).toBe(expected)
      },
    ),
  )
})

test('a difference is seen from both sides: missing here is extra there', () => {
  const mirrored: Record<string, string> = { missing: 'extra', extra: 'missing' }
  for (const [, line, primary, shadow, expected] of cases) {
    expect(classOf(line, shadow, primary), line).toBe(mirrored[expected] ?? expected)
  }
})

describe('a real server answers the same in RESP2 and RESP3', () => {
  let server: RedisServer
  let two: WireClient
  let three: WireClient
  beforeAll(async () => {
    server = await startRedis()
    two = await WireClient.open(server.port)
    three = await WireClient.open(server.port)
    await three.call('HELLO', 3)
    for (const line of [
      'SET s {"a":1} EX 1000',
      'RPUSH l a b c',
      'SADD t a b c',
      'SADD t2 b c d',
      'HSET h a 1 b 2 c 3',
      'ZADD z 1.5 a 2 b inf c',
      'ZADD z2 1 a 5 d',
      'GEOADD g 13.361389 38.115556 p 15.087269 37.502669 c',
      'XADD x 1-1 f v',
      'XADD x 2-1 f v g w',
      'XGROUP CREATE x grp 0',
      'XREADGROUP GROUP grp c COUNT 1 STREAMS x >',
    ]) {
      await two.call(...line.split(' '))
    }
  })
  afterAll(async () => {
    two.close()
    three.close()
    await server.stop()
  })

  test.each(
    `GET s|TTL s|PEXPIRETIME s|TYPE s|EXISTS s l|MGET s none|LRANGE l 0 -1|LPOS l b|SMEMBERS t|SINTER t t2|SUNION t t2|SDIFF t t2
SISMEMBER t a|SMISMEMBER t a z|HGETALL h|HKEYS h|HVALS h|HMGET h a z|ZRANGE z 0 -1 WITHSCORES|ZRANGE z 0 -1|ZRANGEBYSCORE z 0 inf WITHSCORES
ZREVRANGE z 0 -1 WITHSCORES|ZSCORE z a|ZSCORE z none|ZMSCORE z a none c|ZRANK z b|ZUNION 2 z z2 WITHSCORES|ZINTER 2 z z2 WITHSCORES
ZDIFF 2 z z2 WITHSCORES|GEOPOS g p none|GEODIST g p c km|GEOHASH g p|GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST WITHCOORD WITHHASH
GEORADIUS_RO g 15 37 200 km WITHDIST|XRANGE x - +|XREAD STREAMS x 0|XREAD STREAMS none 0|XPENDING x grp|XPENDING x grp - + 9|XLEN x
LCS s s IDX|BITCOUNT s|GET l|LRANGE s 0 1|HGETALL none|SMEMBERS none|LRANGE none 0 1|SORT_RO l ALPHA|BITFIELD_RO s GET u8 0`
      .split(/[|\n]/)
      .map((line) => [line]),
  )('%s', async (line) => {
    const args = line.split(' ')
    const [there, here] = await Promise.all([two.call(...args), three.call(...args)])
    expect(classOf(line, there, here)).toBe('same')
    expect(classOf(line, here, there)).toBe('same')
  })
})
