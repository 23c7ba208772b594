import { append } from '../base/append.ts'
import { Pairs } from './compare/pairs.ts'
import { inGroups } from './files/dumps.ts'
import { countLines } from './files/lines.ts'
import { isGone, putRecord } from './files/put-record.ts'
import { openWriter, type RecordFile, readRecords } from './files/record-files.ts'
import type { FileRecord, RecordWriter } from './files/record-format.ts'
import { type KeyRecord, readValue } from './files/values.ts'
import { type KeyTurn, KeyTurns } from './key-turns.ts'
import { OwnWrites } from './own-writes.ts'
import type { JobEnvironment } from './runner/environment.ts'
import { inOrder, type PageResult, type Step } from './runner/in-order.ts'
import type { JobOptions } from './runner/job.ts'
import type { ListedKey } from './runner/job-store.ts'
import type { WorkReport } from './runner/runner.ts'
import type { Task } from './runner/task.ts'
import { type KeysOfRoute, RouteWatch, routePages } from './scan/route-pages.ts'
import { countKeys, scanned } from './scan/scan.ts'
import type { Page, ScanPosition } from './scan/scan-position.ts'
import { endsOf } from './stores/end-keys.ts'
import { StoreConnections } from './stores/store-connection.ts'
import { refusedDatabase } from './stores/store-lost.ts'

const PAGE = 200
/** Of a file, what is written together. */
const PAGE_BYTES = 8 * 1024 * 1024
/** A larger one would be several times that in this process. */
const MAX_KEY_BYTES = 128 * 1024 * 1024
const TOO_LARGE =
  'It was not exported: it takes more than 128 MB, which is too much for such a file; backfill copies it.'

interface Wanted extends KeyRecord {
  readonly turn: KeyTurn
}

function fileOf({ file, format = 'jsonl', namespace = '' }: JobOptions): RecordFile {
  return { path: file!, format, namespace }
}

/**
 * Brings keys from a file into the route: each is written to the route's primary, and copied to the other side where the route is mirrored. A key that is there is left as it is,
 * unless `--on-conflict overwrite` says otherwise.
 */
export async function importKeys(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const { primary, shadow } = endsOf(config, route)
  const connections = new StoreConnections(environment.config, environment.endpoint, task.signal)
  const pairs = new Pairs(environment, task, connections, primary, shadow ?? primary, shadow !== null)
  const file = fileOf(options)
  const begun = task.checkpoint as { place: string | null } | null
  const watch = new RouteWatch(environment, task)
  const version = environment.version(primary.storeName)
  const counts = version === null || Number.parseInt(version, 10) >= 7
  const store = primary.storeName
  const isMirrored = shadow !== null && !options.dryRun
  const writes = new OwnWrites(environment, task, { watch, pairs, connections, store, isMirrored })

  const turns = new KeyTurns()

  const work = async (page: readonly FileRecord[]): Promise<PageResult> => {
    const failed: ListedKey[] = []
    const wanted: Wanted[] = []
    let [skipped, copied] = [0, 0]
    const fail = (database: number, key: Buffer, detail: string) =>
      failed.push({ database, key, class: 'failed', detail: `${detail}.` })
    // A key that stands in the file more than once takes its turns in the order of the file: so nothing is waited for before.
    for (const { record } of page) {
      if (typeof record === 'string') fail(0, Buffer.alloc(0), record)
      else if (!primary.owns(record.key))
        fail(record.database, record.key, 'It was not imported: it belongs to another route')
      else if (isGone(record)) skipped++
      else wanted.push({ ...record, turn: turns.take(`${record.database} ${record.key.toString('latin1')}`) })
    }
    const put = async (record: Wanted): Promise<boolean> => {
      const { database, key, turn } = record
      let mayBeOurs = begun !== null
      const attempt = () => {
        const ways = { counts, mayBeOurs }
        mayBeOurs = true
        return putRecord(connections.to(store, database), primary.nameOf(key), record, options, ways)
      }
      await turn.begin
      const outcome = await pairs.reached(attempt).catch(refusedDatabase).finally(turn.end)
      if (outcome === 'written') copied++
      else if (outcome === 'there' || outcome === 'gone') skipped++
      else fail(database, key, `It was not imported: ${outcome}`)
      // Also one that was there: it may have been written by a run that was interrupted.
      return outcome === 'written' || outcome === 'there'
    }
    try {
      watch.look()
      await task.pace(page.length)
      append(failed, await writes.each(wanted, put))
    } finally {
      for (const { turn } of wanted) turn.end()
    }
    return { counts: { copied, skipped, failed: failed.length }, keys: failed }
  }

  try {
    // A file that cannot be read says so when it is.
    if (begun === null && file.format === 'jsonl')
      task.total = await countLines(file.path, task.signal).catch(() => null)
    // From now on a key that is there may be this job's.
    if (begun === null) await task.save({ place: null })
    await inOrder(task, filePages(readRecords(file, begun?.place ?? null, task.signal)), 2, work)
    return report(task, options.dryRun ? 'would be imported' : 'imported and read again', [
      'Left: keys that were there already, and keys whose time of expiry has come.',
    ])
  } finally {
    connections.close()
  }
}

async function* filePages(records: AsyncIterable<FileRecord>): AsyncGenerator<Step<readonly FileRecord[]>> {
  let page: FileRecord[] = []
  let held = 0
  const step = (): Step<readonly FileRecord[]> => ({
    page,
    scanned: page.length,
    checkpoint: { place: page.at(-1)!.place },
  })
  for await (const record of records) {
    page.push(record)
    held += record.bytes
    if (page.length < PAGE && held < PAGE_BYTES) continue
    yield step()
    page = []
    held = 0
  }
  if (page.length > 0) yield step()
}

/** Where an export stands. */
interface ExportCheckpoint {
  /** `start`: nothing has been written; null: all has. */
  readonly at: ScanPosition | 'start' | null
  /** In the file. */
  readonly place: string
}

/** Writes every key of the route to a new file, as its primary holds it. */
export async function exportKeys(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const { primary } = endsOf(config, route)
  const connections = new StoreConnections(environment.config, environment.endpoint, task.signal)
  const pairs = new Pairs(environment, task, connections, primary, primary, false)
  const file = fileOf(options)
  const begun = task.checkpoint as ExportCheckpoint | null
  const watch = new RouteWatch(environment, task)
  const writer = await openWriter(file, begun?.place ?? null)

  const begin = async (): Promise<void> => {
    // From now on the file is this job's. Stored before it is cleared: it may not be shorter than what is stored says.
    await task.save({ at: 'start', place: writer.start } satisfies ExportCheckpoint)
    await writer.clear()
  }
  // What has been written may lie in another database by now, or nowhere. One page at a time: nothing is under way.
  const beginAnew = async (): Promise<void> => {
    await task.written(() => task.startOver())
    await begin()
  }

  const work = async ({ database, keys }: KeysOfRoute): Promise<PageResult> => {
    watch.look()
    await task.pace(keys.length)
    const failed: ListedKey[] = []
    let [copied, left] = [0, keys.length]
    const names = keys.map((key) => primary.nameOf(key))
    const groups = await pairs.reached(() => inGroups(connections.to(primary.storeName, database), names))
    for (const { indexes, bytes } of groups) {
      const some = indexes.map((i) => keys[i]!)
      if (bytes > MAX_KEY_BYTES && some.length === 1) {
        failed.push({ database, key: some[0]!, class: 'failed', detail: TOO_LARGE })
        continue
      }
      const records: KeyRecord[] = []
      const read = (key: Buffer) =>
        pairs.reached(() => readValue(connections.to(primary.storeName, database), primary.nameOf(key)))
      for (const [n, found] of (await Promise.all(some.map(read))).entries()) {
        const key = some[n]!
        if (typeof found === 'string')
          failed.push({ database, key, class: 'failed', detail: `It was not exported: ${found}.` })
        else if (found !== null) records.push({ database, key, ...found })
      }
      const reasons = await writer.append(records)
      for (const [i, reason] of reasons) {
        failed.push({ database, key: records[i]!.key, class: 'failed', detail: `It was not exported: ${reason}.` })
      }
      copied += records.length - reasons.size
    }
    left -= copied + failed.length
    return { counts: { copied, skipped: left, failed: failed.length }, keys: failed }
  }

  try {
    // Before the store is waited for: one that is paused then goes on with the file that it has made.
    if (begun === null || begun.at === 'start') {
      await begin()
      task.total = await pairs.reached(() => countKeys(connections, config, primary.storeName))
    }
    if (begun?.at !== null) {
      const from = begun === null || begun.at === 'start' ? null : begun.at
      const write = (pages: AsyncIterable<Page>) =>
        inOrder(
          task,
          routePages(pages, primary, (at) => new Written(at, writer)),
          1,
          work,
        )
      await scanned(task, connections, config, primary.storeName, from, write, beginAnew)
    }
    return report(task, 'exported', [
      'The file holds each key as it was when its turn came.',
      ...(file.format === 'leveldb'
        ? ['LevelDB holds strings that are UTF-8 text, of database 0; what it cannot hold is listed as failed.']
        : []),
    ])
  } finally {
    await writer.close()
    connections.close()
  }
}

/** The place in the file when the page has been written, which is when it is stored. One page at a time. */
class Written implements ExportCheckpoint {
  readonly at: ScanPosition | null
  readonly #writer: RecordWriter

  constructor(at: ScanPosition | null, writer: RecordWriter) {
    this.at = at
    this.#writer = writer
  }

  get place(): string {
    return this.#writer.place
  }

  toJSON(): ExportCheckpoint {
    return { at: this.at, place: this.place }
  }
}

function report(task: Task, done: string, notes: readonly string[]): WorkReport {
  const [skipped, failed] = [task.counted('skipped'), task.counted('failed')]
  const parts = [
    `${task.keysCounted('copied')} ${done}`,
    ...(skipped > 0 ? [`${skipped} left`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ]
  return { summary: `${parts.join(', ')}.`, clean: failed === 0, notes }
}
