// Types only for now: the rules themselves follow.
import type { Reply } from '../resp/reply.ts'

export type Args = readonly Buffer[]

export interface EffectContext {
  /** The primary's clock when the reply arrived, ms since the epoch. */
  readonly nowMs: number
  /** True where the shadow is Redis 6.2 or newer (PXAT, EXAT known) */
  readonly shadowHasAbsoluteExpiry: boolean
}

/** What is sent to the shadow for one successful write. Keys are the application's (renaming comes after). */
export type Effect =
  | { readonly kind: 'none' }
  | { readonly kind: 'as-sent' }
  | { readonly kind: 'commands'; readonly commands: readonly Args[] }
  /** State copy of these keys. */
  | { readonly kind: 'copy'; readonly keys: readonly Buffer[] }

/**
 * The three simple rules can be decided from the reply's first bytes without decoding anything; `compute` gets arguments and decoded reply.
 * No rule is asked when the reply is an error.
 */
export type EffectRule =
  | { readonly kind: 'never' }
  | { readonly kind: 'as-sent' }
  /** As sent, unless the reply says that nothing changed: `:0`, a nil, or an empty array. */
  | { readonly kind: 'as-sent-if-changed' }
  | { readonly kind: 'compute'; readonly effect: (args: Args, reply: Reply, context: EffectContext) => Effect }
