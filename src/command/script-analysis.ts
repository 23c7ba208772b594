import { type LuaToken, luaTokens } from './lua-tokens.ts'
import { repliesWithKeys } from './reply-keys.ts'
import type { CommandSpec } from './spec.ts'
import type { CommandTable } from './table.ts'

/** What can be told of a script by reading it. In doubt it is taken for the worse. */
export interface ScriptFacts {
  /** It calls something that may write. */
  readonly writes: boolean
  /** Why two servers with the same data need not do the same for it; null: they do. */
  readonly varies: string | null
  /** Every key that it uses is one of its KEYS. */
  readonly declaresKeys: boolean
  /** It does more with the names of its KEYS than to hand them to commands as keys, or what it calls answers with names: they may be in its reply. */
  readonly tellsNames: boolean
  /** It asks for keys that it does not name: KEYS, SCAN, RANDOMKEY, DBSIZE. */
  readonly asksForAllKeys: boolean
  /**
   * What it does to other keys may depend on what is in a list, a sorted set or a stream, which clients may wait on: it does more with them than to change one and not to look at the answer.
   */
  readonly looksIntoQueues: boolean
  /** What it writes a server does not tell in full to clients that track keys: consumer groups and times of hash fields are left out, and what database a key is in. */
  readonly untold: boolean
  /** Channels that it publishes to; null: one that it computes, or anything may happen. */
  readonly publishesTo: readonly (string | null)[]
}

/**
 * Reads a Lua script (EVAL) or a library of functions: whether it may be carried out again on the shadow.
 *
 *   redis.call('incr', KEYS[1])     a call by a literal name, of a command that does the same everywhere, on a declared key
 *   local call = redis.call         may be called by another name
 *   local key = KEYS[1]             and so may a key, when the name is given once
 *   anything else with `redis`      not understood
 */
export function analyseScript(source: string, commands: CommandTable): ScriptFacts {
  const tokens = luaTokens(source)
  if (tokens === null) return UNREADABLE
  const facts = new Analysis(tokens, commands).facts()
  return UNTOLD.test(source) ? { ...facts, untold: true } : facts
}

const UNREADABLE: ScriptFacts = {
  writes: true,
  varies: 'it cannot be read',
  declaresKeys: false,
  tellsNames: true,
  asksForAllKeys: true,
  looksIntoQueues: true,
  untold: true,
  publishesTo: [null],
}

class Analysis {
  readonly #tokens: readonly LuaToken[]
  readonly #commands: CommandTable
  readonly #calls = new Set<string>()
  readonly #keyNames: Set<string>
  /** Words that stand for a key where a command takes one, or are given another name. */
  readonly #asKeys = new Set<LuaToken>()
  #writes = false
  #varies: string | null = null
  #declaresKeys = true
  #tellsNames = false
  #asksForAllKeys = false
  #looksIntoQueues = false
  #untold = false
  readonly #publishesTo = new Set<string | null>()

  constructor(tokens: readonly LuaToken[], commands: CommandTable) {
    this.#tokens = tokens
    this.#commands = commands
    this.#keyNames = this.#namedKeys()
  }

  facts(): ScriptFacts {
    this.#findAliases()
    for (let i = 0; i < this.#tokens.length; i++) this.#look(i)
    return {
      writes: this.#writes,
      varies: this.#varies,
      declaresKeys: this.#declaresKeys,
      tellsNames: this.#tellsNames || this.#tokens.some((token, i) => this.#isTold(token, i)),
      asksForAllKeys: this.#asksForAllKeys,
      looksIntoQueues: this.#looksIntoQueues,
      untold: this.#untold,
      publishesTo: [...this.#publishesTo],
    }
  }

  /** A name of a key that is used for something else than to reach it. `#KEYS` counts them. */
  #isTold(token: LuaToken, i: number): boolean {
    if (token.kind !== 'name' || this.#asKeys.has(token) || this.#text(i - 1) === '#') return false
    return KEYS.has(token.text) ? this.#text(i - 1) !== '.' : this.#keyNames.has(token.text)
  }

  #text(i: number): string {
    const token = this.#tokens[i]
    return token === undefined || token.kind === 'string' ? '' : token.text
  }

  #doubt(why: string): void {
    this.#varies ??= why
  }

  #opaque(why: string): void {
    this.#writes = true
    this.#declaresKeys = false
    this.#looksIntoQueues = true
    this.#doubt(why)
  }

  /** `local call = redis.call` */
  #findAliases(): void {
    for (let i = 0; i < this.#tokens.length; i++) {
      if (this.#text(i) !== 'local' || this.#text(i + 2) !== '=' || !API.has(this.#text(i + 3))) continue
      if (this.#text(i + 4) === '.' && CALLS.has(this.#text(i + 5)) && this.#text(i + 6) !== '(')
        this.#calls.add(this.#text(i + 1))
    }
  }

  /** Names that are given to one of KEYS, once: `local a, b = KEYS[1], KEYS[2]`. */
  #namedKeys(): Set<string> {
    const names = new Set<string>()
    const given = new Map<string, number>()
    for (let i = 0; i < this.#tokens.length; i++) {
      if (this.#text(i) === '=' && this.#tokens[i - 1]?.kind === 'name') {
        const start = this.#listStart(i - 1)
        for (let at = start; at < i; at += 2) given.set(this.#text(at), (given.get(this.#text(at)) ?? 0) + 1)
        if (this.#text(start - 1) !== 'local') continue
        for (let at = start, value = i + 1; at < i; at += 2, value += 5) {
          if (!this.#isKeyAt(value)) break
          names.add(this.#text(at))
          this.#asKeys.add(this.#tokens[at]!).add(this.#tokens[value]!)
          if (this.#text(value + 4) !== ',') break
        }
      }
      // A loop's variable or a parameter of the same name.
      if (this.#text(i) === 'for' || this.#text(i) === 'function') {
        for (let at = i + 1; at < this.#tokens.length && !LIST_ENDS.has(this.#text(at)); at++) {
          if (this.#tokens[at]!.kind === 'name') given.set(this.#text(at), 2)
        }
      }
    }
    for (const name of names) if (given.get(name) !== 1) names.delete(name)
    return names
  }

  /** Where a list of names `a, b, c` that ends at `end` begins. */
  #listStart(end: number): number {
    let at = end
    while (this.#text(at - 1) === ',' && this.#tokens[at - 2]?.kind === 'name') at -= 2
    return at
  }

  /** `KEYS[1]`: four words. */
  #isKeyAt(i: number): boolean {
    return KEYS.has(this.#text(i)) && this.#text(i + 1) === '[' && this.#text(i + 3) === ']'
  }

  #look(i: number): void {
    const token = this.#tokens[i]!
    if (token.kind !== 'name' || this.#text(i - 1) === '.') return
    const name = token.text
    if (API.has(name)) this.#lookAtApi(i)
    else if (this.#calls.has(name)) {
      if (this.#text(i + 1) === '(') this.#call(i, i + 1)
      else if (this.#text(i - 1) !== 'local') this.#opaque(`it passes ${name} on`)
    } else if (name === 'math' && this.#text(i + 2).startsWith('random')) this.#doubt('it uses random numbers')
    else if (UNORDERED.has(name)) this.#doubt(`it walks a table in no order (${name})`)
    else if (OPAQUE.has(name)) this.#opaque(`it uses ${name}`)
    else if (name === 'KEYS' && this.#text(i + 1) === '=') this.#declaresKeys = false
  }

  #lookAtApi(i: number): void {
    const member = this.#text(i + 1) === '.' ? this.#text(i + 2) : ''
    if (CALLS.has(member)) {
      if (this.#text(i + 3) === '(') this.#call(i, i + 3)
      // Its other name was looked for.
      else if (this.#text(i - 3) !== 'local') this.#opaque(`it passes ${this.#text(i)}.${member} on`)
    } else if (!HARMLESS.has(member) && !member.startsWith('LOG_')) {
      this.#opaque(`it uses ${this.#text(i)}.${member || '...'}`)
    }
  }

  /** A call from `start` on whose `(` is at `open`. */
  #call(start: number, open: number): void {
    const args = this.#arguments(open)
    const first = args?.[0]
    if (args === null || first === undefined || first.length !== 1 || first[0]!.kind !== 'string') {
      this.#opaque('it calls a command by a computed name')
      return
    }
    const name = first[0]!.text.toUpperCase()
    const spec = this.#commands.byName(name)
    if (spec === undefined) {
      this.#opaque(`it calls ${name}`)
      return
    }
    if (!spec.readonly && !MESSAGES.has(name)) this.#writes = true
    if (ELSEWHERE.has(name)) {
      this.#declaresKeys = false
      this.#untold = true
    }
    if (repliesWithKeys(spec)) this.#tellsNames = true
    if (!NO_QUEUE.test(name) && (this.#isUsed(start) || hasSeveralKeys(spec))) this.#looksIntoQueues = true
    if (ABOUT_ALL_KEYS.has(name)) this.#asksForAllKeys = true
    if (PUBLISHING.has(name)) {
      const [channel, ...more] = args[1] ?? []
      this.#publishesTo.add(channel?.kind === 'string' && more.length === 0 ? channel.text : null)
    }
    const why = variesBy(name, args)
    if (why !== null) this.#doubt(why)
    if (!this.#onDeclaredKeys(subcommandOf(spec, args), args)) this.#declaresKeys = false
  }

  /** Something is done with the value of what begins at `start`: it is no statement. A string before it may be a part of one. */
  #isUsed(start: number): boolean {
    const before = this.#tokens[start - 1]
    if (before === undefined) return false
    if (before.kind === 'mark') return !ENDS.has(before.text)
    return before.kind === 'name' && VALUE_FOLLOWS.has(before.text)
  }

  /** The words of each argument; null: the bracket is not closed. */
  #arguments(open: number): LuaToken[][] | null {
    const args: LuaToken[][] = [[]]
    let depth = 0
    for (let i = open; i < this.#tokens.length; i++) {
      const text = this.#text(i)
      if (OPENING.has(text) && depth++ === 0) continue
      if (CLOSING.has(text) && --depth === 0) return args
      if (text === ',' && depth === 1) args.push([])
      else args.at(-1)!.push(this.#tokens[i]!)
    }
    return null
  }

  #onDeclaredKeys(spec: CommandSpec, args: readonly LuaToken[][]): boolean {
    if (spec.keyFinder !== 'plain' || spec.subcommands !== null) {
      // Where its keys are depends on other arguments: all of them are keys, or written out.
      return args.slice(1).every((arg) => this.#takesKey(arg) || arg.every(({ kind }) => kind !== 'name'))
    }
    if (spec.firstKey === 0) return true
    const last = spec.lastKey < 0 ? args.length + spec.lastKey : spec.lastKey
    for (let i = spec.firstKey; i <= last; i += spec.keyStep) {
      const arg = args[i]
      if (arg !== undefined && !this.#takesKey(arg)) return false
    }
    return true
  }

  #takesKey(arg: readonly LuaToken[]): boolean {
    if (!this.#isDeclared(arg)) return false
    for (const token of arg) this.#asKeys.add(token)
    return true
  }

  /** `KEYS[...]`, a name for one of them, or `unpack(KEYS)`. */
  #isDeclared(arg: readonly LuaToken[]): boolean {
    const words = arg.map(({ kind, text }) => (kind === 'string' ? '' : text))
    if (words.length === 1) return this.#keyNames.has(words[0]!)
    if (words[0] === 'unpack' || (words[0] === 'table' && words[2] === 'unpack'))
      return KEYS.has(words[words.indexOf('(') + 1]!)
    return KEYS.has(words[0]!) && words[1] === '[' && words.indexOf(']') === words.length - 1
  }
}

/** XGROUP CREATE of XGROUP, where the second word is written out. */
function subcommandOf(spec: CommandSpec, [, second]: readonly (readonly LuaToken[])[]): CommandSpec {
  const literal = second?.length === 1 && second[0]!.kind === 'string' ? second[0]!.text.toUpperCase() : ''
  return spec.subcommands?.get(literal) ?? spec
}

/** It may bring what is in one key to another. */
function hasSeveralKeys({ name, keyFinder, firstKey, lastKey }: CommandSpec): boolean {
  return name !== 'DEL' && name !== 'UNLINK' && (keyFinder !== 'plain' || lastKey !== firstKey)
}

/** Why a command need not do the same on another server with the same data, at another time; null: it does. */
function variesBy(name: string, args: readonly (readonly LuaToken[])[]): string | null {
  if (VARYING.has(name)) return `it calls ${name}`
  if (RELATIVE.has(name)) return `it sets a relative time (${name})`
  if (name === 'SET' && args.length > 3 && !args.slice(3).every((arg) => isPlainSetOption(arg))) {
    return 'it sets a relative time (SET)'
  }
  return null
}

function isPlainSetOption(arg: readonly LuaToken[]): boolean {
  return arg.length === 1 && arg[0]!.kind === 'string' && /^(NX|XX|GET|KEEPTTL)$/i.test(arg[0]!.text)
}

/** The API's name in Redis and in Valkey. */
const API: ReadonlySet<string> = new Set(['redis', 'server'])
const CALLS: ReadonlySet<string> = new Set(['call', 'pcall'])
/** `keys`: what functions call it in every example there is. */
const KEYS: ReadonlySet<string> = new Set(['KEYS', 'keys'])
const HARMLESS: ReadonlySet<string> = new Set([
  'error_reply',
  'status_reply',
  'sha1hex',
  'log',
  'setresp',
  'replicate_commands',
  'register_function',
])
const UNORDERED: ReadonlySet<string> = new Set(['pairs', 'next'])
const OPAQUE: ReadonlySet<string> = new Set([
  'os',
  'load',
  'loadstring',
  'loadfile',
  'dofile',
  'require',
  'getfenv',
  'setfenv',
  '_G',
  'setmetatable',
  'rawset',
  'debug',
  'newproxy',
])
const LIST_ENDS: ReadonlySet<string> = new Set(['=', 'in', ')', 'do'])
const OPENING: ReadonlySet<string> = new Set(['(', '[', '{'])
const CLOSING: ReadonlySet<string> = new Set([')', ']', '}'])
/** Behind these a statement may begin. */
const ENDS: ReadonlySet<string> = new Set([')', ']', '}', ';'])
/** What follows these is a value. */
const VALUE_FOLLOWS: ReadonlySet<string> = new Set([
  ...['return', 'and', 'or', 'not', 'if', 'elseif', 'while', 'until', 'in'],
])
/** Commands that know strings, hashes or sets only: of anything else they say that it is of the wrong type, on both sides. */
const NO_QUEUE =
  /^(?:H|GET|SET|INCR|DECR|APPEND|STRLEN|SUBSTR|MGET|MSET|BIT|PF|PUBLISH|SPUBLISH|S(?:ADD|REM|CARD|ISMEMBER|MISMEMBER|MEMBERS|POP|RANDMEMBER|MOVE|INTER|UNION|DIFF|SCAN))/
/** Tried on Redis 7.0 and 8.0 and Valkey 9.1 with every write command: these change a key without a word to those that track it. Wherever the name stands, it may be called. */
const UNTOLD = /xgroup|xreadgroup|xclaim|xautoclaim|xack|xnack|xsetid|xcfgset|pfdebug|hp?expire|h[gs]etex|hpersist/i
const RELATIVE: ReadonlySet<string> = new Set([
  ...['EXPIRE', 'PEXPIRE', 'SETEX', 'PSETEX', 'GETEX', 'HEXPIRE', 'HPEXPIRE', 'HGETEX', 'HSETEX', 'MSETEX', 'INCREX'],
])
/** They change no key. */
const MESSAGES: ReadonlySet<string> = new Set(['PUBLISH', 'SPUBLISH', 'PING', 'ECHO'])
const PUBLISHING: ReadonlySet<string> = new Set(['PUBLISH', 'SPUBLISH'])
const ABOUT_ALL_KEYS: ReadonlySet<string> = new Set(['KEYS', 'SCAN', 'RANDOMKEY', 'DBSIZE'])
/** Of keys beyond those of this database that they name. */
const ELSEWHERE: ReadonlySet<string> = new Set(['FLUSHALL', 'FLUSHDB', 'SWAPDB', 'SELECT', 'MOVE', 'COPY', 'MIGRATE'])
/** By chance, by time, by an order that is each server's own, by what is each server's own, or by its floating point. */
const VARYING: ReadonlySet<string> = new Set([
  ...[
    'TIME',
    'RANDOMKEY',
    'SRANDMEMBER',
    'HRANDFIELD',
    'ZRANDMEMBER',
    'VRANDMEMBER',
    'SPOP',
    'TTL',
    'PTTL',
    'HTTL',
    'HPTTL',
  ],
  ...['SCAN', 'SSCAN', 'HSCAN', 'ZSCAN', 'KEYS', 'SMEMBERS', 'SINTER', 'SUNION', 'SDIFF', 'HGETALL', 'HKEYS', 'HVALS'],
  ...['SORT', 'SORT_RO', 'GEORADIUS', 'GEORADIUSBYMEMBER', 'GEOSEARCH', 'GEOSEARCHSTORE', 'GEODIST', 'VADD', 'VSIM'],
  ...['INCRBYFLOAT', 'HINCRBYFLOAT', 'XADD', 'XTRIM', 'XREADGROUP', 'XCLAIM', 'XAUTOCLAIM', 'XPENDING', 'XINFO'],
  ...[
    'INFO',
    'DBSIZE',
    'LASTSAVE',
    'OBJECT',
    'MEMORY',
    'DEBUG',
    'CONFIG',
    'CLIENT',
    'ROLE',
    'SLOWLOG',
    'LATENCY',
    'COMMAND',
  ],
  ...[
    'DUMP',
    'LOLWUT',
    'PUBLISH',
    'SPUBLISH',
    'PUBSUB',
    'ACL',
    'SCRIPT',
    'FUNCTION',
    'WAIT',
    'MODULE',
    'CLUSTER',
    'SELECT',
  ],
])
