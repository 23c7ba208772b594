import { ErrorReply } from '../../resp/reply.ts'
import { stagingKeyFor } from '../../routing/staging-key.ts'
import { isSameExpiry } from '../compare/expiry.ts'
import type { JobOptions } from '../runner/job.ts'
import type { StoreConnection } from '../stores/store-connection.ts'
import { type KeyRecord, readValue, sameValue, writesOf } from './values.ts'

/** Commands that write one key, under way together. */
const AT_ONCE = 1_000
/** A key that nobody finishes is gone after so long: a job that is cancelled, or whose store goes away, cannot take it back. */
const STAGING_MS = 600_000

/**
 * Writes one key under a name of its own, reads it again there, and renames it: so nobody sees half of it or what came out otherwise than it stands in the file, a key that its application makes meanwhile is not lost, and what the application writes to it afterwards is no fault of
 * this. `counts`: the store is Redis 7.0 or newer; `mayBeOurs`: an earlier run, or an attempt whose answer was lost, may have written it, so one that is there as it should be is no conflict.
 *
 * `there`: it was, and was left; `gone`: its time has come; else the reason why it is not there. Rejects with StoreLost.
 */
export async function putRecord(
  connection: StoreConnection,
  name: Buffer,
  record: KeyRecord,
  { dryRun, onConflict = 'skip' }: JobOptions,
  { counts, mayBeOurs }: { readonly counts: boolean; readonly mayBeOurs: boolean },
): Promise<'written' | 'there' | 'gone' | string> {
  if (isGone(record)) return 'gone'
  const { of } = record
  if (Array.isArray(of.value) && of.value.length === 0) return 'it is without elements, which no key is in a store'
  const overwrites = onConflict === 'overwrite'
  const conflict = async (): Promise<string> =>
    onConflict !== 'fail' || (mayBeOurs && (await holds(connection, name, record))) ? 'there' : 'it is there already'
  const isThere = overwrites ? 0 : await connection.ask(['EXISTS', name])
  if (isThere instanceof ErrorReply) return `the store answers ${isThere.code}`
  if (isThere === 1) return conflict()
  if (dryRun) return 'written'
  const staging = stagingKeyFor(name)
  try {
    const reason = await staged(connection, staging, record, counts)
    const renamed = reason ?? (await named(connection, staging, record, [overwrites ? 'RENAME' : 'RENAMENX', name]))
    if (renamed === true) return 'written'
    await connection.ask(['UNLINK', staging])
    if (isGone(record)) return 'gone'
    return renamed === false ? await conflict() : renamed
  } catch (error) {
    // It is written again under another name. Where the store only refuses for now this one goes at once, and where it is gone by itself.
    connection.ask(['UNLINK', staging]).catch(() => {})
    throw error
  }
}

/** Its time has come. */
export function isGone({ expiresAtMs }: Pick<KeyRecord, 'expiresAtMs'>): boolean {
  return expiresAtMs !== null && expiresAtMs <= Date.now()
}

/** Whether a key is what a record says. A payload is, if it is the same bytes. Rejects with StoreLost. */
export async function holds(
  connection: StoreConnection,
  name: Buffer,
  { of, expiresAtMs }: Pick<KeyRecord, 'of' | 'expiresAtMs'>,
): Promise<boolean> {
  const found = await readValue(connection, name)
  if (found === null || typeof found === 'string' || !isSameExpiry(found.expiresAtMs, expiresAtMs)) return false
  if (of.type === 'payload') return found.of.type === 'payload' && found.of.value.equals(of.value)
  return sameValue(found.of, of)
}

/** Gives why it is not there as it should be; null: it is. Until it has its name it goes by itself if nobody finishes it. */
async function staged(
  connection: StoreConnection,
  staging: Buffer,
  record: KeyRecord,
  counts: boolean,
): Promise<string | null> {
  const [first, ...rest] = writesOf(staging, record, counts)
  const commands = [first!, ['PEXPIRE', staging, String(STAGING_MS)], ...rest]
  // A stream can have a million entries: some at a time, so that this thread has other things to do between them.
  for (let i = 0; i < commands.length; i += AT_ONCE) {
    const replies = await Promise.all(commands.slice(i, i + AT_ONCE).map((command) => connection.ask(command)))
    const error = replies.find((reply) => reply instanceof ErrorReply)
    if (error !== undefined) return `the store answers ${error.code}`
  }
  // A payload has a checksum, which the store has checked; what it would give for the key now need not be the same bytes.
  if (record.of.type === 'payload') return null
  const found = await readValue(connection, staging)
  if (found === null) return 'it was written and is not there'
  if (typeof found === 'string') return `it was written and cannot be read: ${found}`
  return sameValue(found.of, record.of) ? null : 'it was written and reads differently'
}

/** Gives whether it has its name now; false: another key has. */
async function named(
  connection: StoreConnection,
  staging: Buffer,
  { expiresAtMs }: KeyRecord,
  [command, name]: readonly [string, Buffer],
): Promise<boolean | string> {
  const [, renamed] = await Promise.all([
    expiresAtMs === null ? connection.ask(['PERSIST', staging]) : null,
    connection.ask([command, staging, name]),
  ])
  return renamed instanceof ErrorReply ? `the store answers ${renamed.code}` : renamed !== 0
}
