import { append } from '../base/append.ts'
import { UnderstudyError } from '../base/errors.ts'
import { isBadPayload, isForeignPayload } from '../mirror/stores/store-errors.ts'
import { ErrorReply } from '../resp/reply.ts'
import { stagingKeyFor } from '../routing/staging-key.ts'
import { Pairs } from './compare/pairs.ts'
import { placeOf } from './files/backup-file.ts'
import { BackupReader, type BackupRecord } from './files/backup-reader.ts'
import type { FileMark } from './files/lines.ts'
import { holds, isGone } from './files/put-record.ts'
import { readValue } from './files/values.ts'
import { OwnWrites } from './own-writes.ts'
import type { JobEnvironment, NamedKey } from './runner/environment.ts'
import { inOrder, type PageResult, type Step } from './runner/in-order.ts'
import type { JobOptions } from './runner/job.ts'
import type { ListedKey } from './runner/job-store.ts'
import type { WorkReport } from './runner/runner.ts'
import type { Task } from './runner/task.ts'
import { RouteWatch } from './scan/route-pages.ts'
import { mustTakeWrites } from './scan/two-servers.ts'
import { EndKeys, endsOf } from './stores/end-keys.ts'
import { type StoreConnection, StoreConnections } from './stores/store-connection.ts'
import { refusedDatabase } from './stores/store-lost.ts'

const PAGE = 500
const PAGE_BYTES = 8 * 1024 * 1024
const PAGES = 2

interface Wanted extends NamedKey {
  readonly record: BackupRecord
}

/** Behind which byte of the file it stands. */
interface Checkpoint {
  readonly from: number
  /** What it was when the job began (checkpoints of older versions do not say it). */
  readonly file?: FileMark
}

/**
 * Puts keys of a backup file (`cleanup --backup`) back into the route's source, and copies them to the other side where the source is the primary of a route that is mirrored. A key that is there is left as it is
 * (unless `--on-conflict` says otherwise), one whose time has come stays away. Of a key that stands in the file more than once the last one holds.
 */
export async function restore(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const source = new EndKeys(config, route, 'source')
  const { primary, shadow } = endsOf(config, route)
  const isMirrored = primary.which === 'source' && shadow !== null && !options.dryRun
  const watch = new RouteWatch(environment, task)
  const begun = task.checkpoint as Checkpoint | null
  const reader = await BackupReader.open(options.file!, task.signal, begun?.file)
  const connections = new StoreConnections(environment.config, environment.endpoint, task.signal)
  const pairs = new Pairs(environment, task, connections, source, source, false)
  const writes = new OwnWrites(environment, task, { watch, pairs, connections, store: source.storeName, isMirrored })

  const work = async (records: readonly BackupRecord[]): Promise<PageResult> => {
    watch.look()
    await task.pace(records.length)
    const failed: ListedKey[] = []
    const wanted: Wanted[] = []
    let [copied, skipped] = [0, 0]
    const fail = (database: number, key: Buffer, why: string) =>
      failed.push({ database, key, class: 'failed', detail: `It was not put back: ${why}.` })
    for (const record of records) {
      const { database, name, isWhole } = record
      if (!isWhole) {
        fail(database, name, name.length === 0 ? ENDS : LACKS)
        continue
      }
      const key = source.keyOf(name)
      if (key === null) fail(database, name, 'it is no key of this route')
      else if (isGone(record)) skipped++
      else wanted.push({ database, key, record })
    }
    const put = async ({ database, key, record }: Wanted): Promise<boolean> => {
      let mayBeOurs = begun !== null
      const attempt = () => {
        const ways = { ...options, mayBeOurs }
        mayBeOurs = true
        return putBack(connections.to(source.storeName, database), record, ways)
      }
      const outcome = await pairs.reached(attempt).catch(refusedDatabase)
      if (outcome === 'copied') copied++
      else if (outcome === 'gone' || outcome === 'there') skipped++
      else fail(database, key, outcome)
      // Also one that was there: it may have been put back by a run that was interrupted.
      return outcome === 'copied' || outcome === 'there'
    }
    append(failed, await writes.each(wanted, put))
    if (failed.some(({ detail }) => detail.includes(CONFLICT))) throw conflict(route, source.storeName)
    return { counts: { copied, skipped, failed: failed.length }, keys: failed }
  }

  try {
    await pairs.reached(() => mustTakeWrites(connections, config, source.storeName))
    if (!options.dryRun) await environment.restoring(route)
    const { count, lastEnds } = await reader.survey()
    if (begun === null) task.total = count
    // From now on a key that is there may be this job's.
    if (begun === null) await task.save({ from: reader.start, file: reader.mark } satisfies Checkpoint)
    await inOrder(task, pagesOf(reader, begun?.from ?? reader.start, lastEnds), PAGES, work)
    const [skipped, failed] = [task.counted('skipped'), task.counted('failed')]
    return {
      summary: `${task.keysCounted('copied')} ${options.dryRun ? 'would be put back' : 'put back'}, ${skipped} left as they are${failed > 0 ? `, ${failed} failed` : ''}.`,
      clean: failed === 0,
      notes: ['Left: keys that are there, and keys whose time of expiry has come.'],
    }
  } finally {
    connections.close()
    await reader.close()
  }
}

async function* pagesOf(
  reader: BackupReader,
  start: number,
  lastEnds: ReadonlyMap<string, number>,
): AsyncGenerator<Step<readonly BackupRecord[]>> {
  let page: BackupRecord[] = []
  let [scanned, held, from] = [0, 0, 0]
  const step = (): Step<readonly BackupRecord[]> => ({
    page,
    scanned,
    checkpoint: { from, file: reader.mark } satisfies Checkpoint,
  })
  for await (const record of reader.keys(start)) {
    scanned++
    from = record.end
    if ((lastEnds.get(placeOf(record)) ?? record.end) === record.end) page.push(record)
    held += record.payload.length
    if (scanned < PAGE && held < PAGE_BYTES) continue
    yield step()
    page = []
    scanned = 0
    held = 0
  }
  if (scanned > 0) yield step()
}

/** What is left of it if nobody takes it away is gone after so long. */
const OTHER_MS = 600_000
const CONFLICT = 'it is there already'
const LACKS = 'the file lacks lines of it, or ends before it does'
const ENDS = 'the file ends in the middle of a line, so it was cut, and keys behind it are missing as well'

/** `there`: it was, and was left; `gone`: its time has come; else a reason. `mayBeOurs`: as in `putRecord`. Rejects with StoreLost. */
async function putBack(
  connection: StoreConnection,
  record: BackupRecord,
  { onConflict = 'skip', dryRun, mayBeOurs }: JobOptions & { readonly mayBeOurs: boolean },
): Promise<'copied' | 'there' | 'gone' | string> {
  if (isGone(record)) return 'gone'
  const { name, expiresAtMs, payload } = record
  if (dryRun) {
    const isThere = onConflict === 'overwrite' ? 0 : await connection.ask(['EXISTS', name])
    if (isThere instanceof ErrorReply) return `the store answers ${isThere.code}`
    return isThere !== 1 ? 'copied' : onConflict === 'fail' ? CONFLICT : 'there'
  }
  const ttl = expiresAtMs === null ? 0 : Math.max(1, expiresAtMs - Date.now())
  const replace = onConflict === 'overwrite' ? ['REPLACE'] : []
  const reply = await connection.ask(['RESTORE', name, String(ttl), payload, ...replace])
  if (!(reply instanceof ErrorReply)) return 'copied'
  if (reply.code === 'BUSYKEY') {
    if (onConflict !== 'fail' || (mayBeOurs && (await isPutBack(connection, record)))) return 'there'
    return isGone(record) ? 'gone' : CONFLICT
  }
  if (isForeignPayload(reply.text)) return 'the store is older than the one that the backup is of, and cannot read it'
  if (isBadPayload(reply.text)) return 'the store cannot read what the backup holds of it'
  return `the store answers ${reply.code}`
}

/** Whether a key is what its record says. A server need not give the bytes that it has taken: so it is asked what they come to under another name. */
async function isPutBack(connection: StoreConnection, { name, payload, expiresAtMs }: BackupRecord): Promise<boolean> {
  const other = stagingKeyFor(name)
  const reply = await connection.ask(['RESTORE', other, String(OTHER_MS), payload])
  if (reply instanceof ErrorReply) return false
  const found = await readValue(connection, other)
  await connection.ask(['UNLINK', other])
  return found !== null && typeof found !== 'string' && holds(connection, name, { of: found.of, expiresAtMs })
}

function conflict(route: string, store: string): UnderstudyError {
  return new UnderstudyError(
    'JOB_REFUSED',
    `keys of the backup are in store '${store}' already: give --on-conflict skip or overwrite (route '${route}')`,
  )
}
