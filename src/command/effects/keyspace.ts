import { type Reply, SimpleReply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectContext, type EffectRule } from '../effects.ts'
import { command, commands, copy, count, integer, NOTHING, SENT, word } from './building.ts'
import { absolute } from './expiry.ts'
import { isOne } from './reading.ts'

/** Commands on keys of any type. */
export const KEYSPACE_EFFECTS: Readonly<Record<string, EffectRule>> = {
  DEL: AS_SENT_IF_CHANGED,
  UNLINK: AS_SENT_IF_CHANGED,
  PERSIST: AS_SENT_IF_CHANGED,
  EXPIRE: { kind: 'compute', effect: (args, reply, context) => expire(args, reply, 1000, context.nowMs) },
  PEXPIRE: { kind: 'compute', effect: (args, reply, context) => expire(args, reply, 1, context.nowMs) },
  EXPIREAT: { kind: 'compute', effect: (args, reply) => expire(args, reply, 1000, 0) },
  PEXPIREAT: { kind: 'compute', effect: (args, reply) => expire(args, reply, 1, 0) },
  RENAME: AS_SENT,
  RENAMENX: {
    kind: 'compute',
    effect: (args, reply) => (isOne(reply) ? commands(command('RENAME', args[1]!, args[2]!)) : NOTHING),
  },
  COPY: { kind: 'compute', effect: copyKey },
  MOVE: { kind: 'compute', effect: move },
  RESTORE: { kind: 'compute', effect: restore },
  'RESTORE-ASKING': { kind: 'compute', effect: restore },
  MIGRATE: { kind: 'compute', effect: migrate, writesBeforeError: true },
  SORT: { kind: 'compute', effect: sort },
  'BLESS SET': { kind: 'compute', effect: (args) => copy(args[2]!) },
  'BLESS CLEAR': { kind: 'compute', effect: (args) => copy(args[2]!) },
}

/**
 * EXPIRE and its like: key time [NX | XX | GT | LT]. `:1` says that it took effect, whatever the condition. A time not after now deletes
 * the key at once, and does so on the shadow even if its clock is behind.
 */
function expire(args: Args, reply: Reply, unitMs: number, origin: number): Effect {
  if (!isOne(reply)) return NOTHING
  const key = args[1]!
  const at = absolute(args[2]!, unitMs, origin)
  if (at === null) return copy(key)
  if (origin > 0 && integer(args[2])! <= 0n) return commands(command('DEL', key))
  return commands(command('PEXPIREAT', key, at))
}

/** COPY source destination [DB n] [REPLACE] */
function copyKey(args: Args, reply: Reply): Effect {
  if (!isOne(reply)) return NOTHING
  for (let i = 3; i < args.length; i++) {
    if (word(args[i]) === 'DB') {
      return { kind: 'copy', keys: [], elsewhere: { database: count(args[i + 1]), keys: [args[2]!] } }
    }
  }
  return commands(command('COPY', args[1]!, args[2]!, 'REPLACE'))
}

/** MOVE key db. The other database's history is another connection's, so both keys are copied. */
function move(args: Args, reply: Reply): Effect {
  if (!isOne(reply)) return NOTHING
  return { kind: 'copy', keys: [args[1]!], elsewhere: { database: count(args[2]), keys: [args[1]!] } }
}

/** RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n]: its ttl is relative without ABSTTL, and 0 means none. */
function restore(args: Args, _reply: Reply, context: EffectContext): Effect {
  const [, key, ttl, payload, ...options] = args
  const given = options.map(word)
  let at: Buffer | null = ttl!
  if (!given.includes('ABSTTL') && integer(ttl) !== 0n) at = absolute(ttl!, 1, context.nowMs)
  if (at === null) return copy(key!)
  const hints = options.filter((_option, i) => given[i] !== 'ABSTTL' && given[i] !== 'REPLACE')
  return commands(command('RESTORE', key!, at, payload!, 'REPLACE', 'ABSTTL', hints))
}

/** What MIGRATE took away, and on an error how much of it, only the keyspace knows. `NOKEY`: there was none. */
function migrate(args: Args, reply: Reply): Effect {
  if (reply instanceof SimpleReply && reply.text === 'NOKEY') return NOTHING
  if (args[3]!.length > 0) return copy(args[3]!)
  for (let i = 6; i < args.length; i++) {
    const option = word(args[i])
    if (option === 'KEYS') return copy(args.slice(i + 1))
    if (option === 'AUTH') i++
    else if (option === 'AUTH2') i += 2
  }
  return NOTHING
}

/**
 * SORT without STORE reads. With it, elements of one key are sorted alike everywhere (Redis compares bytes when it stores, and sorts a
 * set even BY nosort); BY and GET patterns read further keys, which need not be on the shadow.
 */
function sort(args: Args): Effect {
  let destination: Buffer | undefined
  let patterns = false
  for (let i = 2; i + 1 < args.length; i++) {
    const option = word(args[i])
    if (option === 'LIMIT') i += 2
    else if (option === 'STORE') destination = args[++i]
    else if (option === 'BY' || option === 'GET') patterns ||= args[++i]!.includes('*')
  }
  if (destination === undefined) return NOTHING
  return patterns ? copy(destination) : SENT
}
