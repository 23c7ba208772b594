import type { Args, Effect, EffectContext } from '../../src/command/effects.ts'
import { findKeys, KeyPositions } from '../../src/command/keys.ts'
import type { CommandSpec } from '../../src/command/spec.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import { ErrorReply, type Reply } from '../../src/resp/reply.ts'

/** The plainest way to carry out a command's rule, for tests: what the mirror does faster. */
export function effectOf(spec: CommandSpec, args: Args, reply: Reply, context: EffectContext): Effect {
  const rule = spec.effect
  if (rule === null) return spec.write ? copyOfKeys(spec, args) : { kind: 'none' }
  if (reply instanceof ErrorReply) {
    return rule.kind === 'compute' && rule.writesBeforeError ? copyOfKeys(spec, args) : { kind: 'none' }
  }
  switch (rule.kind) {
    case 'never':
      return { kind: 'none' }
    case 'as-sent':
      return { kind: 'as-sent' }
    case 'as-sent-if-changed':
      return { kind: changedNothing(reply) ? 'none' : 'as-sent' }
    case 'compute':
      return args.length === rule.plainArgc ? { kind: 'as-sent' } : rule.effect(args, reply, context)
  }
}

function changedNothing(reply: Reply): boolean {
  return reply === null || reply === 0 || reply === false || (Array.isArray(reply) && reply.length === 0)
}

function copyOfKeys(spec: CommandSpec, args: Args): Effect {
  const positions = new KeyPositions()
  findKeys(spec, viewOf(args), positions)
  return { kind: 'copy', keys: [...positions.index.subarray(0, positions.count)].map((i) => args[i]!) }
}
