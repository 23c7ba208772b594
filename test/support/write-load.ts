import { encodeCommand } from '../../src/resp/encode.ts'
import { RawClient } from './raw-client.ts'

type Args = readonly (string | number)[]

/** The same sequence for the same seed: mulberry32. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 <= n < below, whole. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}

/**
 * Write commands of every kind, as templates: `$s` a string's key, `$h` a hash's, `$l` a list's, `$t` a set's, `$z` a sorted set's, `$x` a stream's,
 * `$p` a HyperLogLog's, `$k` any key; `%v` a value, `%n` a small number, `%f` a field or member, `%i` an entry's id, `%g` a group's name,
 * `%a` a time to come, absolute in ms.
 */
const TEMPLATES = `
SET $s %v
SET $s %v
SET $s %v EX 1%n00
SET $s %v PX 1%n0000
SET $s %v PXAT %a
SET $s %v NX
SET $s %v XX
SET $s %v KEEPTTL
SET $s %v GET
SETEX $s 1%n00 %v
SETNX $s %v
GETSET $s %v
GETDEL $s
GETEX $s PXAT %a
GETEX $s PERSIST
MSET $s %v $s %v $s %v
MSETNX $s %v $s %v
APPEND $s %v
SETRANGE $s %n %v
INCR $c
DECRBY $c %n
INCRBYFLOAT $c 0.5
SETBIT $b %n 1
BITFIELD $b SET u8 0 %n INCRBY u4 0 1
BITOP OR $b $b $b
PFADD $p %f %f %v
PFMERGE $p $p $p
HSET $h %f %v %f %v
HSETNX $h %f %v
HMSET $h %f %v
HDEL $h %f %f
HINCRBY $h n%n %n
HINCRBYFLOAT $h n%n 1.25
LPUSH $l %v %v
RPUSH $l %v
LPUSHX $l %v
LINSERT $l BEFORE %f %v
RPUSH $l %f
LSET $l %n %v
LREM $l 1 %f
LTRIM $l 0 20
LPOP $l
RPOP $l %n
LMOVE $l $l LEFT RIGHT
RPOPLPUSH $l $l
LMPOP 2 $l $l LEFT COUNT %n
SADD $t %f %f %f
SREM $t %f
SPOP $t
SPOP $t %n
SMOVE $t $t %f
SINTERSTORE $t $t $t
SUNIONSTORE $t $t $t
SDIFFSTORE $t $t $t
ZADD $z %n %f %n %f
ZADD $z NX CH %n %f
ZADD $z GT INCR %n %f
ZINCRBY $z 1.5 %f
ZREM $z %f
ZPOPMIN $z
ZPOPMAX $z %n
ZMPOP 2 $z $z MAX COUNT 2
ZREMRANGEBYRANK $z 0 %n
ZREMRANGEBYSCORE $z 0 %n
ZRANGESTORE $z $z 0 5
ZUNIONSTORE $z 2 $z $z WEIGHTS 2 1
ZINTERSTORE $z 2 $z $z
GEOADD $z 13.3 38.1 %f
XADD $x * %f %v
XADD $x * %f %v
XADD $x MAXLEN ~ 20 * %f %v
XADD $x MAXLEN 10 * %f %v
XTRIM $x MAXLEN ~ 5
XDEL $x %i
XGROUP CREATE $x %g 0 MKSTREAM
XGROUP CREATE $x %g $ MKSTREAM
XREADGROUP GROUP %g c%n COUNT 2 STREAMS $x >
XREADGROUP GROUP %g c%n COUNT 2 STREAMS $x 0
XACK $x %g %i
XCLAIM $x %g c%n 0 %i
XAUTOCLAIM $x %g c%n 0 0 COUNT 2
XGROUP DELCONSUMER $x %g c%n
DEL $k
UNLINK $k $k
EXPIRE $k 1%n00
PEXPIRE $k 1%n0000 NX
PEXPIREAT $k %a
PEXPIREAT $k %a GT
EXPIRE $k -1
PERSIST $k
RENAME $s $s
RENAMENX $l $l
COPY $h $h REPLACE
SORT $l ALPHA LIMIT 0 5 STORE $l
EVAL redis.call('incr',KEYS[1])redis.call('append',KEYS[2],ARGV[1]) 2 $c $s %v
EVAL redis.call('rpush',KEYS[1],ARGV[1])return{redis.call('llen',KEYS[1])} 1 $l %v
EVAL redis.call('time')redis.call('incr',KEYS[1])redis.call('append',KEYS[2],ARGV[1]) 2 $c $s %v
EVAL redis.call('set',KEYS[1],redis.call('time')[2]) 1 $s
EVAL redis.call('set',KEYS[1],1)return{err='half-way'} 1 $s
GET $s
HGETALL $h
LRANGE $l 0 -1
`
  .trim()
  .split('\n')
  .map((line) => line.split(' '))

/** Reads of every kind that can be compared. */
const READS = `
GET $s
GET $c
MGET $s $s $s
STRLEN $s
GETRANGE $s 0 3
BITCOUNT $b
EXISTS $k $k
TYPE $k
TTL $k
PTTL $s
PEXPIRETIME $s
HGETALL $h
HGET $h %f
HMGET $h %f %f
HLEN $h
HKEYS $h
LRANGE $l 0 -1
LLEN $l
LINDEX $l %n
SMEMBERS $t
SCARD $t
SISMEMBER $t %f
SINTER $t $t
SUNION $t $t
ZRANGE $z 0 -1 WITHSCORES
ZSCORE $z %f
ZCARD $z
ZRANGEBYSCORE $z 0 %n
XLEN $x
XRANGE $x - +
XREVRANGE $x + - COUNT 2
`
  .trim()
  .split('\n')
  .map((line) => line.split(' '))

export interface LoadOptions {
  readonly seed: number
  /** Names of keys: `x:` is put before some. Default: no prefix, and `job:`. */
  readonly prefixes?: readonly string[]
  /** Keys of each type and prefix. */
  readonly keys?: number
  readonly databases?: readonly number[]
  /** Default: writes. */
  readonly kind?: 'writes' | 'reads'
}

/** One client that sends random writes, one by one, pipelined, in transactions of every form; or random reads. */
export class Writer {
  readonly #random: Random
  readonly #client: RawClient
  readonly #options: Required<LoadOptions>
  commands = 0
  /** By code. What a store refuses (wrong type, no such key) is part of the load. */
  readonly errors = new Map<string, number>()
  /** Texts of errors that Understudy made itself. */
  readonly ownErrors: string[] = []

  private constructor(client: RawClient, options: LoadOptions) {
    this.#client = client
    this.#options = { prefixes: ['', 'job:'], keys: 4, databases: [0], kind: 'writes', ...options }
    this.#random = new Random(options.seed)
  }

  static async open(port: number, protocol: 2 | 3, options: LoadOptions): Promise<Writer> {
    const client = await RawClient.open(port)
    if (protocol === 3) await client.ask('HELLO', 3)
    return new Writer(client, options)
  }

  close(): void {
    this.#client.destroy()
  }

  async run(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) await this.round()
  }

  async round(): Promise<void> {
    const random = this.#random
    if (this.#options.kind === 'reads') return this.#send(this.#some(random.below(8) + 1))
    switch (random.below(10)) {
      case 0:
        return this.#whole(random.below(5) + 1)
      case 1:
        return this.#piecewise(random.below(4) + 1, random.below(2) === 0)
      case 2:
        if (this.#options.databases.length > 1) await this.#send([['SELECT', random.pick(this.#options.databases)]])
        return
      case 3:
      case 4:
        return this.#send([this.command()])
      default:
        return this.#send(this.#some(random.below(20) + 2))
    }
  }

  command(): Args {
    const random = this.#random
    const templates = this.#options.kind === 'reads' ? READS : TEMPLATES
    return random.pick(templates).map((part) => part.replace(/[$%][a-z]/g, (mark) => this.#fill(mark)))
  }

  #some(count: number): Args[] {
    return Array.from({ length: count }, () => this.command())
  }

  #fill(mark: string): string {
    const random = this.#random
    const { prefixes, keys } = this.#options
    switch (mark) {
      case '%v':
        return `v${random.below(1000)}`
      case '%n':
        return String(random.below(5) + 1)
      case '%f':
        return `f${random.below(8)}`
      case '%g':
        return `g${random.below(2)}`
      case '%i':
        return `${Date.now() - random.below(50)}-0`
      case '%a':
        return String(Date.now() + 200_000 + random.below(100_000))
      case '$k':
        return `${random.pick(prefixes)}${random.pick([...'shltzxpcb'])}${random.below(keys)}`
    }
    // Now and then a key of another type, so that errors are part of it.
    const type = random.below(60) === 0 ? random.pick([...'shltzx']) : mark[1]!
    return `${random.pick(prefixes)}${type}${random.below(keys)}`
  }

  async #send(commands: readonly Args[]): Promise<void> {
    this.#client.send(Buffer.concat(commands.map((args) => encodeCommand(args))))
    for (const reply of await this.#client.take(commands.length)) this.#note(reply)
    this.commands += commands.length
  }

  async #whole(size: number): Promise<void> {
    await this.#send([['MULTI'], ...this.#some(size), ['EXEC']])
  }

  async #piecewise(size: number, watch: boolean): Promise<void> {
    if (watch) await this.#send([['WATCH', this.#fill('$s')]])
    await this.#send([['MULTI']])
    for (let i = 0; i < size; i++) await this.#send([this.command()])
    await this.#send([[this.#random.below(6) === 0 ? 'DISCARD' : 'EXEC']])
  }

  #note(reply: string): void {
    if (!reply.startsWith('-')) return
    const code = reply.slice(1).split(' ', 1)[0]!
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1)
    if (reply.includes('Understudy') || code === 'CROSSROUTE') this.ownErrors.push(reply)
  }
}

/** A client that takes elements from lists and sorted sets by blocking commands, until `stop`. */
export class Consumer {
  readonly #client: RawClient
  readonly #random: Random
  readonly #prefixes: readonly string[]
  #going = true
  #done: Promise<void> = Promise.resolve()
  taken = 0
  readonly ownErrors: string[] = []

  private constructor(client: RawClient, seed: number, prefixes: readonly string[]) {
    this.#client = client
    this.#random = new Random(seed)
    this.#prefixes = prefixes
  }

  static async start(
    port: number,
    protocol: 2 | 3,
    seed: number,
    prefixes: readonly string[] = ['', 'job:'],
  ): Promise<Consumer> {
    const client = await RawClient.open(port)
    if (protocol === 3) await client.ask('HELLO', 3)
    const consumer = new Consumer(client, seed, prefixes)
    consumer.#done = consumer.#run()
    return consumer
  }

  /** Settles when it has stopped, or its connection has ended. */
  get done(): Promise<void> {
    return this.#done
  }

  /** Its last command is answered before this resolves. */
  async stop(): Promise<void> {
    this.#going = false
    await this.#done
    this.#client.destroy()
  }

  async #run(): Promise<void> {
    while (this.#going) {
      const reply = await this.#client.ask(...this.#take())
      if (reply.startsWith('-')) {
        if (reply.includes('Understudy')) this.ownErrors.push(reply)
      } else if (!/^(?:_|\*-1|\$-1)/.test(reply)) this.taken++
    }
  }

  #take(): Args {
    const key = (type: string): string => `${this.#random.pick(this.#prefixes)}${type}${this.#random.below(4)}`
    switch (this.#random.below(5)) {
      case 0:
        return ['BLPOP', key('l'), key('l'), 0.02]
      case 1:
        return ['BRPOP', key('l'), 0.01]
      case 2:
        return ['BLMOVE', key('l'), key('l'), 'LEFT', 'RIGHT', 0.02]
      case 3:
        return ['BZPOPMIN', key('z'), 0.01]
      default:
        return ['BLMPOP', 0.02, 2, key('l'), key('l'), 'RIGHT', 'COUNT', 2]
    }
  }
}
