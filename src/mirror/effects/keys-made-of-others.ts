import type { CommandSpec } from '../../command/spec.ts'
import type { KeyRef } from '../keys/key-refs.ts'

/** What these do to each of their keys stands in the command itself, or their answer is another one where a key is missing (`SMOVE`). */
const EACH_BY_ITSELF = new Set(['DEL', 'UNLINK', 'MSET', 'SMOVE'])

/** These make their first key of the others, and leave those as they are. */
const MAKE_THE_FIRST = new Set([
  'BITOP',
  'GEOSEARCHSTORE',
  'PFMERGE',
  'SDIFFSTORE',
  'SINTERSTORE',
  'SUNIONSTORE',
  'ZDIFFSTORE',
  'ZINTERSTORE',
  'ZRANGESTORE',
  'ZUNIONSTORE',
])

/**
 * Of the keys of a command, those that hold after it what it has found in others. A store that lacks one of these, or has a part of it only, makes something else of them and may answer the same (`OK`, as many elements); and who has copied
 * them before does not do so again. What is in no list does anything to any of them: scripts, RENAME, COPY, LMOVE, and what is not known yet.
 */
export function keysMadeOfOthers({ name }: CommandSpec, keys: readonly KeyRef[]): readonly KeyRef[] {
  if (keys.length < 2 || EACH_BY_ITSELF.has(name)) return []
  return MAKE_THE_FIRST.has(name) ? keys.slice(0, 1) : keys
}
