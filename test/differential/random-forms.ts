import type { Random } from '../support/write-load.ts'

/**
 * Commands over the keys of a schema, whose answers depend on nothing but what was sent before: no time, no random member, no order of a hash table (or the answer is put in order).
 */
export interface RandomForm {
  readonly args: readonly (string | Buffer)[]
  /** How answers are compared: bytes; in any order; the type alone. */
  readonly compare: 'bytes' | 'unordered' | 'kind'
}

/**
 * `$s` a string's key, `$c` a counter's, `$h` a hash's, `$l` a list's, `$t` a set's, `$z` a sorted set's, `$x` a stream's, `$p` a HyperLogLog's, `$g` a geo set's, `$k` any key; `%v` a value, `%n` a small
 * number, `%f` a field, `%i` an entry's id, `%g` a group, `%P` a pattern for keys, `%B` one of SORT, `%S` what may stand in the place of its star, `%D` what DUMP gave. `~` before a
 * template: in any order. `?`: of the same type.
 */
const TEMPLATES = `
SET $s %v
SET $s %v NX
SET $s %v GET
SET $s %v PXAT 4000000000000
SETEX $s 1000 %v
GETSET $s %v
GETDEL $s
GETEX $s PERSIST
MSET $s %v $s %v $c %n
MSETNX $s %v $s %v
MGET $s $s $c $k
GET $s
APPEND $s %v
STRLEN $s
SETRANGE $s %n %v
GETRANGE $s 0 %n
LCS $s $s
INCR $c
INCRBY $c %n
INCRBYFLOAT $c 0.5
GET $c
SETBIT $s %n 1
BITCOUNT $s
BITOP OR $s $s $s
BITFIELD $s SET u8 0 %n INCRBY u4 0 1
PFADD $p %f %v
PFMERGE $p $p
PFCOUNT $p $p
HSET $h %f %v %f %v
HMGET $h %f %f
~HGETALL $h
~HKEYS $h
HINCRBY $h n %n
HDEL $h %f
HSTRLEN $h %f
LPUSH $l %v %f
RPUSH $l %n %n
RPUSH $l %S %S %S
RPUSH $l %S %S
LRANGE $l 0 -1
LPOP $l
RPOP $l %n
LPOS $l %f
LMOVE $l $l LEFT RIGHT
RPOPLPUSH $l $l
LMPOP 2 $l $l LEFT COUNT %n
BLPOP $l $l 0.01
BLMOVE $l $l LEFT LEFT 0.01
BLMPOP 0.01 2 $l $l RIGHT
BRPOPLPUSH $l $l 0.01
LINSERT $l BEFORE %f %v
LTRIM $l 0 12
SORT $l ALPHA
~SORT $l BY nosort GET # GET %B
~SORT $l BY %B GET # GET %B
~SORT $l BY %B DESC ALPHA
SORT $l ALPHA STORE $l
SORT $l ALPHA DESC GET %B LIMIT 0 3 STORE $l
~SORT_RO $l BY %B->f1 GET %B->f2 ALPHA
SADD $t %f %f
SADD $t %n
SREM $t %f
~SMEMBERS $t
SISMEMBER $t %f
SMISMEMBER $t %f %f
SMOVE $t $t %f
~SINTER $t $t
~SUNION $t $t $t
SDIFFSTORE $t $t $t
SUNIONSTORE $t $t $t
SINTERCARD 2 $t $t
ZADD $z %n %f %n %f
ZADD $z GT CH %n %f
ZINCRBY $z 1.5 %f
ZRANGE $z 0 -1 WITHSCORES
ZREVRANGEBYSCORE $z 9 0
ZPOPMIN $z
ZMPOP 2 $z $z MAX COUNT 2
BZPOPMIN $z $z 0.01
BZMPOP 0.01 2 $z $z MIN
ZRANGESTORE $z $z 0 3
ZUNIONSTORE $z 2 $z $z WEIGHTS 2 1
ZUNIONSTORE $z 2 $z $t AGGREGATE MAX
ZINTERSTORE $z 2 $z $z
ZDIFF 2 $z $z WITHSCORES
ZINTERCARD 2 $z $z LIMIT 2
ZUNION 2 $z $z WITHSCORES
GEOADD $g 13.3 38.1 %f 15.08 37.5 %f
GEOPOS $g %f
GEOSEARCHSTORE $z $g FROMLONLAT 15 37 BYRADIUS 400 km
GEORADIUS $g 15 37 400 km STORE $z
GEORADIUS $g 15 37 400 km ASC WITHDIST
GEORADIUSBYMEMBER $g %f 300 km STOREDIST $z
XADD $x %i %f %v
XADD $x 9-* %f %v
XADD $x MAXLEN 6 99-* %f %v
XLEN $x
XRANGE $x - +
XREAD COUNT 2 STREAMS $x $x 0 0
XREAD BLOCK 5 STREAMS $x $x 0 $
XGROUP CREATE $x %g 0 MKSTREAM
XGROUP CREATE $x %g $
XGROUP DESTROY $x %g
XREADGROUP GROUP %g c1 COUNT 2 STREAMS $x >
XREADGROUP GROUP %g c2 COUNT 2 STREAMS $x $x > >
XREADGROUP GROUP %g c1 COUNT 2 STREAMS $x 0
XREADGROUP GROUP %g c1 BLOCK 5 STREAMS $x >
XACK $x %g %i
XPENDING $x %g
XCLAIM $x %g c2 0 %i JUSTID
XAUTOCLAIM $x %g c1 0 0 COUNT 2 JUSTID
?XINFO GROUPS $x
?XINFO STREAM $x
XDEL $x %i
XTRIM $x MAXLEN 3
DEL $k
UNLINK $k $k $k
EXISTS $k $k $k
TOUCH $k $k
TYPE $k
TYPE $k
EXPIRE $k 1000
PEXPIREAT $k 4000000000000
?PEXPIRETIME $k
EXPIRE $k -1
PERSIST $k
?TTL $k
RENAME $k $k
RENAMENX $k $k
COPY $k $k
COPY $k $k REPLACE
?OBJECT ENCODING $k
?OBJECT REFCOUNT $k
?OBJECT FREQ $k
?MEMORY USAGE $k
?DUMP $s
?DUMP $l
RESTORE $s 0 %D REPLACE
RESTORE $s 0 %D
~KEYS %P
~KEYS %P
DBSIZE
FLUSHDB
?RANDOMKEY
EVAL return{redis.call('type',KEYS[1]),redis.call('exists',KEYS[2])} 2 $k $k
EVAL redis.call('rpush',KEYS[1],ARGV[1])return{redis.call('llen',KEYS[1]),KEYS[2]} 2 $l $k %v
EVAL return{KEYS[2],ARGV[1],{KEYS[1]}} 2 $k $k %v
EVAL return{redis.pcall('xpending',KEYS[1],'none'),KEYS[1]} 1 $x
EVAL return{redis.call('xread','streams',KEYS[1],'0')} 1 $x
EVAL return{redis.call('lmpop',1,KEYS[1],'LEFT')} 1 $l
EVAL return{redis.call('xpending',KEYS[1],'none'),KEYS[1]} 1 $x
EVAL_RO return{redis.call('strlen',KEYS[1])} 1 $s
COMMAND GETKEYS SET $k %v
NONSENSE $k
GET
ZADD $z
ECHO $k
`
  .trim()
  .split('\n')
  .map((line) => {
    const mark = line[0]
    const compare = mark === '~' ? ('unordered' as const) : mark === '?' ? ('kind' as const) : ('bytes' as const)
    return { compare, parts: (compare === 'bytes' ? line : line.slice(1)).split(' ') }
  })

export class FormSource {
  readonly #random: Random
  readonly #byType = new Map<string, Buffer[]>()
  readonly #keys: readonly Buffer[]
  readonly #payload: Buffer

  constructor(random: Random, keys: readonly Buffer[], payload: Buffer) {
    this.#random = random
    this.#keys = keys
    this.#payload = payload
    // A key may be of several: errors are a part of it.
    for (const type of 'schltzxpg')
      this.#byType.set(
        type,
        Array.from({ length: 3 }, () => random.pick(keys)),
      )
  }

  next(): RandomForm {
    const { compare, parts } = this.#random.pick(TEMPLATES)
    const args: (string | Buffer)[] = []
    for (const part of parts) args.push(this.#fill(part))
    return { args, compare }
  }

  #fill(part: string): string | Buffer {
    const random = this.#random
    const arrow = part.indexOf('->')
    if (arrow > 0 && part[0] === '%')
      return Buffer.concat([this.#bytes(this.#fill(part.slice(0, arrow))), Buffer.from(part.slice(arrow))])
    if (!/^[$%][a-zA-Z]$/.test(part)) return part
    const kind = part[1]!
    if (part[0] === '$') {
      if (kind === 'k' || random.below(25) === 0) return random.pick(this.#keys)
      return random.pick(this.#byType.get(kind)!)
    }
    switch (kind) {
      case 'v':
        return `v${random.below(30)}`
      case 'n':
        return String(random.below(4) + 1)
      case 'f':
        return `f${random.below(4)}`
      case 'g':
        return `g${random.below(2)}`
      case 'i':
        return `${random.below(40) + 1}-${random.below(3)}`
      case 'D':
        return this.#payload
      case 'S':
        return this.#element()
      case 'B':
        return this.#starred()
      default:
        return this.pattern()
    }
  }

  #bytes(value: string | Buffer): Buffer {
    return typeof value === 'string' ? Buffer.from(value, 'latin1') : value
  }

  /** What may take the place of the star of a pattern of SORT. */
  #element(): Buffer {
    const key = this.#random.pick(this.#keys)
    const colon = key.indexOf(0x3a)
    return colon < 0 || this.#random.below(3) === 0 ? Buffer.from(`${this.#random.below(9)}`) : key.subarray(colon + 1)
  }

  /** A pattern of SORT: a key with a star in it. */
  #starred(): Buffer {
    const key = this.#random.pick(this.#keys)
    const colon = key.indexOf(0x3a)
    return Buffer.concat([key.subarray(0, colon + 1), Buffer.from('*')])
  }

  /** For KEYS and MATCH: made of a key, with specials at any place. */
  pattern(): Buffer {
    const random = this.#random
    const key = random.pick(this.#keys)
    const bytes: number[] = []
    for (const byte of key) {
      switch (random.below(10)) {
        case 0:
          bytes.push(0x2a)
          break
        case 1:
          bytes.push(0x3f)
          break
        case 2:
          bytes.push(0x5b, byte, 0x5d)
          break
        case 3:
          bytes.push(0x5c, byte)
          break
        default:
          bytes.push(byte)
      }
      if (random.below(12) === 0) {
        bytes.push(0x2a)
        break
      }
    }
    return random.below(4) === 0 ? Buffer.from('*') : Buffer.from(bytes)
  }
}
