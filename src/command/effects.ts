import type { Reply } from '../resp/reply.ts'
import type { ScriptFacts } from './scripts/script-facts.ts'

export type Args = readonly Buffer[]

export interface EffectContext {
  /** The primary's clock when the reply arrived, whole ms since the epoch. */
  readonly nowMs: number
  /** True where the shadow is Redis 6.2 or newer (PXAT, EXAT known) */
  readonly shadowHasAbsoluteExpiry: boolean
  /** True where the shadow knows HSETEX (Redis 8.0, Valkey 9.0), so that a field's own expiry can be kept. Absent: it does not. */
  readonly shadowHasHsetex?: boolean
  /** True where both stores know times of expiry of single hash fields (Redis 7.4, Valkey 9.0). Absent: they do not. */
  readonly haveFieldTimes?: boolean
  /** True where whoever asks carries out `followUp`. Absent: rules that would need one give a state copy instead. */
  readonly canAsk?: boolean
  /** What can be told of the script that EVAL, EVALSHA, FCALL runs; null: its source has not been seen. Absent: nobody keeps sources. */
  readonly scriptFacts?: (args: Args) => ScriptFacts | null
  /** True where the primary tells which keys the script writes, so that those are copied which it does not declare, too. */
  readonly told?: boolean
  /** True where every key has the same name on both sides and is mirrored, so that a script finds there what it finds here. */
  readonly sameNames?: boolean
  /** True where both stores are known to put down numbers, and to order what is in a table of a script, alike. */
  readonly sameMake?: boolean
  /** Each of these keys has the application's name on both sides. Absent: they have. */
  readonly namedAlike?: (keys: Args) => boolean
}

/** What is sent to the shadow for one successful write. Keys are the application's (renaming comes after). */
export type Effect =
  | { readonly kind: 'none' }
  | { readonly kind: 'as-sent' }
  /** These, in this order; then `followUp`, if there is one. */
  | { readonly kind: 'commands'; readonly commands: readonly Args[]; readonly followUp?: FollowUp }
  /** State copy of these keys, and of those in another database. */
  | {
      readonly kind: 'copy'
      readonly keys: readonly Buffer[]
      readonly elsewhere?: { readonly database: number; readonly keys: readonly Buffer[] }
    }
  /** As sent: a script, whose whole answer has to be the primary's; then a state copy of `copies`. `doubt`: why something may differ all the same, to be counted and logged. */
  | { readonly kind: 'replay'; readonly copies: readonly Buffer[]; readonly doubt: string | null }
  /**
   * Something happened that cannot be put on the shadow (`reason`): to be counted and logged. A state copy of `keys` mends what it can. `keysMissing`: other keys were written, too, and nobody can
   * name them.
   */
  | {
      readonly kind: 'unknown'
      readonly reason: string
      readonly keys: readonly Buffer[]
      readonly keysMissing?: boolean
    }

/**
 * What the reply does not tell and the primary must be asked: `read` goes to the primary in the pipeline, as a state copy's
 * reads do, and the effect of its reply is queued for the shadow at the place where that reply arrives. A follow-up brings to the shadow
 * what is so on the primary at that place, so what other writes did in between cannot make it wrong. It may be dropped when the
 * `keys` are state-copied anyway.
 */
export interface FollowUp {
  readonly read: Args
  readonly keys: readonly Buffer[]
  /** Not asked when the reply is an error: the keys are then state-copied. */
  readonly effect: (reply: Reply) => Effect
}

/**
 * The three simple rules can be decided from the reply's first bytes without decoding anything; `compute` gets arguments and decoded reply.
 * No rule is asked when the reply is an error; see `writesBeforeError`.
 */
export type EffectRule =
  | { readonly kind: 'never' }
  | { readonly kind: 'as-sent' }
  /** As sent, unless the reply says that nothing changed: `:0`, `#f`, a nil, or an empty array. */
  | { readonly kind: 'as-sent-if-changed' }
  | {
      readonly kind: 'compute'
      readonly effect: (args: Args, reply: Reply, context: EffectContext) => Effect
      /** With exactly so many arguments (the name counted) the effect is `as-sent` and need not be computed. */
      readonly plainArgc?: number
      /** The command may have written something before it failed (a script, MIGRATE): after an error its keys are state-copied. */
      readonly writesBeforeError?: true
    }

export const NEVER: EffectRule = { kind: 'never' }
export const AS_SENT: EffectRule = { kind: 'as-sent' }
export const AS_SENT_IF_CHANGED: EffectRule = { kind: 'as-sent-if-changed' }
