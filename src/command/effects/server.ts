import { type Args, AS_SENT, type Effect, type EffectRule, NEVER } from '../effects.ts'
import { copy, count } from './building.ts'

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
  DEBUG: NEVER,
}

/** EVAL script numkeys key ... arg ... */
function script(args: Args): Effect {
  const keys = count(args[2])
  if (keys <= 0) return { kind: 'unknown', reason: 'a script that declares no keys', keys: [] }
  return copy(...args.slice(3, 3 + keys))
}
