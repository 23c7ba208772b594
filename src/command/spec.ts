import type { CompareClass } from './compare-class.ts'
import type { EffectRule } from './effects.ts'

/** What the proxy does with a command before it thinks about routes. */
export type Handling =
  /** Goes down the shared pipeline. */
  | 'forward'
  /** Understudy answers or changes the session's state (SELECT, CLIENT, HELLO, QUIT, RESET, AUTH ...). */
  | 'session'
  /** MULTI, EXEC, DISCARD, WATCH, UNWATCH. */
  | 'transaction'
  /** May block the connection it is sent on (BLPOP, XREAD BLOCK, WAIT ...): `blocks` looks whether this one does. */
  | 'blocking'
  /** About all keys there are (KEYS, SCAN, RANDOMKEY, DBSIZE). */
  | 'keyspace'
  /** HSCAN, SSCAN and ZSCAN: their cursors belong to one store. */
  | 'elements'
  /** PUBLISH and SPUBLISH: where they go is their channel's matter. */
  | 'publish'
  /** SUBSCRIBE family. */
  | 'subscribe'
  /** Takes the connection over (MONITOR). */
  | 'takeover'
  /** Sent on a connection beside the shared one, where it would wait for what it is to end (SCRIPT KILL, SHUTDOWN ...). */
  | 'beside'
  /** INFO, SLOWLOG GET ...: the primary's answer, put right where it is about clients. */
  | 'mended'
  /** Asks to be a replica (REPLCONF, PSYNC, SYNC): its connection becomes a pipe to the primary. */
  | 'replica'
  /** Never passes (SCRIPT DEBUG ...): answered with an error that says why. */
  | 'refuse'

/** Where keys begin and how they go on: Redis' own key specs (redis.io, "Command key specifications"). */
export interface KeySpec {
  readonly begin:
    | { readonly type: 'index'; readonly index: number }
    | { readonly type: 'keyword'; readonly keyword: string; readonly startFrom: number }
    | { readonly type: 'unknown' }
  readonly find:
    | { readonly type: 'range'; readonly lastKey: number; readonly step: number; readonly limit: number }
    | { readonly type: 'keynum'; readonly keyNumIndex: number; readonly firstKey: number; readonly step: number }
    | { readonly type: 'unknown' }
}

/** Which way `findKeys` goes: by first/last/step, by key specs, or by the grammar of a command that its key specs do not describe. */
export type KeyFinder = 'plain' | 'specs' | 'sort' | 'georadius' | 'migrate' | 'streams'

/** Where the keys are in a command's reply. */
export type ReplyKeys =
  /** `[key, ...]`: BLPOP, LMPOP ... */
  | 'first'
  /** `[[key, entries] ...]`, in RESP3 a map: XREAD, XREADGROUP. */
  | 'streams'
  /** `[key ...]`: KEYS. */
  | 'list'
  /** `[cursor, [key ...]]`: SCAN. */
  | 'scan'
  /** `key`: RANDOMKEY. */
  | 'single'

/** One command (or one subcommand of a container) as the table knows it. Frozen; shared by every session of a thread. */
export interface CommandSpec {
  /** Upper case; a subcommand's name is both words: `XGROUP CREATE`. */
  readonly name: string
  /** As Redis counts it, the name included; negative: at least so many. */
  readonly arity: number
  /**
   * Belongs on the primary, and its effect on the shadow: what the server flags as a write, and what the effects table mirrors although the
   * server does not (scripts, PUBLISH, SCRIPT LOAD).
   */
  readonly write: boolean
  readonly readonly: boolean
  readonly admin: boolean
  readonly handling: Handling
  /** A subcommand that the server, which lists its subcommands, does not have. */
  readonly absent: boolean
  /** The usual case for speed: keys at firstKey, firstKey + keyStep, ... lastKey (negative: from the end); 0: none. Only meaningful when `keyFinder` is `plain`. */
  readonly firstKey: number
  readonly lastKey: number
  readonly keyStep: number
  /** Its last key may (also) be written in another database, which its arguments name (MOVE, COPY ... DB): see `otherDatabase`. */
  readonly crossesDatabases: boolean
  /** Set when the positions depend on other arguments (numkeys, STREAMS, STORE ...). */
  readonly keySpecs: readonly KeySpec[] | null
  readonly keyFinder: KeyFinder
  /** null: its replies carry no keys. */
  readonly replyKeys: ReplyKeys | null
  /** Its errors may quote a key (`No such key 'job:1' ...`). */
  readonly quotesKeys: boolean
  /** How a read's two answers are compared; null for what is no read. */
  readonly compare: CompareClass | null
  readonly subcommands: ReadonlyMap<string, CommandSpec> | null
  /** How its effect reaches the shadow; null: the table has no row (an unknown write is then counted and its keys state-copied). */
  readonly effect: EffectRule | null
}
