import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Effect, EffectContext, FollowUp } from '../../src/command/effects.ts'
import { findKeys, KeyPositions } from '../../src/command/keys.ts'
import { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import { ErrorReply, type Reply } from '../../src/resp/reply.ts'
import { effectOf } from '../support/effect-of.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { WireClient } from '../support/wire-client.ts'

/**
 * Any sequence of writes on one server, their effects on another: both hold the same afterwards. The primary's time of each command is taken
 * before and after it; when both are the same ms, expiries must be equal to the ms, else within the difference.
 */

const table = CommandTable.builtin()
let primaryServer: RedisServer
let shadowServer: RedisServer
/** RESP2 and RESP3 connections to the primary. */
let primaries: WireClient[]
let shadow: WireClient

beforeAll(async () => {
  // Small nodes, so that approximate trims take something away.
  const args = ['--stream-node-max-entries', '3']
  ;[primaryServer, shadowServer] = await Promise.all([startRedis({ args }), startRedis()])
  primaries = [await WireClient.open(primaryServer.port), await WireClient.open(primaryServer.port)]
  await primaries[1]!.call('HELLO', 3)
  shadow = await WireClient.open(shadowServer.port)
})

afterAll(async () => {
  for (const client of [...primaries, shadow]) client.close()
  await Promise.all([primaryServer.stop(), shadowServer.stop()])
})

/** What a `$x` in a template may become. Few keys and values, so that commands meet. Times are far away or past: nothing expires during a run. */
const POOLS: Record<string, readonly string[]> = {
  s: ['s1', 's2', 's3', 'l1'],
  l: ['l1', 'l2', 's1'],
  t: ['t1', 't2', 't3', 'z1'],
  h: ['h1', 'h2', 'l1'],
  z: ['z1', 'z2', 'z3', 't1'],
  g: ['g1', 'g2'],
  x: ['x1', 'x2', 'x1', 's2'],
  k: ['s1', 's2', 'l1', 'l2', 't1', 't2', 'h1', 'z1', 'z2', 'x1', 'x2', 'p1', 'none'],
  p: ['p1', 'p2'],
  v: ['a', 'b', '1', '2', '1.5', ''],
  m: ['a', 'b', 'c', 'd', '1', '2'],
  n: ['0', '1', '2', '3', '-1', '-2'],
  c: ['1', '2', '3'],
  d: ['0.1', '-2.5', '3', '1e2', 'inf'],
  e: ['500000', '90000', '0', '-5', '99999999'],
  at: ['4000000000', '5', '3999999999'],
  pat: ['4000000000123', '5', '3999999999001'],
  id: ['1-1', '2-1', '3-1', '4-1', '5-1', '6-1', '7-1', '8-1'],
  // `#` becomes the number of XADDs so far, so that ids mostly rise.
  new: ['#-1', '#-1', '#-1', '#-*', '#-*', '3-*', '9-1', '*'],
  cg: ['g', 'g', 'g2'],
  co: ['c1', 'c2'],
  lr: ['LEFT', 'RIGHT'],
  mm: ['MIN', 'MAX'],
  cond: ['NX', 'XX', 'GT', 'LT'],
}

const TEMPLATES = `
SET $s $v|SET $s $v EX $e|SET $s $v PX $e|SET $s $v EXAT $at|SET $s $v PXAT $pat|SET $s $v KEEPTTL|SET $s $v NX|SET $s $v XX EX 100
SET $s $v NX GET|SET $s $v XX GET|SET $s $v GET EX 500|SET $s $v XX KEEPTTL|SETEX $s $e $v|PSETEX $s $e $v|SETNX $s $v|GETSET $s $v
GETDEL $s|GETEX $s|GETEX $s EX $e|GETEX $s PXAT $pat|GETEX $s EXAT $at|GETEX $s PERSIST|MSET $s $v $s $v|MSETNX $s $v $p $v
APPEND $s $v|SETRANGE $s $n $v|INCR $s|DECR $s|INCRBY $s $n|DECRBY $s $n|INCRBYFLOAT $s $d|SETBIT $s $c 1|BITFIELD $s INCRBY u2 $c 3
BITFIELD $s OVERFLOW FAIL INCRBY u2 0 3 GET u8 0|BITOP XOR $s $s $s|BITOP NOT $s $s|PFADD $p $v $m|PFMERGE $p $p|PFCOUNT $p
DEL $k $k|UNLINK $k|EXPIRE $k $e|PEXPIRE $k $e|EXPIREAT $k $at|PEXPIREAT $k $pat|EXPIRE $k $e $cond|PEXPIREAT $k $pat $cond|PERSIST $k
RENAME $k $k|RENAMENX $k $k|COPY $k $k|COPY $k $k REPLACE|MOVE $k 1|SORT $l STORE $l|SORT $t ALPHA DESC LIMIT 0 2 STORE $l
SORT $t BY nosort STORE $l|SORT $z BY s* GET # GET s* STORE $l|SORT $l
HSET $h $m $v|HSET $h $m $v $m $v|HMSET $h $m $v|HSETNX $h $m $v|HDEL $h $m $m|HINCRBY $h $m $n|HINCRBYFLOAT $h $m $d
LPUSH $l $v $v|RPUSH $l $v|LPUSHX $l $v|RPUSHX $l $v|LINSERT $l BEFORE $v $m|LSET $l $n $v|LREM $l $n $v|LTRIM $l $n $n
LPOP $l|RPOP $l|LPOP $l $c|RPOP $l $c|LMOVE $l $l $lr $lr|RPOPLPUSH $l $l|LMPOP 2 $l $l $lr COUNT $c|LMPOP 1 $l $lr
BLPOP $l $l 0.001|BRPOP $l 0.001|BLMPOP 0.001 2 $l $l $lr COUNT $c|BLMOVE $l $l $lr $lr 0.001|BRPOPLPUSH $l $l 0.001
SADD $t $m $m $m|SREM $t $m|SMOVE $t $t $m|SPOP $t|SPOP $t $c|SPOP $t 0|SINTERSTORE $t $t $t|SUNIONSTORE $t $t $t|SDIFFSTORE $t $t $t
ZADD $z $c $m $d $m|ZADD $z NX $c $m|ZADD $z XX GT CH $d $m|ZADD $z INCR $d $m|ZADD $z NX INCR $d $m|ZINCRBY $z $d $m|ZREM $z $m
ZREMRANGEBYSCORE $z 0 $c|ZREMRANGEBYRANK $z 0 $n|ZREMRANGEBYLEX $z - [b|ZPOPMIN $z|ZPOPMAX $z $c|ZMPOP 2 $z $z $mm COUNT $c
BZPOPMIN $z $z 0.001|BZPOPMAX $z 0.001|BZMPOP 0.001 1 $z $mm COUNT $c|ZUNIONSTORE $z 2 $z $t WEIGHTS $d 2 AGGREGATE MAX
ZINTERSTORE $z 2 $z $z|ZDIFFSTORE $z 2 $z $z|ZRANGESTORE $z $z 0 $n|GEOADD $g 13.36 38.11 a 15.08 37.5 b|GEOADD $g CH 2.3 48.8 c
GEOSEARCHSTORE $z $g FROMLONLAT 15 37 BYRADIUS 400 km|GEOSEARCHSTORE $z $g FROMMEMBER a BYBOX 400 400 km ASC COUNT 1
GEOSEARCHSTORE $z $g FROMLONLAT 15 37 BYRADIUS 400 km STOREDIST|GEORADIUS $g 15 37 400 km STORE $z|GEORADIUSBYMEMBER $g a 300 km STOREDIST $z
XADD $x $new f $v|XADD $x NOMKSTREAM $new f $v|XADD $x MAXLEN 3 $new f $v|XADD $x MAXLEN = 2 $new f $v|XADD $x MINID 3 $new f $v
XADD $x MAXLEN ~ 2 $new f $v|XADD $x MINID ~ 5 LIMIT 3 $new f $v|XADD $x $new f $v|XADD $x $new f $v|XADD $x $new f $v
XTRIM $x MAXLEN $c|XTRIM $x MAXLEN ~ $c|XTRIM $x MAXLEN ~ 0|XTRIM $x MINID ~ $id|XTRIM $x MINID $id|XDEL $x $id $id|XSETID $x 20-1
XGROUP CREATE $x $cg $ MKSTREAM|XGROUP CREATE $x $cg 0 MKSTREAM|XGROUP CREATE $x $cg $id|XGROUP SETID $x $cg $id|XGROUP SETID $x $cg $
XGROUP DESTROY $x g2|XGROUP CREATECONSUMER $x $cg $co|XGROUP DELCONSUMER $x $cg $co|XACK $x $cg $id $id
XREADGROUP GROUP $cg $co STREAMS $x >|XREADGROUP GROUP $cg $co COUNT 1 STREAMS $x >|XREADGROUP GROUP $cg $co NOACK COUNT 1 STREAMS $x >
XREADGROUP GROUP $cg $co COUNT 2 STREAMS $x 0|XREADGROUP GROUP $cg $co STREAMS $x $id|XREADGROUP GROUP g $co COUNT 1 STREAMS x1 x2 > 0
XREADGROUP GROUP $cg $co BLOCK 1 STREAMS $x >|XCLAIM $x $cg $co 0 $id $id|XCLAIM $x $cg $co 0 $id JUSTID|XCLAIM $x $cg $co 100000 $id $id
XCLAIM $x $cg $co 0 $id IDLE 5000 RETRYCOUNT 7|XCLAIM $x $cg $co 0 $id TIME 1000 FORCE LASTID 3-1|XCLAIM $x $cg $co 0 $id FORCE JUSTID
XAUTOCLAIM $x $cg $co 0 0 COUNT 2|XAUTOCLAIM $x $cg $co 0 $id JUSTID|XAUTOCLAIM $x $cg $co 100000 0
EVAL return(redis.call('set',KEYS[1],ARGV[1])) 1 $s $v|EVAL redis.call('rpush',KEYS[1],'x')redis.call('incr',KEYS[2]) 2 $l $s
FLUSHDB
`
  .trim()
  .split(/[|\n]/)

/** What every run begins with, so that commands find something. */
const PREPARED = `
SET s1 1 EX 5000|SET s2 a|RPUSH l1 a b 1 2 a|RPUSH l2 1 2|SADD t1 a b c|SADD t2 b c d|HSET h1 a 1 b x|ZADD z1 1 a 2 b 3 c|ZADD z2 5 a 6 d
GEOADD g1 13.36 38.11 a 15.08 37.5 b|PFADD p1 a b|XADD x1 1-1 f v|XADD x1 2-1 f v|XADD x1 3-1 f v|XADD x1 4-1 f v|XADD x2 1-1 f v
XGROUP CREATE x1 g 0|XREADGROUP GROUP g c1 COUNT 2 STREAMS x1 >|XREADGROUP GROUP g c2 COUNT 1 STREAMS x1 >
`
  .trim()
  .split(/[|\n]/)

/** Commands of one theme meet more often than any of all. */
const STREAMS = TEMPLATES.filter((template) => template.startsWith('X'))
const TIMES = TEMPLATES.filter((template) =>
  /EXPIRE|PERSIST|GETEX|SETEX|\b(?:EX|PX|EXAT|PXAT|KEEPTTL)\b|^RENAME|^COPY|^GETSET/.test(template),
)
const COLLECTIONS = TEMPLATES.filter((template) => /^(?:[BLRSZH]|COPY|RENAME|MOVE|GEO)/.test(template))

interface Step {
  readonly args: readonly string[]
  /** Whether what is to be asked later is asked now. */
  readonly settle: boolean
}

function stepOf(templates: readonly string[]): fc.Arbitrary<Step> {
  const choices = fc.array(fc.nat(29), { minLength: 8, maxLength: 8 })
  return fc.tuple(fc.constantFrom(...templates), choices, fc.boolean()).map(([template, chosen, settle]) => {
    let used = 0
    const args = template.split(' ').map((part) => {
      const pool = part.startsWith('$') ? POOLS[part.slice(1)] : undefined
      return pool === undefined ? part : pool[chosen[used++ % chosen.length]! % pool.length]!
    })
    return { args, settle }
  })
}

const sequences = fc.oneof(
  ...[TEMPLATES, STREAMS, STREAMS, TIMES, COLLECTIONS].map((templates) =>
    fc.array(stepOf(templates), { minLength: 1, maxLength: 60, size: 'max' }),
  ),
)

/** A step after which nothing is asked yet. */
function unasked(line: string): Step {
  return { args: line.split(' '), settle: false }
}

async function timeMs(client: WireClient): Promise<number> {
  const [seconds, micros] = (await client.call('TIME')) as Buffer[]
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}

class Replay {
  readonly #primary: WireClient
  readonly #options: Omit<EffectContext, 'nowMs'>
  readonly #asked: FollowUp[] = []
  #added = 0
  /** How far times on both sides may be apart, ms. */
  slackMs = 0
  readonly log: string[] = []

  constructor(primary: WireClient, options: Omit<EffectContext, 'nowMs'>) {
    this.#primary = primary
    this.#options = options
  }

  async run(step: Step): Promise<void> {
    if (step.args[0] === 'XADD') this.#added++
    const args = step.args.map((arg) => Buffer.from(arg.replace(/^#(?=-)/, String(this.#added))))
    const several = keysOf(args).length > 1
    // As in the mirror: what names a key of which something is still to be asked is followed by copies of all its keys.
    const inQuestion =
      several && this.#asked.some(({ keys }) => keysOf(args).some((one) => keys.some((key) => key.equals(one))))
    const [before, reply, after] = await Promise.all([
      timeMs(this.#primary),
      this.#primary.call(...args),
      timeMs(this.#primary),
    ])
    this.slackMs = Math.max(this.slackMs, after - before)
    const effect = effectOf(table.lookup(viewOf(args))!, args, reply, { nowMs: before, ...this.#options })
    this.log.push(args.join(' '))
    await this.#apply(effect, args)
    if (inQuestion) for (const key of keysOf(args)) await copyState(this.#primary, key)
    if (step.settle) await this.settleOne()
  }

  async settleOne(): Promise<boolean> {
    const followUp = this.#asked.shift()
    if (followUp === undefined) return false
    const reply = await this.#primary.call(...followUp.read)
    await this.#apply(reply instanceof ErrorReply ? { kind: 'copy', keys: followUp.keys } : followUp.effect(reply), [])
    return true
  }

  async #apply(effect: Effect, args: readonly Buffer[]): Promise<void> {
    switch (effect.kind) {
      case 'none':
        return
      case 'as-sent':
        return this.#send(args)
      case 'commands':
        for (const command of effect.commands) await this.#send(command)
        if (effect.followUp !== undefined) this.#asked.push(effect.followUp)
        return
      case 'copy':
      case 'unknown':
        for (const key of effect.keys) await copyState(this.#primary, key)
    }
  }

  async #send(args: readonly Buffer[]): Promise<void> {
    const reply = await shadow.call(...args)
    this.log.push(`    -> ${args.join(' ')}`)
    if (reply instanceof ErrorReply) throw new Error(`the shadow refused ${args.join(' ')}: ${reply.text}`)
  }
}

function keysOf(args: readonly Buffer[]): Buffer[] {
  const positions = new KeyPositions()
  const view = viewOf([...args])
  findKeys(table.lookup(view)!, view, positions)
  return [...positions.index.subarray(0, positions.count)].map((i) => args[i]!)
}

async function copyState(primary: WireClient, key: Buffer): Promise<void> {
  const [payload, at] = await Promise.all([primary.call('DUMP', key), primary.call('PEXPIRETIME', key)])
  if (payload === null) await shadow.call('DEL', key)
  else {
    const reply = await shadow.call('RESTORE', key, Math.max(0, at as number), payload as Buffer, 'REPLACE', 'ABSTTL')
    if (reply instanceof ErrorReply) throw new Error(reply.text)
  }
}

/** Everything a keyspace holds, in a form that is the same for equal ones; times apart, for the tolerance. */
async function keyspace(
  client: WireClient,
): Promise<{ values: Record<string, unknown>; times: Record<string, number> }> {
  const keys = ((await client.call('KEYS', '*')) as Buffer[]).map(String).sort()
  const values: Record<string, unknown> = {}
  const times: Record<string, number> = {}
  for (const key of keys) {
    times[key] = (await client.call('PEXPIRETIME', key)) as number
    const type = ((await client.call('TYPE', key)) as { text: string }).text
    values[key] = type === 'stream' ? await streamState(client, key, times) : await plainState(client, key, type)
  }
  return { values, times }
}

async function plainState(client: WireClient, key: string, type: string): Promise<unknown> {
  const texts = async (...args: string[]) =>
    ((await client.call(...args)) as Buffer[]).map((item) => item.toString('hex'))
  switch (type) {
    case 'string':
      return { type, value: ((await client.call('GET', key)) as Buffer).toString('hex') }
    case 'list':
      return { type, value: await texts('LRANGE', key, '0', '-1') }
    case 'set':
      return { type, value: (await texts('SMEMBERS', key)).sort() }
    case 'zset':
      return { type, value: await texts('ZRANGE', key, '0', '-1', 'WITHSCORES') }
    default: {
      const flat = await texts('HGETALL', key)
      return { type, value: flat.flatMap((field, i) => (i % 2 === 0 ? [`${field}=${flat[i + 1]}`] : [])).sort() }
    }
  }
}

/** Without what no effect carries: consumers that own nothing, when they were seen, how many entries a group has read, memory layout. */
async function streamState(client: WireClient, key: string, times: Record<string, number>): Promise<unknown> {
  const info = fields((await client.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0)) as Reply[])
  const groups = (info.get('groups') as Reply[][]).map((group) => {
    const g = fields(group)
    const pending = (g.get('pending') as Reply[][]).map(([id, consumer, deliveredMs, count]) => {
      times[`${key} ${g.get('name')} ${id}`] = deliveredMs as number
      return [String(id), String(consumer), count]
    })
    return { name: String(g.get('name')), last: String(g.get('last-delivered-id')), pending }
  })
  const plain = ['length', 'last-generated-id', 'max-deleted-entry-id', 'entries-added', 'recorded-first-entry-id']
  return {
    ...Object.fromEntries(plain.map((name) => [name, String(info.get(name))])),
    entries: String(info.get('entries')),
    groups,
  }
}

function fields(flat: readonly Reply[]): Map<string, Reply> {
  return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[String(name), flat[i + 1]!] as const] : [])))
}

test('after any sequence of writes the shadow holds what the primary holds', async () => {
  await fc.assert(
    fc.asyncProperty(
      sequences,
      fc.constantFrom(0, 1),
      fc.boolean(),
      fc.boolean(),
      async (steps, resp, canAsk, shadowHasAbsoluteExpiry) => {
        await Promise.all([primaries[0]!.call('FLUSHALL'), shadow.call('FLUSHALL')])
        const replay = new Replay(primaries[resp]!, { canAsk, shadowHasAbsoluteExpiry })
        for (const line of PREPARED) await replay.run({ args: line.split(' '), settle: true })
        for (const step of steps) await replay.run(step)
        while (await replay.settleOne());
        const [there, here] = [await keyspace(primaries[0]!), await keyspace(shadow)]
        expect(here.values, replay.log.join('\n')).toEqual(there.values)
        expect(Object.keys(here.times)).toEqual(Object.keys(there.times))
        for (const [key, time] of Object.entries(there.times)) {
          expect(Math.abs(here.times[key]! - time), `${key}\n${replay.log.join('\n')}`).toBeLessThanOrEqual(
            replay.slackMs,
          )
        }
      },
    ),
    {
      numRuns: Number(process.env['REPLAY_RUNS'] ?? 80),
      // Renamed before it is asked how much of it was trimmed: random sequences hardly ever come to that.
      examples: [[[unasked('XTRIM x1 MAXLEN ~ 1'), unasked('RENAME x1 x2')], 0, true, true]],
    },
  )
}, 240_000)
