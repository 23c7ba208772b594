import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { Session } from './session.ts'

/** Why the client cannot have a connection of its own to the store now: its error. Null: it can. */
export function noConnectionLeft(session: Session, store: Store): string | null {
  const limit = session.path.clients.dedicatedConnections
  if (store.dedicated.size < limit || session.own?.at(store)) return null
  return `ERR Understudy: ${limit} connections of their own are in use at store '${store.name}' (clients.dedicatedConnections); the command was not executed`
}

/** The connection for a transaction or a blocking command: the client's own, if it has one there. `giveBack` it. */
export function borrow(session: Session, store: Store): Pipeline {
  if (session.own?.at(store)) return session.own.to(store)
  return store.dedicated.borrow(session.database, session.protocol, session.user)
}

/** Gives back what `borrow` gave. `clean`: no MULTI, WATCH or command is under way on it; else it is closed. It is in `database` now. */
export function giveBack(session: Session, store: Store, pipeline: Pipeline, database: number, clean: boolean): void {
  if (session.own?.isOne(pipeline)) {
    if (clean) session.own.settled(pipeline)
    else session.end()
  } else if (clean) store.dedicated.release(pipeline, database)
  else store.dedicated.discard(pipeline)
}
