/** What can be told of a script by reading it. In doubt it is taken for the worse. */
export interface ScriptFacts {
  /** It calls something that may write. */
  readonly writes: boolean
  /** Why two servers with the same data need not do the same for it; null: they do. */
  readonly varies: string | null
  /** What it writes depends on how a server puts down numbers, and orders what is in a table: it is the same on servers of one make only. */
  readonly variesByServer: boolean
  /** Every key that it uses is one of its KEYS. */
  readonly declaresKeys: boolean
  /** It does more with the names of its KEYS than to hand them to commands as keys, or what it calls answers with names: they may be in its reply. */
  readonly tellsNames: boolean
  /** It asks for keys that it does not name: KEYS, SCAN, RANDOMKEY, DBSIZE. */
  readonly asksForAllKeys: boolean
  /**
   * What it does to other keys may depend on what is in a list, a sorted set or a stream, which clients may wait on: it does more with them than to change one and not to look at the answer.
   */
  readonly looksIntoQueues: boolean
  /** What it writes a server does not tell in full to clients that track keys: consumer groups and times of hash fields are left out, and what database a key is in. */
  readonly untold: boolean
  /** It may call commands whose names it makes, or is given as arguments. */
  readonly computesCommands: boolean
  /** Channels that it publishes to; null: one that it computes, or anything may happen. */
  readonly publishesTo: readonly (string | null)[]
}

export const UNREADABLE: ScriptFacts = {
  writes: true,
  varies: 'it cannot be read',
  variesByServer: true,
  declaresKeys: false,
  tellsNames: true,
  asksForAllKeys: true,
  looksIntoQueues: true,
  untold: true,
  computesCommands: true,
  publishesTo: [null],
}

/** Of a script that is made of the two. */
export function bothOf(one: ScriptFacts, other: ScriptFacts): ScriptFacts {
  return {
    writes: one.writes || other.writes,
    varies: one.varies ?? other.varies,
    variesByServer: one.variesByServer || other.variesByServer,
    declaresKeys: one.declaresKeys && other.declaresKeys,
    tellsNames: one.tellsNames || other.tellsNames,
    asksForAllKeys: one.asksForAllKeys || other.asksForAllKeys,
    looksIntoQueues: one.looksIntoQueues || other.looksIntoQueues,
    untold: one.untold || other.untold,
    computesCommands: one.computesCommands || other.computesCommands,
    publishesTo: channelsOf(one.publishesTo, other.publishesTo),
  }
}

function channelsOf(one: ScriptFacts['publishesTo'], other: ScriptFacts['publishesTo']): ScriptFacts['publishesTo'] {
  if (other.length === 0) return one
  return one.length === 0 ? other : [...new Set([...one, ...other])]
}

/** It does nothing. */
export const INERT: ScriptFacts = {
  writes: false,
  varies: null,
  variesByServer: false,
  declaresKeys: true,
  tellsNames: false,
  asksForAllKeys: false,
  looksIntoQueues: false,
  untold: false,
  computesCommands: false,
  publishesTo: [],
}
