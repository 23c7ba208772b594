import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectContext, type EffectRule } from '../effects.ts'
import { command, commandList, commands, commandsThen, copy, count, NOTHING, SENT, word } from './building.ts'
import { absolute, type ExpiryMs, expiryMs, isExpiryOption } from './expiry.ts'
import { elements, isOne, numberText } from './reading.ts'

export const HASH_EFFECTS: Readonly<Record<string, EffectRule>> = {
  // `:0` says that no field is new, not that no value changed.
  HSET: AS_SENT,
  HMSET: AS_SENT,
  HSETNX: {
    kind: 'compute',
    effect: (args, reply) => (isOne(reply) ? commands(command('HSET', args.slice(1))) : NOTHING),
  },
  HDEL: AS_SENT_IF_CHANGED,
  HINCRBY: AS_SENT,
  HINCRBYFLOAT: { kind: 'compute', effect: hincrbyfloat },
  HEXPIRE: { kind: 'compute', effect: (args, reply, context) => hexpire(args, reply, 1000, context.nowMs) },
  HPEXPIRE: { kind: 'compute', effect: (args, reply, context) => hexpire(args, reply, 1, context.nowMs) },
  HEXPIREAT: { kind: 'compute', effect: (args, reply) => hexpire(args, reply, 1000, 0) },
  HPEXPIREAT: { kind: 'compute', effect: (args, reply) => hexpire(args, reply, 1, 0) },
  HPERSIST: { kind: 'compute', effect: hpersist },
  HGETDEL: { kind: 'compute', effect: hgetdel },
  HGETEX: { kind: 'compute', effect: hgetex },
  HSETEX: { kind: 'compute', effect: hsetex },
  // Its fields were named earlier on the same connection.
  'HIMPORT SET': { kind: 'compute', effect: (args) => copy(args[2]!) },
}

/**
 * As Redis itself replicates it: the final value. HSET takes a field's own expiry away, so where the shadow knows how to keep
 * it, it is kept; and where it only has such, the key is copied.
 *
 * A field that had expired is made anew by the primary, also where it is not yet taken away; keeping the time that is over, the shadow would lose it. So what may be new is made first (HSETNX). What was there has to be on the shadow as well (FXX, `answerToComputed`).
 */
function hincrbyfloat(args: Args, reply: Reply, context: EffectContext): Effect {
  const final = numberText(reply)
  if (final === null) return SENT
  const [, key, field, increment] = args
  if (!context.shadowHasHsetex)
    return context.haveFieldTimes ? copy(key!) : commands(command('HSET', key!, field!, final))
  const keep = (condition: readonly string[]) =>
    command('HSETEX', key!, condition, 'KEEPTTL', 'FIELDS', 1, field!, final)
  if (Number(final) !== Number(increment)) return commands(keep(['FXX']))
  return commands(command('HSETNX', key!, field!, final), keep([]))
}

/** Index behind `FIELDS numfields`; -1 when the grammar is another. */
function fieldsBegin(args: Args, from: number): number {
  for (let i = from; i + 1 < args.length; i++) {
    if (word(args[i]) === 'FIELDS' && count(args[i + 1]) > 0) return i + 2
  }
  return -1
}

/** The fields whose place in the reply satisfies `test`. */
function fieldsWhere(args: Args, begin: number, reply: Reply, test: (item: Reply) => boolean): Buffer[] {
  const items = elements(reply) ?? []
  return args.slice(begin, begin + items.length).filter((_field, i) => test(items[i]!))
}

/**
 * HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT key time [NX | XX | GT | LT] FIELDS numfields field ...
 * Each field is answered with 1: set; 2: deleted, the time has passed; 0: the condition does not hold; -2: no such field.
 */
function hexpire(args: Args, reply: Reply, unitMs: number, origin: number): Effect {
  const key = args[1]!
  const at = absolute(args[2]!, unitMs, origin)
  const begin = fieldsBegin(args, 3)
  if (at === null || begin === -1) return copy(key)
  const expiring = fieldsWhere(args, begin, reply, (item) => item === 1)
  const deleted = fieldsWhere(args, begin, reply, (item) => item === 2)
  const list: Args[] = []
  if (expiring.length > 0) list.push(expireFields(key, at, expiring))
  if (deleted.length > 0) list.push(command('HDEL', key, deleted))
  return list.length === 0 ? NOTHING : commandList(list)
}

function expireFields(key: Buffer, at: ExpiryMs, fields: readonly Buffer[]): Args {
  return command('HPEXPIREAT', key, at, 'FIELDS', fields.length, fields)
}

/** HPERSIST key FIELDS numfields field ...; 1 where there was a time. */
function hpersist(args: Args, reply: Reply): Effect {
  const key = args[1]!
  const begin = fieldsBegin(args, 2)
  if (begin === -1) return copy(key)
  const lasting = fieldsWhere(args, begin, reply, isOne)
  return lasting.length === 0 ? NOTHING : commands(persistFields(key, lasting))
}

function persistFields(key: Buffer, fields: readonly Buffer[]): Args {
  return command('HPERSIST', key, 'FIELDS', fields.length, fields)
}

/** HGETDEL key FIELDS numfields field ... */
function hgetdel(args: Args, reply: Reply): Effect {
  const begin = fieldsBegin(args, 2)
  if (begin === -1) return copy(args[1]!)
  const deleted = fieldsWhere(args, begin, reply, (item) => item !== null)
  return deleted.length === 0 ? NOTHING : commands(command('HDEL', args[1]!, deleted))
}

/** HGETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] FIELDS numfields field ... */
function hgetex(args: Args, reply: Reply, context: EffectContext): Effect {
  const key = args[1]!
  const option = word(args[2])
  if (option === 'FIELDS') return NOTHING
  const begin = fieldsBegin(args, option === 'PERSIST' ? 3 : 4)
  if (begin === -1) return copy(key)
  const fields = fieldsWhere(args, begin, reply, (item) => item !== null)
  if (fields.length === 0) return NOTHING
  if (option === 'PERSIST') return commands(persistFields(key, fields))
  const at = expiryMs(option, args[3], context)
  return at === null ? copy(key) : commands(expireFields(key, at, fields))
}

/** HSETEX key [FNX | FXX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] FIELDS numfields field value ...; Valkey has NX, XX for the key too. */
function hsetex(args: Args, reply: Reply, context: EffectContext): Effect {
  if (!isOne(reply)) return NOTHING
  const key = args[1]!
  let keepTtl = false
  let at: ExpiryMs | null = null
  for (let i = 2; i < args.length; i++) {
    const option = word(args[i])
    if (option === 'FIELDS') {
      const fields = args.slice(i + 2)
      if (count(args[i + 1]) * 2 !== fields.length) return copy(key)
      if (at !== null) return commands(command('HSETEX', key, 'PXAT', at, args.slice(i)))
      const set = command('HSET', key, fields)
      return keepTtl ? keepTimes(set, context) : commands(set)
    }
    if (option === 'KEEPTTL') keepTtl = true
    else if (isExpiryOption(option)) {
      at = expiryMs(option, args[++i], context)
      if (at === null) return copy(key)
    } else if (!['FNX', 'FXX', 'NX', 'XX'].includes(option)) return copy(key)
  }
  return copy(key)
}

/**
 * A field that has expired keeps the time that is over, and is gone, where the server has not yet taken it away; where it has, the field is made anew, and stays. The answer is the same, and the shadow may have done the other. So the
 * shadow gets the values, and then the times as the primary says them.
 */
function keepTimes(set: Args, context: EffectContext): Effect {
  const key = set[1]!
  if (!context.canAsk) return copy(key)
  const fields = set.filter((_arg, i) => i >= 2 && i % 2 === 0)
  return commandsThen([set], {
    read: command('HPEXPIRETIME', key, 'FIELDS', fields.length, fields),
    keys: [key],
    effect: (reply) => fieldTimes(key, fields, elements(reply) ?? []),
  })
}

/** What HPEXPIRETIME has answered: ms since the epoch; -1, no time; -2, no such field. */
function fieldTimes(key: Buffer, fields: readonly Buffer[], times: readonly Reply[]): Effect {
  if (times.length !== fields.length) return copy(key)
  const list: Args[] = []
  for (const [i, field] of fields.entries()) {
    const at = times[i]
    if (at === -2) list.push(command('HDEL', key, field))
    else if (at !== -1) list.push(expireFields(key, Buffer.from(String(at)), [field]))
  }
  return list.length === 0 ? NOTHING : commandList(list)
}
