import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findKeys, KeyPositions, rewriteKeys } from '../../src/command/keys.ts'
import { CommandTable } from '../../src/command/table.ts'
import { CommandParser } from '../../src/resp/command-parser.ts'
import { type CommandView, viewOf } from '../../src/resp/command-view.ts'
import { decodeReply } from '../../src/resp/decode.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import { ErrorReply, type Reply } from '../../src/resp/reply.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { WireClient } from '../support/wire-client.ts'

const builtin = CommandTable.builtin()
let server: RedisServer
let client: WireClient
let commandReply: Reply

beforeAll(async () => {
  server = await startRedis()
  client = await WireClient.open(server.port)
  commandReply = await client.call('COMMAND')
})

afterAll(async () => {
  client.close()
  await server.stop()
})

function keysOf(table: CommandTable, args: readonly string[]): string[] {
  const view = viewOf(args.map((arg) => Buffer.from(arg)))
  const positions = new KeyPositions()
  findKeys(table.lookup(view)!, view, positions)
  expect(positions.complete).toBe(true)
  return [...positions.index.subarray(0, positions.count)].map((i) => args[i]!)
}

/**
 * Valid calls of every command that names keys; `k1` ... are the keys. What follows `#` are calls of commands that the test's server does not
 * know, or whose keys it does not tell: compared with the `k`s alone.
 */
const SAMPLES = `
APPEND k1 v|BITCOUNT k1|BITFIELD k1 GET u8 0|BITFIELD_RO k1 GET u8 0|BITOP AND k1 k2 k3|BITOP NOT k1 k2|BITPOS k1 1
BLMOVE k1 k2 LEFT RIGHT 1|BLMPOP 1 2 k1 k2 LEFT COUNT 2|BLPOP k1 k2 1|BRPOP k1 1|BRPOPLPUSH k1 k2 1
BZMPOP 1 2 k1 k2 MIN|BZPOPMAX k1 k2 1|BZPOPMIN k1 1|COPY k1 k2 DB 1 REPLACE|DECR k1|DECRBY k1 1|DEL k1 k2 k3|DUMP k1
EVAL s 2 k1 k2 a|EVAL s 0 a|EVALSHA s 1 k1 a|EVALSHA_RO s 1 k1|EVAL_RO s 1 k1|EXISTS k1 k2|EXPIRE k1 1|EXPIREAT k1 1|EXPIRETIME k1
FCALL f 2 k1 k2 a|FCALL_RO f 1 k1|GEOADD k1 1 1 m|GEODIST k1 a b|GEOHASH k1 a|GEOPOS k1 a|GEORADIUS k1 1 1 1 m
GEORADIUS k1 1 1 1 m STORE k2|GEORADIUS k1 1 1 1 m COUNT 3 ANY STOREDIST k2|GEORADIUS_RO k1 1 1 1 m
GEORADIUSBYMEMBER k1 m 1 m|GEORADIUSBYMEMBER k1 m 1 m ASC STORE k2|GEORADIUSBYMEMBER_RO k1 m 1 m
GEOSEARCH k1 FROMMEMBER m BYRADIUS 1 m|GEOSEARCHSTORE k1 k2 FROMMEMBER m BYRADIUS 1 m
GET k1|GETBIT k1 0|GETDEL k1|GETEX k1 EX 1|GETRANGE k1 0 1|GETSET k1 v|HDEL k1 f|HEXISTS k1 f|HGET k1 f|HGETALL k1|HINCRBY k1 f 1
HINCRBYFLOAT k1 f 1|HKEYS k1|HLEN k1|HMGET k1 f|HMSET k1 f v|HRANDFIELD k1|HSCAN k1 0|HSET k1 f v|HSETNX k1 f v|HSTRLEN k1 f|HVALS k1
INCR k1|INCRBY k1 1|INCRBYFLOAT k1 1|LCS k1 k2|LINDEX k1 0|LINSERT k1 BEFORE a b|LLEN k1|LMOVE k1 k2 LEFT LEFT|LMPOP 2 k1 k2 LEFT
LPOP k1|LPOS k1 v|LPUSH k1 v w|LPUSHX k1 v|LRANGE k1 0 1|LREM k1 0 v|LSET k1 0 v|LTRIM k1 0 1|MEMORY USAGE k1 SAMPLES 1
MGET k1 k2 k3|MIGRATE h 1 k1 0 1|MIGRATE h 1 k1 0 1 COPY REPLACE AUTH KEYS|MOVE k1 1|MSET k1 a k2 b|MSETNX k1 a k2 b
OBJECT ENCODING k1|OBJECT FREQ k1|OBJECT IDLETIME k1|OBJECT REFCOUNT k1|PERSIST k1|PEXPIRE k1 1|PEXPIREAT k1 1|PEXPIRETIME k1
PFADD k1 a|PFCOUNT k1 k2|PFDEBUG GETREG k1|PFMERGE k1 k2 k3|PSETEX k1 1 v|PTTL k1|RENAME k1 k2|RENAMENX k1 k2|RESTORE k1 0 p
RESTORE-ASKING k1 0 p|RPOP k1|RPOPLPUSH k1 k2|RPUSH k1 v|RPUSHX k1 v|SADD k1 m|SCARD k1|SDIFF k1 k2|SDIFFSTORE k1 k2 k3|SET k1 v EX 1
SETBIT k1 0 1|SETEX k1 1 v|SETNX k1 v|SETRANGE k1 0 v|SINTER k1 k2|SINTERCARD 2 k1 k2 LIMIT 1|SINTERSTORE k1 k2 k3|SISMEMBER k1 m
SMEMBERS k1|SMISMEMBER k1 m|SMOVE k1 k2 m|SORT k1|SORT k1 LIMIT 0 1 STORE k2|SORT k1 STORE k2 BY w_* GET o_*->f GET #
SORT k1 STORE a STORE k2|SORT_RO k1 BY w_* GET o_*|SPOP k1|SRANDMEMBER k1|SREM k1 m|SSCAN k1 0|STRLEN k1|SUBSTR k1 0 1|SUNION k1 k2
SUNIONSTORE k1 k2 k3|TOUCH k1 k2|TTL k1|TYPE k1|UNLINK k1 k2|WATCH k1 k2|XACK k1 g 1-1|XADD k1 * f v|XADD k1 MAXLEN ~ 10 * f v
XAUTOCLAIM k1 g c 0 0|XCLAIM k1 g c 0 1-1|XDEL k1 1-1|XGROUP CREATE k1 g $|XGROUP CREATECONSUMER k1 g c|XGROUP DELCONSUMER k1 g c
XGROUP DESTROY k1 g|XGROUP SETID k1 g $|XINFO CONSUMERS k1 g|XINFO GROUPS k1|XINFO STREAM k1 FULL|XLEN k1|XPENDING k1 g|XRANGE k1 - +
XREAD COUNT 2 STREAMS k1 k2 0 0|XREAD BLOCK 0 STREAMS k1 $|XREADGROUP GROUP g c NOACK STREAMS k1 k2 > >|XREVRANGE k1 + -|XSETID k1 1-1
XREADGROUP GROUP STREAMS STREAMS COUNT 1 STREAMS k1 >
XTRIM k1 MAXLEN 1|ZADD k1 1 m|ZCARD k1|ZCOUNT k1 0 1|ZDIFF 2 k1 k2|ZDIFFSTORE k1 2 k2 k3|ZINCRBY k1 1 m|ZINTER 2 k1 k2 WEIGHTS 1 2
ZINTERCARD 2 k1 k2|ZINTERSTORE k1 2 k2 k3 WEIGHTS 1 2|ZLEXCOUNT k1 - +|ZMPOP 2 k1 k2 MIN|ZMSCORE k1 m|ZPOPMAX k1|ZPOPMIN k1
ZRANDMEMBER k1|ZRANGE k1 0 1|ZRANGEBYLEX k1 - +|ZRANGEBYSCORE k1 0 1|ZRANGESTORE k1 k2 0 1|ZRANK k1 m|ZREM k1 m|ZREMRANGEBYLEX k1 - +
ZREMRANGEBYRANK k1 0 1|ZREMRANGEBYSCORE k1 0 1|ZREVRANGE k1 0 1|ZREVRANGEBYLEX k1 + -|ZREVRANGEBYSCORE k1 1 0|ZREVRANK k1 m
ZSCAN k1 0|ZSCORE k1 m|ZUNION 1 k1|ZUNIONSTORE k1 1 k2
# MIGRATE h 1  0 1 AUTH KEYS KEYS k1 k2|MIGRATE h 1  0 1 AUTH2 u KEYS KEYS k1|DEBUG OBJECT k1|DEBUG DIGEST-VALUE k1 k2
# MSETEX 2 k1 v k2 v EX 5|SDIFFCARD 2 k1 k2|HEXPIRE k1 1 FIELDS 1 f|HSETEX k1 FIELDS 1 f v|HGETEX k1 FIELDS 1 f|VADD k1 VALUES 1 1 e
# LMOVEM k1 k2 LEFT LEFT|BLMOVEM k1 k2 LEFT LEFT 1|XACKDEL k1 g IDS 1 1-1|DELEX k1 IFEQ v|SPUBLISH ch m|SSUBSCRIBE ch|PUBLISH ch m
# XREADGROUP COUNT 1 GROUP STREAMS STREAMS STREAMS k1 >|SORT k1 BY nosort|OBJECT HELP|COMMAND GETKEYS GET a|KEYS a|SCAN 0 MATCH a
# GEORADIUS k1 1 1 1 m STORE STOREDIST|EVAL s 3 a b|EVAL s -1 a|EVAL s x a|EVAL s 99999999999 a|XREAD STREAMS|SORT|MIGRATE h 1 a
`

const told: string[][] = []
const untold: string[][] = []
for (const line of SAMPLES.trim().split('\n')) {
  const samples = line.replace(/^# /, '').split('|')
  for (const sample of samples) (line.startsWith('# ') ? untold : told).push(sample.split(' '))
}

describe('the keys found are the keys that the server finds', () => {
  test.each(told.map((args) => [args.join(' '), args] as const))('%s', async (_line, args) => {
    const reply = await client.call('COMMAND', 'GETKEYS', ...args)
    if (reply instanceof ErrorReply) expect(reply.text).toMatch(/no key arguments|Invalid number of keys/)
    const expected = Array.isArray(reply) ? reply.map(String).sort() : []
    const fromServer = CommandTable.fromServer(commandReply, builtin)
    // Redis itself is led astray by a group called like the keyword when it goes by key specs alone.
    expect(keysOf(builtin, args).sort()).toEqual(expected)
    expect(keysOf(fromServer, args).sort()).toEqual(expected)
  })
})

test.each(untold.map((args) => [args.join(' '), args] as const))('the keys of "%s" are its k1, k2', (_line, args) => {
  const expected = args.filter((arg) => /^k\d$/.test(arg))
  if (args.at(-1) === 'STOREDIST') expected.push('STOREDIST')
  expect(keysOf(builtin, args)).toEqual(expected)
})

test('every command of the server that names keys has a sample', () => {
  const sampled = new Set(told.flatMap((args) => [args[0], `${args[0]} ${args[1]}`]))
  const missing = [...CommandTable.fromServer(commandReply, builtin).all()].filter(
    (spec) =>
      (spec.firstKey > 0 || spec.keyFinder !== 'plain') &&
      inServer(spec.name) &&
      !sampled.has(spec.name) &&
      spec.subcommands === null,
  )
  expect(missing.map((spec) => spec.name)).toEqual([])
})

function inServer(name: string): boolean {
  const names = (entries: Reply): string[] =>
    (entries as readonly (readonly Reply[])[]).flatMap((entry) => [String(entry[0]).toUpperCase(), ...names(entry[9]!)])
  return names(commandReply).includes(name.replace(' ', '|'))
}

test('a server that tells no key specs leaves the same keys to be found', () => {
  const old = CommandTable.fromServer(
    (commandReply as readonly (readonly Reply[])[]).map((entry) => entry.slice(0, 7)),
    builtin,
  )
  for (const args of told) expect(keysOf(old, args)).toEqual(keysOf(builtin, args))
})

test('a command with keys that nobody can describe says so', () => {
  const unknown = [['begin_search', ['type', 'unknown', 'spec', []], 'find_keys', ['type', 'unknown', 'spec', []]]]
  const told = [[b('mod.any'), -2, [b('write'), b('movablekeys')], 1, 1, 1, [], [], nested(unknown), []]]
  const table = CommandTable.fromServer(told as Reply, builtin)
  const view = viewOf([b('MOD.ANY'), b('a')])
  const positions = new KeyPositions()
  findKeys(table.lookup(view)!, view, positions)
  expect(positions).toMatchObject({ count: 0, complete: false })
})

function b(text: string): Buffer {
  return Buffer.from(text)
}

function nested(value: unknown): unknown {
  return Array.isArray(value) ? value.map(nested) : b(String(value))
}

test("SORT's patterns are reported apart from its keys", () => {
  const args = 'SORT k BY w_*->f GET # GET o_* GET nostar LIMIT 0 5 STORE d'.split(' ').map(b)
  const view = viewOf(args)
  const positions = new KeyPositions()
  findKeys(builtin.lookup(view)!, view, positions)
  expect([...positions.index.subarray(0, positions.count)]).toEqual([1, 14])
  expect([...positions.patternIndex.subarray(0, positions.patternCount)]).toEqual([3, 7])
})

const words = fc.constantFrom(
  ...'k 0 1 2 -1 99999999999 STREAMS STORE STOREDIST KEYS BY GET LIMIT GROUP COUNT BLOCK AUTH AUTH2 *'.split(' '),
  '',
)

test('whatever the arguments, positions are inside the command, ascending, and none twice', () => {
  const specs = [...builtin.all()]
  const positions = new KeyPositions()
  fc.assert(
    fc.property(fc.constantFrom(...specs), fc.array(words, { maxLength: 12 }), (spec, args) => {
      const view = viewOf([...spec.name.split(' '), ...args].map(b))
      findKeys(spec, view, positions)
      const found = [...positions.index.subarray(0, positions.count)]
      for (const [i, at] of found.entries()) {
        expect(at).toBeGreaterThan(i === 0 ? 0 : found[i - 1]!)
        expect(at).toBeLessThan(view.argc)
      }
      for (const at of positions.patternIndex.subarray(0, positions.patternCount)) expect(at).toBeLessThan(view.argc)
    }),
    { numRuns: 3000 },
  )
})

test('positions grow with the command', () => {
  const args = ['DEL', ...Array.from({ length: 1000 }, (_, i) => `k${i}`)]
  expect(keysOf(builtin, args)).toEqual(args.slice(1))
})

/** The same arguments as a client may send them: in a longer buffer as multibulk or inline, or bare. */
function views(args: readonly string[]): CommandView[] {
  const multibulk = new CommandParser()
  const frame = Buffer.concat([b('+before\r\n'), encodeCommand(args), b('+after\r\n')])
  multibulk.parse(frame, 9, frame.length)
  const inline = new CommandParser()
  const line = b(`${args.map((arg) => JSON.stringify(arg)).join(' ')}\r\n`)
  inline.parse(line, 0, line.length)
  return [multibulk, inline, viewOf(args.map(b))]
}

function rewritten(view: CommandView, rename: (key: string) => string | null): string[] {
  const positions = new KeyPositions()
  findKeys(builtin.lookup(view)!, view, positions)
  const frame = rewriteKeys(view, positions, (buf, start, end) => {
    const name = rename(buf.toString('latin1', start, end))
    return name === null ? null : Buffer.from(name, 'latin1')
  })
  return (decodeReply(frame, 0, frame.length) as Buffer[]).map((arg) => arg.toString('latin1'))
}

test.each([
  ['GET k', 'GET new-k'],
  ['MSET a 1 b 2 c 3', 'MSET new-a 1 b 2 new-c 3'],
  ['ZUNIONSTORE d 2 a b WEIGHTS 1 2', 'ZUNIONSTORE new-d 2 new-a b WEIGHTS 1 2'],
  ['SORT k BY w_*->f GET # GET o_* STORE d', 'SORT new-k BY new-w_*->f GET # GET new-o_* STORE new-d'],
  ['SORT k GET p->x*->', 'SORT new-k GET new-p->x*->'],
  ['XREAD COUNT 1 STREAMS a b 0 0', 'XREAD COUNT 1 STREAMS new-a b 0 0'],
  ['PING hello', 'PING hello'],
])('%s becomes %s', (line, expected) => {
  for (const view of views(line.split(' '))) {
    expect(rewritten(view, (key) => (key === 'b' ? null : `new-${key}`))).toEqual(expected.split(' '))
  }
})

test('renaming back gives the command back, whatever the lengths of names and values', () => {
  const text = fc.string({ maxLength: 150 }).map((s) => Buffer.from(s).toString('latin1'))
  fc.assert(
    fc.property(
      fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 5 }),
      fc.string({ maxLength: 20 }),
      (set, prefix) => {
        const plain = Buffer.from(prefix).toString('latin1')
        const args = ['MSET', ...set.flat()].map((arg) => Buffer.from(arg, 'latin1'))
        const frame = encodeCommand(args)
        const parser = new CommandParser()
        parser.parse(frame, 0, frame.length)
        const there = encodeCommand(rewritten(parser, (key) => plain + key).map((arg) => Buffer.from(arg, 'latin1')))
        const again = new CommandParser()
        again.parse(there, 0, there.length)
        expect(rewritten(again, (key) => key.slice(plain.length))).toEqual(args.map((arg) => arg.toString('latin1')))
      },
    ),
  )
})
