import type { KeyFinder, KeySpec } from './spec.ts'

/** `numkeys` at argument `at`, keys behind it. */
function counted(at: number, step = 1): KeySpec {
  return { begin: { type: 'index', index: at }, find: { type: 'keynum', keyNumIndex: 0, firstKey: 1, step } }
}

const DESTINATION: KeySpec = {
  begin: { type: 'index', index: 1 },
  find: { type: 'range', lastKey: 0, step: 1, limit: 0 },
}

const COUNTED_AT_1 = [counted(1)]
const COUNTED_AT_2 = [counted(2)]
const DESTINATION_AND_COUNTED = [DESTINATION, counted(2)]

/**
 * Key specs of the commands whose keys first/last/step cannot describe ("movable keys"), for servers that do not tell theirs (before
 * 7.0). Source: redis.io, "Key specifications" of each command.
 */
export const MOVABLE_KEY_SPECS: Readonly<Record<string, readonly KeySpec[]>> = {
  EVAL: COUNTED_AT_2,
  EVALSHA: COUNTED_AT_2,
  EVAL_RO: COUNTED_AT_2,
  EVALSHA_RO: COUNTED_AT_2,
  FCALL: COUNTED_AT_2,
  FCALL_RO: COUNTED_AT_2,
  LMPOP: COUNTED_AT_1,
  ZMPOP: COUNTED_AT_1,
  BLMPOP: COUNTED_AT_2,
  BZMPOP: COUNTED_AT_2,
  SINTERCARD: COUNTED_AT_1,
  SUNIONCARD: COUNTED_AT_1,
  SDIFFCARD: COUNTED_AT_1,
  ZUNION: COUNTED_AT_1,
  ZINTER: COUNTED_AT_1,
  ZDIFF: COUNTED_AT_1,
  ZINTERCARD: COUNTED_AT_1,
  ZUNIONSTORE: DESTINATION_AND_COUNTED,
  ZINTERSTORE: DESTINATION_AND_COUNTED,
  ZDIFFSTORE: DESTINATION_AND_COUNTED,
  MSETEX: [counted(1, 2)],
}

/**
 * Commands whose own grammar must be followed: SORT's specs are `unknown`, MIGRATE's are marked incomplete, and the keyword specs of
 * XREADGROUP and GEORADIUS take a group, consumer or member that is called like the keyword for the keyword.
 */
export const KEY_FINDERS: Readonly<Record<string, KeyFinder>> = {
  SORT: 'sort',
  SORT_RO: 'sort',
  GEORADIUS: 'georadius',
  GEORADIUSBYMEMBER: 'georadius',
  MIGRATE: 'migrate',
  XREAD: 'streams',
  XREADGROUP: 'streams',
}
