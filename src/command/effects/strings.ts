import { append } from '../../base/append.ts'
import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectContext, type EffectRule } from '../effects.ts'
import { command, commandList, commands, copy, count, NOTHING, SENT, word } from './building.ts'
import { absolute, expiryMs, isExpiryOption, setExpiring } from './expiry.ts'
import { bulk, isOk, isOne, numberText } from './reading.ts'

/** Strings, bitmaps, HyperLogLogs. */
export const STRING_EFFECTS: Readonly<Record<string, EffectRule>> = {
  SET: { kind: 'compute', effect: set, plainArgc: 3 },
  SETEX: { kind: 'compute', effect: (args, _reply, context) => setFor(args, 1000, context) },
  PSETEX: { kind: 'compute', effect: (args, _reply, context) => setFor(args, 1, context) },
  SETNX: {
    kind: 'compute',
    effect: (args, reply) => (isOne(reply) ? commands(command('SET', args[1]!, args[2]!)) : NOTHING),
  },
  GETSET: { kind: 'compute', effect: (args) => commands(command('SET', args[1]!, args[2]!)) },
  GETDEL: { kind: 'compute', effect: (args, reply) => (reply === null ? NOTHING : commands(command('DEL', args[1]!))) },
  GETEX: { kind: 'compute', effect: getex },
  MSET: AS_SENT,
  MSETNX: {
    kind: 'compute',
    effect: (args, reply) => (isOne(reply) ? commands(command('MSET', args.slice(1))) : NOTHING),
  },
  MSETEX: { kind: 'compute', effect: msetex },
  DELEX: { kind: 'compute', effect: deleteIfOne },
  // Valkey's.
  DELIFEQ: { kind: 'compute', effect: deleteIfOne },
  APPEND: AS_SENT,
  SETRANGE: AS_SENT,
  INCR: AS_SENT,
  DECR: AS_SENT,
  INCRBY: AS_SENT,
  DECRBY: AS_SENT,
  INCRBYFLOAT: { kind: 'compute', effect: incrbyfloat },
  // Bounds, saturation and a conditional expiry of its own: the reply does not say what became of the expiry.
  INCREX: { kind: 'compute', effect: (args) => copy(args[1]!) },

  SETBIT: AS_SENT,
  BITFIELD: AS_SENT,
  BITOP: AS_SENT,

  PFADD: AS_SENT_IF_CHANGED,
  PFMERGE: AS_SENT,
  // The count of one key is kept in its value; that of several nowhere.
  PFCOUNT: { kind: 'compute', effect: (args) => (args.length === 2 ? SENT : NOTHING) },
  PFDEBUG: { kind: 'compute', effect: (args) => copy(args[2]!) },
}

/**
 * SET key value [NX | XX | IFEQ v | IFNE v | IFDEQ digest | IFDNE digest] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]
 *
 * | condition | without GET: set if | with GET, which answers the old value: set if |
 * |-----------|---------------------|-----------------------------------------------|
 * | none      | always              | always                                        |
 * | NX        | `OK`                | nil                                           |
 * | XX        | `OK`                | not nil                                       |
 * | IFEQ v    | `OK`                | it equals v                                   |
 * | IFNE v    | `OK`                | it does not equal v                           |
 * | IFDEQ ... | `OK`                | the reply does not tell: state copy           |
 *
 * Source: redis.io and valkey.io, "SET".
 */
function set(args: Args, reply: Reply, context: EffectContext): Effect {
  const key = args[1]!
  const value = args[2]!
  let condition = ''
  let operand: Buffer | undefined
  let get = false
  let keepTtl = false
  let at: Buffer | null = null
  for (let i = 3; i < args.length; i++) {
    const option = word(args[i])
    if (option === 'GET') get = true
    else if (option === 'KEEPTTL') keepTtl = true
    else if (option === 'NX' || option === 'XX') condition = option
    else if (option === 'IFEQ' || option === 'IFNE' || option === 'IFDEQ' || option === 'IFDNE') {
      condition = option
      operand = args[++i]
    } else if (isExpiryOption(option)) {
      at = expiryMs(option, args[++i], context)
      if (at === null) return copy(key)
    } else return copy(key)
  }
  const happened = get ? setWithGetHappened(condition, operand, reply) : isOk(reply)
  if (happened === null) return copy(key)
  if (!happened) return NOTHING
  if (at !== null) return commandList(setExpiring(key, value, at, context))
  return commands(keepTtl ? command('SET', key, value, 'KEEPTTL') : command('SET', key, value))
}

/** null: cannot be told. */
function setWithGetHappened(condition: string, operand: Buffer | undefined, old: Reply): boolean | null {
  switch (condition) {
    case '':
      return true
    case 'NX':
      return old === null
    case 'XX':
      return old !== null
    case 'IFEQ':
      return bulk(old)?.equals(operand!) ?? false
    case 'IFNE':
      return !(bulk(old)?.equals(operand!) ?? false)
    default:
      return null
  }
}

/** SETEX, PSETEX key time value */
function setFor(args: Args, unitMs: number, context: EffectContext): Effect {
  const at = absolute(args[2]!, unitMs, context.nowMs)
  return at === null ? copy(args[1]!) : commandList(setExpiring(args[1]!, args[3]!, at, context))
}

/** GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]; a time that has passed deletes, here as there. */
function getex(args: Args, reply: Reply, context: EffectContext): Effect {
  if (reply === null || args.length === 2) return NOTHING
  const option = word(args[2])
  if (option === 'PERSIST') return commands(command('PERSIST', args[1]!))
  const at = expiryMs(option, args[3], context)
  return at === null ? copy(args[1]!) : commands(command('PEXPIREAT', args[1]!, at))
}

/** MSETEX numkeys key value ... [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]: one SET each, which older shadows know. */
function msetex(args: Args, reply: Reply, context: EffectContext): Effect {
  if (!isOne(reply)) return NOTHING
  const keys = count(args[1])
  const end = 2 + keys * 2
  let keepTtl = false
  let at: Buffer | null = null
  let understood = keys > 0 && end <= args.length
  for (let i = end; understood && i < args.length; i++) {
    const option = word(args[i])
    if (option === 'KEEPTTL') keepTtl = true
    else if (isExpiryOption(option)) {
      at = expiryMs(option, args[++i], context)
      understood = at !== null
    } else understood = option === 'NX' || option === 'XX'
  }
  const list: Args[] = []
  const named: Buffer[] = []
  for (let i = 2; i + 1 < Math.min(end, args.length); i += 2) {
    const key = args[i]!
    const value = args[i + 1]!
    named.push(key)
    if (at !== null) append(list, setExpiring(key, value, at, context))
    else list.push(keepTtl ? command('SET', key, value, 'KEEPTTL') : command('SET', key, value))
  }
  return understood ? commandList(list) : copy(named)
}

function deleteIfOne(args: Args, reply: Reply): Effect {
  return isOne(reply) ? commands(command('DEL', args[1]!)) : NOTHING
}

/** As Redis itself replicates it: floating point need not come out alike on two machines. */
function incrbyfloat(args: Args, reply: Reply): Effect {
  const final = numberText(reply)
  return final === null ? SENT : commands(command('SET', args[1]!, final, 'KEEPTTL'))
}
