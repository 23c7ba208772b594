import { decodeReply } from '../../resp/decode.ts'
import { ErrorReply } from '../../resp/reply.ts'
import { expiryOf } from '../compare/expiry.ts'
import { checked } from '../scan/scan-page.ts'
import { memoryOf } from '../stores/key-sizes.ts'
import type { StoreConnection } from '../stores/store-connection.ts'

/** A key's whole state as its server writes it. */
export interface Dump {
  readonly payload: Buffer
  /** ms since the epoch; null: never. */
  readonly expiresAtMs: number | null
}

/** Keys whose payloads are held at once take about so many bytes there. */
const MAX_HELD_BYTES = 8 * 1024 * 1024
/** As PTTL says it. */
const NOT_THERE = -2

export interface Group {
  readonly indexes: readonly number[]
  /** Of memory in the store. */
  readonly bytes: number
}

/** Keys in groups that are not too much to hold; a key larger than that is a group of its own. Rejects with StoreLost. */
export async function inGroups(store: StoreConnection, names: readonly Buffer[]): Promise<Group[]> {
  const sizes = await memoryOf(store, names)
  const groups: Group[] = []
  let group: number[] = []
  let held = 0
  for (const [i, size] of sizes.entries()) {
    if (group.length > 0 && held + size > MAX_HELD_BYTES) {
      groups.push({ indexes: group, bytes: held })
      group = []
      held = 0
    }
    group.push(i)
    held += size
  }
  if (group.length > 0) groups.push({ indexes: group, bytes: held })
  return groups
}

/** Of each name what it holds; null: it is not there. Rejects with StoreLost; throws STORE_UNREACHABLE when the store refuses to say. */
export async function dump(
  storeName: string,
  store: StoreConnection,
  names: readonly Buffer[],
): Promise<(Dump | null)[]> {
  const payloads: (Buffer | null)[] = []
  const expiries: (number | null)[] = []
  let error: ErrorReply | null = null
  await store.forEach([['DUMP'], ['PTTL']], names, (n, buf, start, stop) => {
    const reply = decodeReply(buf, start, stop)
    if (reply instanceof ErrorReply) error ??= reply
    if (n % 2 === 0) payloads.push(Buffer.isBuffer(reply) ? reply : null)
    else expiries.push(expiryOf(reply))
    // It went between the two questions.
    if (reply === NOT_THERE) payloads[payloads.length - 1] = null
  })
  if (error !== null) checked(storeName, error)
  return payloads.map((payload, i) => (payload === null ? null : { payload, expiresAtMs: expiries[i]! }))
}
