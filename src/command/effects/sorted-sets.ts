import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectRule } from '../effects.ts'
import { command, commands, copy, count, NOTHING, SENT, word } from './building.ts'
import { bulk, elements } from './reading.ts'

/** Sorted sets, geo sets, vector sets. */
export const SORTED_SET_EFFECTS: Readonly<Record<string, EffectRule>> = {
  // `:0` says that no member is new, not that no score changed. NX, XX, GT, LT decide alike on equal states.
  ZADD: AS_SENT,
  ZINCRBY: AS_SENT,
  ZREM: AS_SENT_IF_CHANGED,
  ZREMRANGEBYSCORE: AS_SENT_IF_CHANGED,
  ZREMRANGEBYRANK: AS_SENT_IF_CHANGED,
  ZREMRANGEBYLEX: AS_SENT_IF_CHANGED,
  ZPOPMIN: AS_SENT_IF_CHANGED,
  ZPOPMAX: AS_SENT_IF_CHANGED,
  BZPOPMIN: { kind: 'compute', effect: (_args, reply) => popped('ZPOPMIN', reply) },
  BZPOPMAX: { kind: 'compute', effect: (_args, reply) => popped('ZPOPMAX', reply) },
  ZMPOP: { kind: 'compute', effect: (args, reply) => poppedMany(args, 1, reply) },
  BZMPOP: { kind: 'compute', effect: (args, reply) => poppedMany(args, 2, reply) },
  // `:0` means an empty result, which deletes the destination.
  ZUNIONSTORE: AS_SENT,
  ZINTERSTORE: AS_SENT,
  ZDIFFSTORE: AS_SENT,
  ZRANGESTORE: AS_SENT,

  GEOADD: AS_SENT,
  GEOSEARCHSTORE: { kind: 'compute', effect: (args, reply) => geoStored(args, args[1]!, 3, reply) },
  GEORADIUS: { kind: 'compute', effect: (args, reply) => georadius(args, 6, reply) },
  GEORADIUSBYMEMBER: { kind: 'compute', effect: (args, reply) => georadius(args, 5, reply) },

  VADD: { kind: 'compute', effect: vadd },
  VREM: AS_SENT_IF_CHANGED,
  VSETATTR: AS_SENT_IF_CHANGED,
}

/** `[key, member, score]` */
function popped(pop: string, reply: Reply): Effect {
  const key = bulk(elements(reply)?.[0])
  return key === null ? NOTHING : commands(command(pop, key))
}

/** ZMPOP numkeys key ... MIN | MAX [COUNT n], answered with `[key, [[member, score] ...]]`. */
function poppedMany(args: Args, numkeysAt: number, reply: Reply): Effect {
  const [name, members] = elements(reply) ?? []
  const key = bulk(name)
  const taken = elements(members)?.length ?? 0
  if (key === null || taken === 0) return NOTHING
  const pop = word(args[numkeysAt + 1 + count(args[numkeysAt])]) === 'MIN' ? 'ZPOPMIN' : 'ZPOPMAX'
  return commands(command(pop, key, taken))
}

/** GEORADIUS is flagged as a write although it only reads when it has no STORE, STOREDIST. */
function georadius(args: Args, optionsFrom: number, reply: Reply): Effect {
  let destination: Buffer | undefined
  for (let i = optionsFrom; i + 1 < args.length; i++) {
    const option = word(args[i])
    if (option === 'STORE' || option === 'STOREDIST') destination = args[++i]
    else if (option === 'COUNT') i++
  }
  return destination === undefined ? NOTHING : geoStored(args, destination, optionsFrom, reply)
}

/**
 * All members within reach, with their own scores, is the same everywhere. COUNT is not: which of two equally far ones falls out is up
 * to the sort of the C library; nor STOREDIST: the last bits of a distance are up to its sine. Of a geo set that is not there Redis 6 answers an empty array and leaves the destination, where later
 * ones answer 0 and delete it.
 */
function geoStored(args: Args, destination: Buffer, optionsFrom: number, reply: Reply): Effect {
  if (reply === 0) return commands(command('DEL', destination))
  if (typeof reply !== 'number') return NOTHING
  for (let i = optionsFrom; i < args.length; i++) {
    const option = word(args[i])
    if (option === 'COUNT' || option === 'STOREDIST') return copy(destination)
  }
  return SENT
}

/**
 * The graph of a vector set is built at random, but what it holds (elements, vectors, attributes) is what was sent: except after
 * REDUCE, whose projection each server draws for itself.
 */
function vadd(args: Args): Effect {
  return word(args[2]) === 'REDUCE' ? copy(args[1]!) : SENT
}
