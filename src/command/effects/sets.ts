import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectRule } from '../effects.ts'
import { command, commands, NOTHING } from './building.ts'
import { bulk, bulks } from './reading.ts'

export const SET_EFFECTS: Readonly<Record<string, EffectRule>> = {
  SADD: AS_SENT_IF_CHANGED,
  SREM: AS_SENT_IF_CHANGED,
  SMOVE: AS_SENT_IF_CHANGED,
  // `:0` means an empty result, which deletes the destination.
  SINTERSTORE: AS_SENT,
  SUNIONSTORE: AS_SENT,
  SDIFFSTORE: AS_SENT,
  SPOP: { kind: 'compute', effect: spop },
}

/** SPOP key [count], answered with a member, or with as many as there were: removing the last deletes the key, here as there. */
function spop(args: Args, reply: Reply): Effect {
  const one = bulk(reply)
  const members = one === null ? bulks(reply) : [one]
  return members.length === 0 ? NOTHING : commands(command('SREM', args[1]!, members))
}
