import type { EffectRule } from './effects.ts'

/** What the proxy does with a command before it thinks about routes. */
export type Handling =
  /** Goes down the shared pipeline. */
  | 'forward'
  /** Understudy answers or changes the session's state (SELECT, CLIENT, HELLO, QUIT, RESET, AUTH ...). */
  | 'session'
  /** MULTI, EXEC, DISCARD, WATCH, UNWATCH. */
  | 'transaction'
  /** May block the connection it is sent on (BLPOP, XREAD BLOCK, WAIT ...). */
  | 'blocking'
  /** SUBSCRIBE family. */
  | 'subscribe'
  /** Takes the connection over (MONITOR). */
  | 'takeover'
  /** Never passes (SYNC, PSYNC, REPLCONF ...): answered with an error that says why. */
  | 'refuse'

/** Where keys begin and how they go on: Redis' own key specs (redis.io, "Command key specifications"). */
export interface KeySpec {
  readonly begin: { readonly type: 'index'; readonly index: number } | { readonly type: 'keyword'; readonly keyword: string; readonly startFrom: number } | { readonly type: 'unknown' }
  readonly find:
    | { readonly type: 'range'; readonly lastKey: number; readonly step: number; readonly limit: number }
    | { readonly type: 'keynum'; readonly keyNumIndex: number; readonly firstKey: number; readonly step: number }
    | { readonly type: 'unknown' }
}

/** One command (or one subcommand of a container) as the table knows it. Frozen; shared by every session of a thread. */
export interface CommandSpec {
  /** Upper case; a subcommand's name is both words: `XGROUP CREATE`. */
  readonly name: string
  /** As Redis counts it, the name included; negative: at least so many. */
  readonly arity: number
  readonly write: boolean
  readonly readonly: boolean
  readonly admin: boolean
  readonly handling: Handling
  /** The usual case for speed: keys at firstKey, firstKey + keyStep, ... lastKey (negative: from the end); 0: none. Only meaningful when `keySpecs` is null. */
  readonly firstKey: number
  readonly lastKey: number
  readonly keyStep: number
  /** Set when the positions depend on other arguments (numkeys, STREAMS, STORE, BY/GET ...). */
  readonly keySpecs: readonly KeySpec[] | null
  readonly subcommands: ReadonlyMap<string, CommandSpec> | null
  /** How its effect reaches the shadow; null: the table has no row (an unknown write is then counted and its keys state-copied). */
  readonly effect: EffectRule | null
}
