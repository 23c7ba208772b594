import type { DeclaredKeys } from './declared-keys.ts'
import type { LuaCall, LuaExpression } from './lua-outline.ts'
import type { LuaPaths } from './lua-paths.ts'
import type { LuaToken } from './lua-tokens.ts'

/**
 * Which values of a script `tostring` tells alike on every server. Of a table, a function or a thread it tells where that lies in memory.
 *
 *   tostring(ARGV[1]), tostring(1 + n), tostring(#t)        alike
 *   tostring(tonumber(x)), tostring(cjson.encode(x))        alike
 *   local n = redis.call('get', KEYS[1]) ... tostring(n)    alike: a number, a string or false
 *   tostring(redis.call('set', KEYS[1], 1))                 not: a status is a table, as is a list
 *   tostring({}), tostring(print), tostring(a or b)         not, or not known
 */
export class PlainValues {
  readonly #tokens: readonly LuaToken[]
  readonly #keys: DeclaredKeys
  readonly #paths: LuaPaths

  constructor(tokens: readonly LuaToken[], keys: DeclaredKeys) {
    this.#tokens = tokens
    this.#keys = keys
    this.#paths = keys.paths
  }

  has(expression: LuaExpression): boolean {
    switch (expression.kind) {
      case 'string':
      case 'number':
      case 'constant':
      case 'length':
        return true
      case 'group':
        return this.has(expression.inner)
      case 'computed':
        return !this.#tokens
          .slice(expression.from, expression.to + 1)
          .some(({ text }) => text === 'and' || text === 'or')
      case 'call':
        return CALL.test(this.#paths.calledIn(expression))
          ? this.#answersBy(expression, VALUES)
          : !this.#keys.maySpread(expression)
      case 'index':
        return (
          this.#keys.isKey(expression) || this.#keys.isArguments(expression.object) || this.#isList(expression.object)
        )
      case 'name':
        if (this.#keys.isKey(expression)) return true
        return isConstant(expression) && this.has(expression.variable.value)
      default:
        return false
    }
  }

  /** What a command has answered whose elements are plain. */
  #isList(expression: LuaExpression): boolean {
    if (expression.kind === 'call')
      return CALL.test(this.#paths.calledIn(expression)) && this.#answersBy(expression, LISTS)
    if (expression.kind !== 'name' || !isConstant(expression) || !this.#keys.isUntouched(expression)) return false
    return this.#isList(expression.variable.value)
  }

  /** It calls one of these commands. In RESP3, which the script may ask for, more of their answers are tables. */
  #answersBy({ args: [command] }: LuaCall, commands: ReadonlySet<string>): boolean {
    if (command?.kind !== 'string' || !commands.has(command.text.toUpperCase())) return false
    return !this.#tokens.some(({ kind, text }) => kind === 'name' && text === 'setresp')
  }
}

/** It has the value that it was declared with. */
function isConstant(
  name: LuaExpression & { kind: 'name' },
): name is typeof name & { variable: { value: LuaExpression } } {
  return name.variable !== null && !name.variable.assigned && name.variable.value !== null
}

const CALL = /^(?:redis|server)\.p?call$/
/** What they answer is a number or a string, or nothing. */
export const VALUES: ReadonlySet<string> = new Set([
  ...['GET', 'GETDEL', 'GETEX', 'GETSET', 'GETRANGE', 'SUBSTR', 'STRLEN', 'APPEND', 'SETRANGE', 'SETNX', 'MSETNX'],
  ...['INCR', 'INCRBY', 'DECR', 'DECRBY', 'GETBIT', 'SETBIT', 'BITCOUNT', 'BITPOS', 'BITOP', 'PFADD', 'PFCOUNT'],
  ...['EXISTS', 'DEL', 'UNLINK', 'PERSIST', 'EXPIREAT', 'PEXPIREAT', 'RENAMENX', 'TOUCH'],
  ...['HGET', 'HSET', 'HSETNX', 'HDEL', 'HLEN', 'HEXISTS', 'HSTRLEN', 'HINCRBY'],
  ...['LLEN', 'LINDEX', 'LPUSH', 'RPUSH', 'LPUSHX', 'RPUSHX', 'LREM', 'LINSERT', 'RPOPLPUSH', 'LMOVE'],
  ...['SCARD', 'SADD', 'SREM', 'SISMEMBER', 'SMOVE', 'SINTERSTORE', 'SUNIONSTORE', 'SDIFFSTORE'],
  ...['ZCARD', 'ZCOUNT', 'ZLEXCOUNT', 'ZADD', 'ZREM', 'ZSCORE', 'ZINCRBY', 'ZREMRANGEBYRANK', 'ZREMRANGEBYSCORE'],
  ...['ZREMRANGEBYLEX', 'ZUNIONSTORE', 'ZINTERSTORE', 'ZRANGESTORE', 'XLEN', 'XDEL', 'XACK'],
])
/** Lists of such. */
export const LISTS: ReadonlySet<string> = new Set([
  ...['MGET', 'HMGET', 'LRANGE', 'SMISMEMBER'],
  ...['ZRANGE', 'ZREVRANGE', 'ZRANGEBYSCORE', 'ZREVRANGEBYSCORE', 'ZRANGEBYLEX', 'ZREVRANGEBYLEX', 'ZMSCORE'],
])
