import type { AckWaiter } from '../../mirror/shadow/ack-waiter.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeCommand } from '../../resp/encode.ts'
import { applicationName } from '../../routing/keyspace-command.ts'
import type { Route } from '../../routing/route.ts'
import type { DataPath } from '../data-path.ts'

/**
 * Mirrors a FLUSHDB or FLUSHALL of a namespace inside MULTI, by the names that its script has deleted (`routing/own-keys-in-multi.ts`), which are `buf[from .. to)`: each route's as deletions of its own.
 * `database`: the one that the command was in.
 */
export function mirrorOwnFlush(
  path: DataPath,
  database: number,
  buf: Buffer,
  from: number,
  to: number,
  waiter: AckWaiter | null,
): void {
  const reply = decodeReply(buf, from, to)
  if (!Array.isArray(reply)) return
  const { routes } = path
  const nameOf = applicationName(routes, routes.fallback.primary.store, null)
  for (const [index, ...names] of reply as Buffer[][]) {
    const deletedIn = index!.length === 0 ? database : Number(index)
    for (const [route, keys] of byRoute(path, names.map(nameOf))) {
      for (let i = 0; i < keys.length; i += AT_ONCE) deleted(path, route, deletedIn, keys.slice(i, i + AT_ONCE), waiter)
    }
  }
}

function byRoute({ routes }: DataPath, keys: readonly (Buffer | null)[]): Map<Route, Buffer[]> {
  const found = new Map<Route, Buffer[]>()
  for (const key of keys) {
    if (key === null) continue
    const { route } = routes.find(key, 0, key.length)
    if (route.shadow === null) continue
    const known = found.get(route)
    if (known === undefined) found.set(route, [key])
    else known.push(key)
  }
  return found
}

function deleted(
  { mirror, commands }: DataPath,
  route: Route,
  database: number,
  keys: readonly Buffer[],
  waiter: AckWaiter | null,
): void {
  const bytes = encodeCommand(['UNLINK', ...keys])
  const reply = Buffer.from(`:${keys.length}\r\n`)
  mirror.apply(commands.byName('UNLINK')!, route, database, bytes, 0, bytes.length, reply, 0, reply.length, waiter)
}

const AT_ONCE = 500
