import { UnderstudyError } from '../../base/errors.ts'
import { ErrorReply, type Reply } from '../../resp/reply.ts'
import type { StoreConnection } from '../stores/store-connection.ts'
import { StoreLost } from '../stores/store-lost.ts'

/** One SCAN of one server: the names, and its next cursor (`0`: there is none). Rejects with StoreLost, also when the server is not the process `server` (its run ID), whose cursor it is. */
export async function readPage(
  connection: StoreConnection,
  store: string,
  server: string,
  cursor: string,
  count: number,
): Promise<{ readonly names: readonly Buffer[]; readonly next: string }> {
  let reply: Reply
  do {
    if (provenAt.get(connection) !== connection.generation) {
      if ((await runIdOf(connection, store)) !== server) throw new StoreLost(store, 'it is another process now')
      provenAt.set(connection, connection.generation)
    }
    reply = checked(store, await connection.ask(['SCAN', cursor, 'COUNT', count]))
    // The connection was another one meanwhile: perhaps to another process, to which the cursor means something else.
  } while (provenAt.get(connection) !== connection.generation)
  const [next, names] = reply as readonly [Buffer, readonly Buffer[]]
  return { names, next: next.toString('latin1') }
}

/** Which connection (its generation) leads to the process that has been asked who it is. */
const provenAt = new WeakMap<StoreConnection, number>()

/** Of the server at the other end. Rejects with StoreLost. */
export async function runIdOf(connection: StoreConnection, store: string): Promise<string> {
  const server = checked(store, await connection.ask(['INFO', 'server'])) as Buffer
  return /^run_id:(\S+)/m.exec(server.toString('latin1'))?.[1] ?? ''
}

/** Throws STORE_UNREACHABLE for an error reply: a job cannot go on without it. One that is of the store, and passes, does not come here (`StoreConnection`). */
export function checked(store: string, reply: Reply): Reply {
  if (!(reply instanceof ErrorReply)) return reply
  throw new UnderstudyError('STORE_UNREACHABLE', `store '${store}' refuses what the job needs: ${reply.text}`)
}
