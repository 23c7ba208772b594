import type { StoreConfig } from '../config/config.ts'
import { encodeCommand } from '../resp/encode.ts'

/** What makes one connection different from another of the same store: commands of unlike identities cannot share one. */
export interface Identity {
  /** As the store counts it. */
  readonly database: number
  readonly protocol: 2 | 3
}

/** One command of a new connection's greeting. `required`: an error reply to it makes the connection useless. */
export interface Greeting {
  readonly name: 'auth' | 'hello' | 'select' | 'setname' | 'id'
  readonly bytes: Buffer
  readonly required: boolean
}

/**
 * What is sent on a new connection before anything else. `HELLO 3` only where it is needed, so that servers older than 6.0 serve RESP2
 * clients; `CLIENT ID` is asked for on dedicated connections, so that a blocked one can be unblocked.
 */
export function greetings(store: StoreConfig, identity: Identity, wantsId: boolean): Greeting[] {
  const list: Greeting[] = []
  if (store.password !== null) {
    const auth = store.username === null ? ['AUTH', store.password] : ['AUTH', store.username, store.password]
    list.push({ name: 'auth', bytes: encodeCommand(auth), required: true })
  }
  if (identity.protocol === 3) list.push({ name: 'hello', bytes: encodeCommand(['HELLO', '3']), required: true })
  list.push({ name: 'setname', bytes: encodeCommand(['CLIENT', 'SETNAME', 'understudy']), required: false })
  if (identity.database !== 0) {
    list.push({ name: 'select', bytes: encodeCommand(['SELECT', String(identity.database)]), required: true })
  }
  if (wantsId) list.push({ name: 'id', bytes: encodeCommand(['CLIENT', 'ID']), required: false })
  return list
}
