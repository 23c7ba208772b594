import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectRule } from '../effects.ts'
import { command, commands, copy, count, NOTHING, word } from './building.ts'
import { bulk, elements } from './reading.ts'

export const LIST_EFFECTS: Readonly<Record<string, EffectRule>> = {
  LPUSH: AS_SENT,
  RPUSH: AS_SENT,
  LPUSHX: AS_SENT_IF_CHANGED,
  RPUSHX: AS_SENT_IF_CHANGED,
  LINSERT: AS_SENT_IF_CHANGED,
  LSET: AS_SENT,
  LREM: AS_SENT_IF_CHANGED,
  LTRIM: AS_SENT,
  LPOP: AS_SENT_IF_CHANGED,
  RPOP: AS_SENT_IF_CHANGED,
  LMOVE: AS_SENT_IF_CHANGED,
  RPOPLPUSH: AS_SENT_IF_CHANGED,
  BLPOP: { kind: 'compute', effect: (_args, reply) => popped('LPOP', reply) },
  BRPOP: { kind: 'compute', effect: (_args, reply) => popped('RPOP', reply) },
  LMPOP: { kind: 'compute', effect: (args, reply) => poppedMany(args, 1, reply) },
  BLMPOP: { kind: 'compute', effect: (args, reply) => poppedMany(args, 2, reply) },
  BLMOVE: {
    kind: 'compute',
    effect: (args, reply) => (reply === null ? NOTHING : commands(command('LMOVE', args.slice(1, 5)))),
  },
  BRPOPLPUSH: {
    kind: 'compute',
    effect: (args, reply) => (reply === null ? NOTHING : commands(command('RPOPLPUSH', args.slice(1, 3)))),
  },
  LMOVEM: { kind: 'compute', effect: movedMany },
  BLMOVEM: { kind: 'compute', effect: movedMany },
}

/** `[key, element]` */
function popped(pop: string, reply: Reply): Effect {
  const key = bulk(elements(reply)?.[0])
  return key === null ? NOTHING : commands(command(pop, key))
}

/** LMPOP numkeys key ... LEFT | RIGHT [COUNT n], answered with `[key, [element ...]]`. */
function poppedMany(args: Args, numkeysAt: number, reply: Reply): Effect {
  const [name, values] = elements(reply) ?? []
  const key = bulk(name)
  const taken = elements(values)?.length ?? 0
  if (key === null || taken === 0) return NOTHING
  const pop = word(args[numkeysAt + 1 + count(args[numkeysAt])]) === 'LEFT' ? 'LPOP' : 'RPOP'
  // The count of LPOP is younger (6.2) than LPOP.
  return commands(taken === 1 ? command(pop, key) : command(pop, key, taken))
}

/** LMOVEM and BLMOVEM are younger than most shadows, and a move of many is no sequence of LMOVEs in every order they offer. */
function movedMany(args: Args, reply: Reply): Effect {
  return (elements(reply)?.length ?? 0) === 0 ? NOTHING : copy(args[1]!, args[2]!)
}
