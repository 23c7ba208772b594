import { mapReplyKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { Reply } from '../resp/reply.ts'
import type { KeyRule } from '../routing/route.ts'
import type { RouteTable } from '../routing/route-table.ts'

/** Gives keys in replies (XREAD) the names that the application knows them by. */
export interface ReplyNames {
  ofPrimary(reply: Reply): Reply
  ofShadow(reply: Reply): Reply
}

const AS_THEY_ARE: ReplyNames = { ofPrimary: (reply) => reply, ofShadow: (reply) => reply }

/** `keys`: the command's, by the application's names. A reply can only name keys that the command named. */
export function replyNames(routes: RouteTable, spec: CommandSpec, keys: readonly Buffer[]): ReplyNames {
  if (spec.replyKeys === null || routes.trivial !== null) return AS_THEY_ARE
  const mapped = (rename: (rule: KeyRule) => KeyRule['primary']): ((reply: Reply) => Reply) => {
    const names = new Map<string, Buffer>()
    for (const key of keys) {
      const there = rename(routes.find(key, 0, key.length))?.apply(key, 0, key.length)
      if (there != null) names.set(there.toString('latin1'), key)
    }
    return (reply) => mapReplyKeys(spec, [], reply, (key) => names.get(key.toString('latin1')) ?? key) ?? reply
  }
  return { ofPrimary: mapped((rule) => rule.primary), ofShadow: mapped((rule) => rule.shadow) }
}
