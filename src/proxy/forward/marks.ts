/** A session's marks on its commands in flight (`InFlight.flags`): what has to happen when the reply comes, besides passing it on. 0: nothing. */
export const MIRRORED = 1
export const SAMPLED = 2
/** Keys in the reply have to be given their application's names, or its cursor a mark. */
export const MAP_KEYS = 4
/** Keys of several routes: `extra` holds the states of the others. */
export const MIXED = 8
/** A dedicated connection answers it: what becomes of this one is nobody's. */
export const HANDED_OVER = 16
/** PUBLISH while subscribers share a connection: its count is not the store's. */
export const COUNTED = 32
/** It runs a script that may write to keys which it does not declare (`Mirror.undeclared`). */
export const UNDECLARED = 64
/** With it: it declares no key, or keys of several routes. */
export const OF_ANY_ROUTE = 512
/** It changes the store's functions (`DataPath.functions`). */
export const FUNCTIONS = 128
