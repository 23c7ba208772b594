import { findKeys, KeyPositions } from '../../command/keys.ts'
import { mapReplyKeys } from '../../command/reply-keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Reply } from '../../resp/reply.ts'
import type { RouteTable } from '../../routing/route-table.ts'

const positions = new KeyPositions()

/**
 * A primary's reply that names keys (BLPOP, LMPOP, XREADGROUP), under the application's names. It can only name keys that the command named.
 */
export function underApplicationNames(routes: RouteTable, spec: CommandSpec, view: CommandView, reply: Reply): Reply {
  if (spec.replyKeys === null || routes.trivial !== null) return reply
  findKeys(spec, view, positions)
  const names = new Map<string, Buffer>()
  for (let i = 0; i < positions.count; i++) {
    const arg = positions.index[i]!
    const from = view.start[arg]!
    const to = view.end[arg]!
    const renamed = routes.find(view.buf, from, to).primary?.apply(view.buf, from, to)
    if (renamed != null) names.set(renamed.toString('latin1'), Buffer.from(view.buf.subarray(from, to)))
  }
  if (names.size === 0) return reply
  return mapReplyKeys(spec, [], reply, (key) => names.get(key.toString('latin1')) ?? key) ?? reply
}
