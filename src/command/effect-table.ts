import { ARRAY_EFFECTS } from './effects/arrays.ts'
import { HASH_EFFECTS } from './effects/hashes.ts'
import { KEYSPACE_EFFECTS } from './effects/keyspace.ts'
import { LIST_EFFECTS } from './effects/lists.ts'
import { SERVER_EFFECTS } from './effects/server.ts'
import { SET_EFFECTS } from './effects/sets.ts'
import { SORTED_SET_EFFECTS } from './effects/sorted-sets.ts'
import { STREAM_EFFECTS } from './effects/streams.ts'
import { STRING_EFFECTS } from './effects/strings.ts'
import type { EffectRule } from './effects.ts'

/** One row a write command of Redis 7.0 to 8.x and Valkey; a subcommand's name is both words. */
const EFFECTS: ReadonlyMap<string, EffectRule> = new Map(
  [
    STRING_EFFECTS,
    HASH_EFFECTS,
    LIST_EFFECTS,
    SET_EFFECTS,
    SORTED_SET_EFFECTS,
    STREAM_EFFECTS,
    ARRAY_EFFECTS,
    KEYSPACE_EFFECTS,
    SERVER_EFFECTS,
  ].flatMap((part) => Object.entries(part)),
)

/** The rule of a command by its upper-case name; null: it has no row. */
export function effectRuleOf(name: string): EffectRule | null {
  return EFFECTS.get(name) ?? null
}
