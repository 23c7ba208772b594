import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describedCommands } from '../../src/command/effect-summaries.ts'
import { effectRuleOf } from '../../src/command/effect-table.ts'
import type { Effect, EffectContext } from '../../src/command/effects.ts'
import { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import { DoubleReply, ErrorReply, MapReply, type Reply, SetReply, SimpleReply } from '../../src/resp/reply.ts'
import { effectOf } from '../support/effect-of.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { WireClient } from '../support/wire-client.ts'

const table = CommandTable.builtin()
const NOW = 1_000_000_000_000
const context: EffectContext = { nowMs: NOW, shadowHasAbsoluteExpiry: true, shadowHasHsetex: true, canAsk: true }

const OK = new SimpleReply('OK')
const b = (text: string): Buffer => Buffer.from(text)
const bs = (text: string): Reply[] => text.split(' ').map(b)
const entry = (id: string): Reply => [b(id), bs('f v')]

function effectFor(line: string, reply: Reply, given: EffectContext = context): Effect {
  const args = line.split(' ').map(b)
  return effectOf(table.lookup(viewOf(args))!, args, reply, given)
}

/** `none`, `as-sent`, `copy k`, `unknown k`, or the commands, `;` between them, `?` before what is asked afterwards. */
function shown(effect: Effect): string {
  switch (effect.kind) {
    case 'none':
    case 'as-sent':
      return effect.kind
    case 'copy':
    case 'unknown':
      return [effect.kind, ...effect.keys, ...elsewhere(effect)].join(' ')
    case 'replay':
      return ['replay', ...effect.copies, ...(effect.doubt === null ? [] : ['in doubt'])].join(' ')
    case 'commands': {
      const asked = effect.followUp === undefined ? [] : [`? ${effect.followUp.read.join(' ')}`]
      return [...effect.commands.map((args) => args.join(' ')), ...asked].join(' ; ')
    }
  }
}

function elsewhere(effect: Effect): string[] {
  if (effect.kind !== 'copy' || effect.elsewhere === undefined) return []
  return [`db${effect.elsewhere.database}`, ...effect.elsewhere.keys.map(String)]
}

const rows: [group: string, cases: [line: string, reply: Reply, effect: string][]][] = [
  [
    'SET',
    [
      ['SET k v', OK, 'as-sent'],
      ['SET k v EX 10', OK, 'SET k v PXAT 1000000010000'],
      ['set k v px 10', OK, 'SET k v PXAT 1000000000010'],
      ['SET k v EXAT 2000000000', OK, 'SET k v PXAT 2000000000000'],
      ['SET k v PXAT 2000000000001', OK, 'SET k v PXAT 2000000000001'],
      ['SET k v EX 9223370036854775', OK, 'SET k v PXAT 9223371036854775000'],
      ['SET k v KEEPTTL', OK, 'SET k v KEEPTTL'],
      ['SET k v NX', OK, 'SET k v'],
      ['SET k v NX EX 1', OK, 'SET k v PXAT 1000000001000'],
      ['SET k v NX', null, 'none'],
      ['SET k v XX', OK, 'SET k v'],
      ['SET k v XX', null, 'none'],
      ['SET k v GET', null, 'SET k v'],
      ['SET k v GET', b('old'), 'SET k v'],
      ['SET k v NX GET', null, 'SET k v'],
      ['SET k v NX GET', b('old'), 'none'],
      ['SET k v GET XX', b('old'), 'SET k v'],
      ['SET k v GET XX', b(''), 'SET k v'],
      ['SET k v XX GET', null, 'none'],
      ['SET k v IFEQ old', OK, 'SET k v'],
      ['SET k v IFEQ old', null, 'none'],
      ['SET k v IFEQ old GET', b('old'), 'SET k v'],
      ['SET k v IFEQ old GET', b('other'), 'none'],
      ['SET k v IFEQ old GET', null, 'none'],
      ['SET k v IFNE old GET KEEPTTL', null, 'SET k v KEEPTTL'],
      ['SET k v IFNE old GET', b('old'), 'none'],
      ['SET k v IFDEQ 00ff', OK, 'SET k v'],
      ['SET k v IFDEQ 00ff GET', b('old'), 'copy k'],
      ['SET k v NOVELTY 1', OK, 'copy k'],
      ['SET k v EX 0', new ErrorReply('ERR invalid expire time'), 'none'],
    ],
  ],
  [
    'strings',
    [
      ['SETEX k 10 v', OK, 'SET k v PXAT 1000000010000'],
      ['PSETEX k 10 v', OK, 'SET k v PXAT 1000000000010'],
      ['SETNX k v', 1, 'SET k v'],
      ['SETNX k v', 0, 'none'],
      ['GETSET k v', null, 'SET k v'],
      ['GETDEL k', b('v'), 'DEL k'],
      ['GETDEL k', null, 'none'],
      ['GETEX k', b('v'), 'none'],
      ['GETEX k EX 1', b('v'), 'PEXPIREAT k 1000000001000'],
      ['GETEX k PXAT 5', b('v'), 'PEXPIREAT k 5'],
      ['GETEX k PERSIST', b('v'), 'PERSIST k'],
      ['GETEX k EX 1', null, 'none'],
      ['MSET a 1 b 2', OK, 'as-sent'],
      ['MSETNX a 1 b 2', 1, 'MSET a 1 b 2'],
      ['MSETNX a 1 b 2', 0, 'none'],
      ['MSETEX 2 a 1 b 2', 1, 'SET a 1 ; SET b 2'],
      ['MSETEX 2 a 1 b 2 NX EX 1', 1, 'SET a 1 PXAT 1000000001000 ; SET b 2 PXAT 1000000001000'],
      ['MSETEX 1 a 1 KEEPTTL', 1, 'SET a 1 KEEPTTL'],
      ['MSETEX 1 a 1 XX', 0, 'none'],
      ['MSETEX 1 a 1 NOVELTY', 1, 'copy a'],
      ['DELEX k IFEQ v', 1, 'DEL k'],
      ['DELEX k IFEQ v', 0, 'none'],
      ['APPEND k v', 3, 'as-sent'],
      ['INCRBYFLOAT k 0.1', b('1.1'), 'SET k 1.1 KEEPTTL'],
      ['INCREX k BYINT 5', [5, 5], 'copy k'],
      ['PFADD k a', 0, 'none'],
      ['PFADD k a', 1, 'as-sent'],
      ['PFCOUNT k', 1, 'as-sent'],
      ['PFCOUNT k l', 1, 'none'],
      ['SETBIT k 1 1', 0, 'as-sent'],
    ],
  ],
  [
    'keyspace',
    [
      ['DEL a b', 1, 'as-sent'],
      ['DEL a b', 0, 'none'],
      ['EXPIRE k 10', 1, 'PEXPIREAT k 1000000010000'],
      ['EXPIRE k 10 NX', 1, 'PEXPIREAT k 1000000010000'],
      ['EXPIRE k 10 GT', 0, 'none'],
      ['EXPIRE k 0', 1, 'DEL k'],
      ['PEXPIRE k -5', 1, 'DEL k'],
      ['EXPIREAT k 5', 1, 'PEXPIREAT k 5000'],
      ['PEXPIREAT k 5', 1, 'PEXPIREAT k 5'],
      ['PERSIST k', 0, 'none'],
      ['RENAME a b', OK, 'as-sent'],
      ['RENAMENX a b', 1, 'RENAME a b'],
      ['RENAMENX a b', 0, 'none'],
      ['COPY a b', 1, 'COPY a b REPLACE'],
      ['COPY a b REPLACE', 1, 'COPY a b REPLACE'],
      ['COPY a b', 0, 'none'],
      ['COPY a b DB 1', 1, 'copy db1 b'],
      ['MOVE k 1', 1, 'copy k db1 k'],
      ['MOVE k 1', 0, 'none'],
      ['RESTORE k 0 p', OK, 'RESTORE k 0 p REPLACE ABSTTL'],
      ['RESTORE k 10 p REPLACE', OK, 'RESTORE k 1000000000010 p REPLACE ABSTTL'],
      ['RESTORE k 10 p ABSTTL IDLETIME 5', OK, 'RESTORE k 10 p REPLACE ABSTTL IDLETIME 5'],
      ['SORT k', bs('1 2'), 'none'],
      ['SORT k STORE d', 2, 'as-sent'],
      ['SORT k BY w_* STORE d', 2, 'copy d'],
      ['SORT k BY nosort GET # STORE d', 2, 'as-sent'],
      ['MIGRATE h 1 k 0 100', OK, 'copy k'],
      ['MIGRATE h 1 k 0 100', new SimpleReply('NOKEY'), 'none'],
      ['MIGRATE h 1  0 100 COPY KEYS a b', OK, 'copy a b'],
      ['MIGRATE h 1 k 0 100', new ErrorReply('IOERR timeout'), 'copy k'],
      ['FLUSHALL', OK, 'as-sent'],
      ['CONFIG SET maxmemory 1', OK, 'none'],
    ],
  ],
  [
    'hashes',
    [
      ['HSET k f v', 0, 'as-sent'],
      ['HSETNX k f v', 1, 'HSET k f v'],
      ['HSETNX k f v', 0, 'none'],
      ['HINCRBYFLOAT k f 0.1', b('1.1'), 'HSETEX k FXX KEEPTTL FIELDS 1 f 1.1'],
      // The field may be new, or have expired.
      ['HINCRBYFLOAT k f 1e-1', b('0.1'), 'HSETNX k f 0.1 ; HSETEX k KEEPTTL FIELDS 1 f 0.1'],
      ['HEXPIRE k 10 FIELDS 3 a b c', [1, 0, -2], 'HPEXPIREAT k 1000000010000 FIELDS 1 a'],
      ['HPEXPIREAT k 10 NX FIELDS 2 a b', [1, 1], 'HPEXPIREAT k 10 FIELDS 2 a b'],
      ['HEXPIRE k 0 FIELDS 2 a b', [2, -2], 'HDEL k a'],
      ['HEXPIRE k 1 FIELDS 1 a', [-2], 'none'],
      ['HPERSIST k FIELDS 2 a b', [-1, 1], 'HPERSIST k FIELDS 1 b'],
      ['HPERSIST k FIELDS 1 a', [-1], 'none'],
      ['HGETDEL k FIELDS 2 a b', [null, b('v')], 'HDEL k b'],
      ['HGETDEL k FIELDS 1 a', [null], 'none'],
      ['HGETEX k FIELDS 1 a', bs('v'), 'none'],
      ['HGETEX k EX 10 FIELDS 2 a b', [b('v'), null], 'HPEXPIREAT k 1000000010000 FIELDS 1 a'],
      ['HGETEX k PERSIST FIELDS 1 a', bs('v'), 'HPERSIST k FIELDS 1 a'],
      ['HSETEX k FNX EX 10 FIELDS 1 a v', 1, 'HSETEX k PXAT 1000000010000 FIELDS 1 a v'],
      ['HSETEX k FIELDS 2 a v b w', 1, 'HSET k a v b w'],
      ['HSETEX k KEEPTTL FIELDS 1 a v', 1, 'HSET k a v ; ? HPEXPIRETIME k FIELDS 1 a'],
      ['HSETEX k FXX FIELDS 1 a v', 0, 'none'],
      ['HIMPORT SET k set v', OK, 'copy k'],
    ],
  ],
  [
    'pops and moves',
    [
      ['LPOP k', b('v'), 'as-sent'],
      ['LPOP k 2', null, 'none'],
      ['BLPOP a b 0', bs('b v'), 'LPOP b'],
      ['BRPOP a b 0', bs('a v'), 'RPOP a'],
      ['BLPOP a 1', null, 'none'],
      ['LMPOP 2 a b LEFT COUNT 5', [b('b'), bs('1 2 3')], 'LPOP b 3'],
      ['LMPOP 1 a RIGHT', [b('a'), bs('1')], 'RPOP a'],
      ['BLMPOP 0 2 a b right COUNT 2', [b('a'), bs('1 2')], 'RPOP a 2'],
      ['LMPOP 1 a LEFT', null, 'none'],
      ['BLMOVE a b LEFT RIGHT 0', b('v'), 'LMOVE a b LEFT RIGHT'],
      ['BLMOVE a b LEFT RIGHT 1', null, 'none'],
      ['BRPOPLPUSH a b 0', b('v'), 'RPOPLPUSH a b'],
      ['BRPOPLPUSH a b 0', null, 'none'],
      ['LMOVEM a b LEFT RIGHT', bs('1'), 'copy a b'],
      ['BLMOVEM a b LEFT RIGHT 1', null, 'none'],
      ['SPOP k', b('m'), 'SREM k m'],
      ['SPOP k 2', bs('m n'), 'SREM k m n'],
      ['SPOP k 2', new SetReply(bs('m n')), 'SREM k m n'],
      ['SPOP k', null, 'none'],
      ['SPOP k 2', [], 'none'],
      ['ZPOPMIN k', bs('m 1'), 'as-sent'],
      ['ZPOPMIN k', [], 'none'],
      ['BZPOPMIN a b 0', bs('b m 1'), 'ZPOPMIN b'],
      ['BZPOPMAX a 0', [b('a'), b('m'), new DoubleReply('1')], 'ZPOPMAX a'],
      ['ZMPOP 2 a b MIN COUNT 9', [b('b'), [bs('m 1'), bs('n 2')]], 'ZPOPMIN b 2'],
      ['BZMPOP 1 1 a MAX', [b('a'), [[b('m'), new DoubleReply('1')]]], 'ZPOPMAX a 1'],
    ],
  ],
  [
    'lists, sets, sorted sets',
    [
      ['LPUSH k v', 1, 'as-sent'],
      ['LREM k 0 v', 0, 'none'],
      ['SADD k m', 0, 'none'],
      ['SINTERSTORE d a b', 0, 'as-sent'],
      ['ZADD k NX 1 m', 0, 'as-sent'],
      ['GEORADIUS k 1 1 1 m', [], 'none'],
      ['GEORADIUS k 1 1 1 m STORE d', 2, 'as-sent'],
      ['GEORADIUS k 1 1 1 m STORE d', 0, 'DEL d'],
      ['GEORADIUS k 1 1 1 m STORE d', [], 'none'],
      ['GEORADIUS k 1 1 1 m COUNT 1 STORE d', 1, 'copy d'],
      ['GEORADIUSBYMEMBER k m 1 m STOREDIST d', 1, 'copy d'],
      ['GEOSEARCHSTORE d k FROMMEMBER m BYRADIUS 1 m', 1, 'as-sent'],
      ['GEOSEARCHSTORE d k FROMMEMBER m BYRADIUS 1 m STOREDIST', 1, 'copy d'],
      ['VADD k VALUES 1 1 e', 1, 'as-sent'],
      ['VADD k REDUCE 2 VALUES 1 1 e', 1, 'copy k'],
      ['VREM k e', false, 'none'],
    ],
  ],
  [
    'streams',
    [
      ['XADD k * f v', b('5-1'), 'XADD k 5-1 f v'],
      ['XADD k 5-* f v g w', b('5-2'), 'XADD k 5-2 f v g w'],
      ['XADD k NOMKSTREAM * f v', null, 'none'],
      ['XADD k NOMKSTREAM * f v', b('5-1'), 'XADD k 5-1 f v'],
      ['XADD k MAXLEN 10 * f v', b('5-1'), 'XADD k MAXLEN = 10 5-1 f v'],
      ['XADD k MINID = 4 * f v', b('5-1'), 'XADD k MINID = 4 5-1 f v'],
      ['XADD k MAXLEN ~ 10 LIMIT 5 * f v', b('5-1'), 'XADD k 5-1 f v ; ? XRANGE k - + COUNT 1'],
      ['XADD k DELREF MAXLEN = 10 * f v', b('5-1'), 'XADD k DELREF MAXLEN = 10 5-1 f v'],
      ['XADD k ACKED MAXLEN ~ 10 * f v', b('5-1'), 'copy k'],
      ['XADD k IDMP p 1 * f v', b('5-1'), 'copy k'],
      ['XTRIM k MAXLEN 10', 3, 'as-sent'],
      ['XTRIM k MAXLEN ~ 10', 0, 'none'],
      ['XTRIM k MAXLEN ~ 10', 3, '? XRANGE k - + COUNT 1'],
      ['XGROUP CREATE k g $ MKSTREAM', OK, 'as-sent'],
      ['XGROUP DESTROY k g', 0, 'none'],
      ['XGROUP DELCONSUMER k g c', 0, 'as-sent'],
      ['XACK k g 1-1', 0, 'none'],
      ['XREADGROUP GROUP g c STREAMS k >', null, 'none'],
      [
        'XREADGROUP GROUP g c COUNT 2 STREAMS k >',
        [[b('k'), [entry('1-1'), entry('2-1')]]],
        `XCLAIM k g c 0 1-1 2-1 TIME ${NOW} RETRYCOUNT 1 FORCE JUSTID LASTID 2-1 ; XGROUP SETID k g 2-1`,
      ],
      [
        'XREADGROUP GROUP g c STREAMS k l > >',
        new MapReply([[b('l'), [entry('1-1')]]]),
        `XCLAIM l g c 0 1-1 TIME ${NOW} RETRYCOUNT 1 FORCE JUSTID LASTID 1-1 ; XGROUP SETID l g 1-1`,
      ],
      ['XREADGROUP GROUP g c NOACK STREAMS k >', [[b('k'), [entry('1-1')]]], 'XGROUP SETID k g 1-1'],
      [
        'XREADGROUP GROUP g c COUNT 2 BLOCK 5 STREAMS k 0',
        [[b('k'), [entry('1-1'), [b('2-1'), null]]]],
        `XREADGROUP GROUP g c COUNT 2 STREAMS k 0 ; XCLAIM k g c 0 1-1 TIME ${NOW} JUSTID`,
      ],
      ['XREADGROUP GROUP g c STREAMS k 0', [[b('k'), []]], 'none'],
      ['XREADGROUP GROUP g c STREAMS k k > 0', [[b('k'), [entry('1-1')]]], 'copy k k'],
      ['XREADGROUP GROUP g c CLAIM 5 STREAMS k >', [[b('k'), [entry('1-1')]]], 'copy k'],
      ['XCLAIM k g c 50 1-1', [entry('1-1')], `XCLAIM k g c 0 1-1 TIME ${NOW}`],
      ['XCLAIM k g c 50 1 IDLE 7 RETRYCOUNT 3', [entry('1-0')], `XCLAIM k g c 0 1-0 TIME ${NOW - 7} RETRYCOUNT 3`],
      ['XCLAIM k g c 0 1-1 TIME 9 FORCE JUSTID', bs('1-1'), 'XCLAIM k g c 0 1-1 TIME 9 FORCE JUSTID'],
      ['XCLAIM k g c 50 1-1 3-1 2', [entry('1-1')], `XCLAIM k g c 0 1-1 TIME ${NOW} ; ? XPENDING k g 2-0 3-1 1000`],
      ['XCLAIM k g c 50 1-1', [], '? XPENDING k g 1-1 1-1 1000'],
      ['XCLAIM k g c 50 1-1 1-1', [entry('1-1')], 'copy k'],
      ['XCLAIM k g c 50 1-1', [null], 'copy k'],
      ['XAUTOCLAIM k g c 50 0', [b('0-0'), [entry('1-1')], bs('2-1')], `XCLAIM k g c 0 1-1 TIME ${NOW} ; XACK k g 2-1`],
      ['XAUTOCLAIM k g c 50 0 COUNT 3 JUSTID', [b('0-0'), bs('1-1'), []], `XCLAIM k g c 0 1-1 TIME ${NOW} JUSTID`],
      ['XAUTOCLAIM k g c 50 0', [b('0-0'), [], []], 'none'],
      ['XAUTOCLAIM k g c 50 0', [b('0-0'), [null]], 'copy k'],
    ],
  ],
  [
    'scripts and messages',
    [
      ['EVAL s 2 a b x', 1, 'copy a b'],
      ['EVALSHA s 1 a', new ErrorReply('ERR half-way'), 'copy a'],
      ['EVAL s 0', OK, 'unknown'],
      ['FCALL f 1 a', null, 'copy a'],
      ['EVAL_RO s 1 a', 1, 'none'],
      ['SCRIPT LOAD s', b('sha'), 'as-sent'],
      ['SCRIPT KILL', OK, 'none'],
      ['PUBLISH ch m', 0, 'as-sent'],
    ],
  ],
]

describe.each(rows)('%s', (_group, cases) => {
  test.each(cases)('%s answered with %o is %s', (line, reply, expected) => {
    expect(shown(effectFor(line, reply))).toBe(expected)
  })
})

describe('a shadow without PXAT', () => {
  const old = { ...context, shadowHasAbsoluteExpiry: false }
  test('gets the relative time, made exact at once', () => {
    expect(shown(effectFor('SET k v EX 10', OK, old))).toBe('PSETEX k 10000 v ; PEXPIREAT k 1000000010000')
  })
  test('gets a time that has passed as the end that it is', () => {
    expect(shown(effectFor('SET k v PXAT 5', OK, old))).toBe('SET k v ; PEXPIREAT k 5')
  })
})

test('a shadow without HSETEX gets HSET', () => {
  const old = { ...context, shadowHasHsetex: false }
  expect(shown(effectFor('HINCRBYFLOAT k f 1', b('2'), old))).toBe('HSET k f 2')
  // It would take the field's time away.
  expect(shown(effectFor('HINCRBYFLOAT k f 1', b('2'), { ...old, haveFieldTimes: true }))).toBe('copy k')
})

test('who cannot ask the primary copies instead', () => {
  const { canAsk: _canAsk, ...mute } = context
  for (const [line, reply] of [
    ['XADD k MAXLEN ~ 10 * f v', b('5-1')],
    ['XTRIM k MAXLEN ~ 10', 3],
    ['XCLAIM k g c 5 1-1', []],
  ] as [string, Reply][]) {
    expect(shown(effectFor(line, reply, mute))).toBe('copy k')
  }
})

function followUp(line: string, reply: Reply, answer: Reply): string {
  const effect = effectFor(line, reply)
  if (effect.kind !== 'commands' || effect.followUp === undefined) throw new Error('nothing is asked')
  return shown(effect.followUp.effect(answer))
}

test("an approximate trim becomes the exact one up to the primary's first entry", () => {
  expect(followUp('XTRIM k MAXLEN ~ 10', 3, [entry('7-1')])).toBe('XTRIM k MINID = 7-1')
  expect(followUp('XADD k MAXLEN ~ 1 * f v', b('9-1'), [])).toBe('XTRIM k MAXLEN = 0')
  expect(followUp('XTRIM k DELREF MAXLEN ~ 10', 3, [entry('7-1')])).toBe('XTRIM k MINID = 7-1 DELREF')
})

test('of the ids that were not claimed, those that are no longer pending are forgotten', () => {
  const pending = [[b('3-1'), b('other'), 5, 1]]
  expect(followUp('XCLAIM k g c 50 2-1 3-1', [], pending)).toBe('XACK k g 2-1')
  expect(followUp('XCLAIM k g c 50 3-1', [], pending)).toBe('none')
  expect(followUp('XCLAIM k g c 50 3-1', [], Array(1000).fill(pending[0]))).toBe('copy k')
})

/** `EFFECTS_SERVER=valkey-server vitest run ...`: of another version or make. */
describe('no write is forgotten', () => {
  let server: RedisServer
  let listed: string[]

  beforeAll(async () => {
    server = await startRedis({ program: process.env['EFFECTS_SERVER'] ?? 'redis-server' })
    const client = await WireClient.open(server.port)
    listed = writesIn(await client.call('COMMAND'))
    client.close()
  })
  afterAll(() => server.stop())

  function writesIn(entries: Reply): string[] {
    return (entries as readonly (readonly Reply[])[]).flatMap((item) => {
      const isWrite = (item[2] as readonly SimpleReply[]).some((flag) => flag.text === 'write')
      return [...(isWrite ? [String(item[0]).toUpperCase().replace('|', ' ')] : []), ...writesIn(item[9]!)]
    })
  }

  test('every command that a real server flags as a write has a rule', () => {
    expect(listed.length).toBeGreaterThan(100)
    expect(listed.filter((name) => effectRuleOf(name) === null)).toEqual([])
  })

  test('every write of the newest Redis has a rule', () => {
    const missing = [...table.all()].filter((spec) => spec.write && spec.effect === null)
    expect(missing.map((spec) => spec.name)).toEqual([])
  })

  /** What neither this server nor the list of commands has: of Redis 7.2 to 8.x, and of Valkey alone. */
  test.each([
    ...['HEXPIRE', 'HPEXPIRE', 'HEXPIREAT', 'HPEXPIREAT', 'HPERSIST', 'HGETEX', 'HSETEX', 'HGETDEL'],
    ...['XACKDEL', 'XDELEX', 'DELEX', 'DELIFEQ', 'MSETEX', 'VADD', 'VREM', 'VSETATTR', 'CLUSTER FLUSHSLOT'],
  ])('%s, younger than the server here, has a rule', (name) => {
    expect(effectRuleOf(name)).not.toBeNull()
  })

  test('every effect that is computed is described, and no other', () => {
    const names = new Set([...table.all()].map(({ name }) => name))
    for (const name of describedCommands()) names.add(name)
    const computed = [...names].filter((name) => effectRuleOf(name)?.kind === 'compute')
    expect(computed.sort()).toEqual(describedCommands().sort())
  })

  test('no command that only reads has one', () => {
    expect([...table.all()].filter((spec) => spec.readonly && spec.effect !== null)).toEqual([])
  })
})
