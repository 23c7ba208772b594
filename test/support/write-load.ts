import { encodeCommand } from '../../src/resp/encode.ts'
import { RawClient } from './raw-client.ts'
import type { RedisServer } from './redis.ts'
import { EVERYWHERE, FIELD_TIMES, READS, UNDECLARED, WRITES } from './write-templates.ts'

type Args = readonly (Buffer | string | number)[]

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

export interface LoadOptions {
  readonly seed: number
  /** Names of keys: `x:` is put before some. Default: no prefix, and `job:`. */
  readonly prefixes?: readonly string[]
  /** Keys of each type and prefix. */
  readonly keys?: number
  readonly databases?: readonly number[]
  /** The other side has no second one: nothing is moved or copied there. Default: false. */
  readonly oneDatabase?: boolean
  /** Default: writes. */
  readonly kind?: 'writes' | 'reads'
  /** FLUSHALL and its like, now and then. Default: not. */
  readonly everywhere?: boolean
  /** The servers know times of hash fields. Default: not. */
  readonly fieldTimes?: boolean
  /** Scripts that write to keys which they do not declare. Default: not. */
  readonly undeclared?: boolean
  /** For RESTORE and FUNCTION RESTORE. Default: what no server takes. */
  readonly payloads?: Payloads
}

export interface Payloads {
  readonly key: Buffer
  readonly functions: Buffer
}

/** What a server of this version restores; before 7.0 it has no functions. Leaves nothing behind. */
export async function payloadsOf(server: RedisServer): Promise<Payloads> {
  const client = server.client()
  await client.set('payload', 'restored')
  const key = (await client.dumpBuffer('payload')) as Buffer
  await client.del('payload')
  let { functions } = NO_PAYLOADS
  if (((await client.call('COMMAND', 'INFO', 'FUNCTION')) as unknown[])[0] !== null) {
    await client.call('FUNCTION', 'LOAD', 'REPLACE', FUNCTIONS)
    functions = (await client.callBuffer('FUNCTION', 'DUMP')) as Buffer
    await client.call('FUNCTION', 'FLUSH')
  }
  client.disconnect()
  return { key, functions }
}

const FUNCTIONS = `#!lua name=model
redis.register_function('add', function(keys, args) return redis.call('incrby', keys[1], args[1]) end)`

const WRITES_WITHIN = WRITES.filter((parts) => parts[0] !== 'MOVE' && !parts.includes('DB'))

const EVERYWHERE_WITHIN = EVERYWHERE.filter((parts) => parts[0] !== 'SWAPDB')

const NO_PAYLOADS: Payloads = { key: Buffer.from('nothing'), functions: Buffer.from('nothing') }

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
  /** Names of commands that were answered without an error, subcommands with a space. */
  readonly succeeded = new Set<string>()

  private constructor(client: RawClient, options: LoadOptions) {
    this.#client = client
    this.#options = {
      prefixes: ['', 'job:'],
      keys: 4,
      databases: [0],
      oneDatabase: false,
      kind: 'writes',
      everywhere: false,
      fieldTimes: false,
      undeclared: false,
      payloads: NO_PAYLOADS,
      ...options,
    }
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

  /** Each command about whole databases or all functions once: they are drawn so seldom that some seed lacks one. */
  async everywhere(): Promise<void> {
    await this.#send([
      ['FUNCTION', 'LOAD', 'REPLACE', FUNCTIONS],
      ['FUNCTION', 'DELETE', 'model'],
      ...(this.#options.oneDatabase ? EVERYWHERE_WITHIN : EVERYWHERE).filter((parts) => parts[1] !== 'DELETE'),
    ])
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
    const { kind, everywhere, fieldTimes, payloads, oneDatabase, undeclared } = this.#options
    let templates = kind === 'reads' ? READS : oneDatabase ? WRITES_WITHIN : WRITES
    if (fieldTimes && kind === 'writes' && random.below(15) === 0) templates = FIELD_TIMES
    if (undeclared && kind === 'writes' && random.below(20) === 0) templates = UNDECLARED
    if (everywhere && kind === 'writes' && random.below(300) === 0)
      templates = oneDatabase ? EVERYWHERE_WITHIN : EVERYWHERE
    return random.pick(templates).map((part) => {
      if (part === '%PAYLOAD') return payloads.key
      if (part === '%FUNCTIONS') return payloads.functions
      if (part === '%LIBRARY') return FUNCTIONS
      return part.replace(/[$%][a-z]/g, (mark) => this.#fill(mark))
    })
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
    for (const args of commands) this.#note(nameOf(args), await this.#client.text())
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

  #note(name: string, reply: string): void {
    if (!reply.startsWith('-')) {
      if (!reply.startsWith('+QUEUED')) this.succeeded.add(name)
      return
    }
    const code = reply.slice(1).split(' ', 1)[0]!
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1)
    // Where names are others nobody can know what such a call does.
    if (reply.includes('change functions ahead of MULTI')) return
    if (reply.includes('Understudy') || code === 'CROSSROUTE') this.ownErrors.push(reply)
  }
}

/** Containers' subcommands have names of two words. */
function nameOf(args: Args): string {
  const name = String(args[0]).toUpperCase()
  return name === 'XGROUP' || name === 'FUNCTION' ? `${name} ${String(args[1]).toUpperCase()}` : name
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
  readonly succeeded = new Set<string>()

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
      const args = this.#take()
      const reply = await this.#client.ask(...args)
      if (reply.startsWith('-')) {
        if (reply.includes('Understudy')) this.ownErrors.push(reply)
      } else {
        this.succeeded.add(String(args[0]))
        if (!/^(?:_|\*-1|\$-1)/.test(reply)) this.taken++
      }
    }
  }

  #take(): Args {
    const key = (type: string): string => `${this.#random.pick(this.#prefixes)}${type}${this.#random.below(4)}`
    switch (this.#random.below(9)) {
      case 0:
        return ['BLPOP', key('l'), key('l'), 0.02]
      case 1:
        return ['BRPOP', key('l'), 0.01]
      case 2:
        return ['BLMOVE', key('l'), key('l'), 'LEFT', 'RIGHT', 0.02]
      case 3:
        return ['BZPOPMIN', key('z'), 0.01]
      case 4:
        return ['BZPOPMAX', key('z'), key('z'), 0.01]
      case 5:
        return ['BRPOPLPUSH', key('l'), key('l'), 0.02]
      case 6:
        return ['BZMPOP', 0.01, 2, key('z'), key('z'), 'MAX', 'COUNT', 2]
      case 7:
        return ['XREADGROUP', 'GROUP', 'g0', 'blocked', 'COUNT', 1, 'BLOCK', 20, 'STREAMS', key('x'), '>']
      default:
        return ['BLMPOP', 0.02, 2, key('l'), key('l'), 'RIGHT', 'COUNT', 2]
    }
  }
}
