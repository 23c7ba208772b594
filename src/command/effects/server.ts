import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, type Effect, type EffectContext, type EffectRule, NEVER } from '../effects.ts'
import { isUntold } from '../scripts/script-commands.ts'
import { copy, count, NOTHING } from './building.ts'

/**
 * Scripts, functions, messages, whole databases. Whether a FLUSH or SWAPDB may go to the shadow at all (the keyspaces may share a
 * server) and on which channel a message goes is the mirror's decision.
 */
export const SERVER_EFFECTS: Readonly<Record<string, EffectRule>> = {
  EVAL: { kind: 'compute', effect: script, writesBeforeError: true },
  EVALSHA: { kind: 'compute', effect: script, writesBeforeError: true },
  FCALL: { kind: 'compute', effect: script, writesBeforeError: true },
  'SCRIPT LOAD': AS_SENT,
  'SCRIPT FLUSH': AS_SENT,
  'SCRIPT KILL': NEVER,
  'FUNCTION LOAD': AS_SENT,
  'FUNCTION DELETE': AS_SENT,
  'FUNCTION FLUSH': AS_SENT,
  'FUNCTION RESTORE': AS_SENT,
  'FUNCTION KILL': NEVER,
  // Where its channel is one that a route names, and only there.
  PUBLISH: AS_SENT,
  SPUBLISH: AS_SENT,
  FLUSHDB: AS_SENT,
  FLUSHALL: AS_SENT,
  SWAPDB: AS_SENT,
  // Slots are the primary's own affair.
  TRIMSLOTS: NEVER,
  // Deletes what others have written: nobody lists the keys.
  'CLUSTER FLUSHSLOT': {
    kind: 'compute',
    effect: () => ({ kind: 'unknown', reason: 'it deletes all keys of a slot', keys: [], keysMissing: true }),
  },
  DEBUG: NEVER,
}

/**
 * EVAL script numkeys key ... arg ...
 *
 * | the source                          | the shadow gets                                            |
 * |-------------------------------------|------------------------------------------------------------|
 * | only reads                          | nothing                                                    |
 * | does the same anywhere, to its KEYS | the same call                                              |
 * | varies, or does on servers of       | its KEYS copied                                            |
 * | different makes, as these are       |                                                            |
 * | does more with the names            | its KEYS copied                                            |
 * | of KEYS than to reach them, and     |                                                            |
 * | they are others there               |                                                            |
 * | uses further keys, or was not seen, | its KEYS copied; the others are copied when the primary    |
 * | and the primary tells which         | tells of them (`mirror/keys/told-keys.ts`)                      |
 * | the same, and it does not tell:     | the route needs a verify, and                              |
 * |     names are the same              | the same call; if it need not do the same, its KEYS copied |
 * |     names are others, or not seen   | its KEYS copied                                            |
 */
function script(args: Args, _reply: Reply, context: EffectContext): Effect {
  const numkeys = count(args[2])
  const keys = numkeys <= 0 ? [] : args.slice(3, 3 + numkeys)
  const facts = context.scriptFacts?.(args) ?? null
  const mayBeUntold = facts === null || facts.computesCommands ? args.slice(3 + keys.length).some(isUntoldName) : false
  if (facts === null && mayBeUntold) return { ...UNDECLARED, keys, keysMissing: true }
  if (facts === null && context.told === true) return copy(keys)
  if (facts === null) return keys.length === 0 ? { ...UNDECLARED, keys } : copy(keys)
  if (!facts.writes) return NOTHING
  const varies = facts.varies !== null || (facts.variesByServer && context.sameMake !== true)
  if (facts.declaresKeys) {
    if (keys.length === 0) return NOTHING
    const differs = varies || (facts.tellsNames && context.namedAlike?.(keys) === false)
    return differs ? copy(keys) : { kind: 'replay', copies: [], doubt: null }
  }
  if (context.told === true && !facts.untold && !mayBeUntold) return copy(keys)
  if (!context.sameNames) return { ...UNDECLARED, keys, keysMissing: true }
  return { kind: 'replay', copies: varies ? keys : [], doubt: UNDECLARED.reason }
}

/** `redis.call(ARGV[1], ...)`: an argument that may be such a command. */
function isUntoldName(arg: Buffer): boolean {
  return arg.length <= LONGEST_NAME && isUntold(arg.toString('latin1'))
}

const LONGEST_NAME = 12
const UNDECLARED = { kind: 'unknown', reason: 'a script that writes to keys which it does not declare' } as const
