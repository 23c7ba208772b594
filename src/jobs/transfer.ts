import { ErrorReply } from '../resp/reply.ts'
import { copyKeys } from './copying.ts'
import { endsOf } from './end-keys.ts'
import type { JobEnvironment } from './environment.ts'
import { inOrder, type PageResult, type Step } from './in-order.ts'
import type { JobOptions } from './job.ts'
import type { ListedKey } from './job-store.ts'
import { Pairs } from './pairs.ts'
import { type FileFormat, type FileRecord, openWriter, readRecords } from './record-files.ts'
import { type KeysOfRoute, routePages } from './route-pages.ts'
import type { WorkReport } from './runner.ts'
import { countKeys, type ScanPosition, scan } from './scan.ts'
import { type StoreConnection, StoreConnections } from './store-connection.ts'
import type { Task } from './task.ts'
import { Throttle } from './throttle.ts'
import { type KeyRecord, readValue, sameValue, writesOf } from './values.ts'

const PAGE = 200

interface FileOf {
  readonly format: FileFormat
  readonly path: string
  readonly namespace: string
}

function fileOf({ file, format = 'jsonl', namespace = '' }: JobOptions): FileOf {
  return { path: file!, format, namespace }
}

/**
 * Brings keys from a file into the route: each is written to the route's primary, copied to the other side where the route is mirrored, and read again. A key that is there is left as it is,
 * unless `--on-conflict overwrite` says otherwise.
 */
export async function importKeys(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const { primary, shadow } = endsOf(config, route)
  const connections = new StoreConnections(config, environment.endpoint, task.signal)
  const pairs = new Pairs(environment, task, connections, primary, shadow ?? primary, shadow !== null)
  const throttle = new Throttle(environment, task, route)
  const { path, format, namespace } = fileOf(options)
  const begun = task.checkpoint as { place: string } | null

  const work = async (page: readonly FileRecord[]): Promise<PageResult> => {
    await task.pace(page.length)
    const failed: ListedKey[] = []
    const written: Buffer[][] = []
    let [skipped, copied] = [0, 0]
    const put = async ({ record }: FileRecord): Promise<void> => {
      if (typeof record === 'string') {
        failed.push({ database: 0, key: Buffer.alloc(0), class: 'failed', detail: `${record}.` })
        return
      }
      const { database, key } = record
      const outcome = primary.owns(key)
        ? await pairs.reached(() =>
            putRecord(connections.to(primary.storeName, database), primary.nameOf(key), record, options),
          )
        : 'it belongs to another route'
      if (outcome === 'written') (written[database] ??= []).push(key)
      else if (outcome === 'skipped') skipped++
      else failed.push({ database, key, class: 'failed', detail: `It was not imported: ${outcome}.` })
    }
    await Promise.all(page.map(put))
    for (const [database, keys] of Object.entries(written)) {
      copied += keys.length
      if (shadow !== null) failed.push(...(await copyKeys(environment, task, throttle, Number(database), keys)).failed)
    }
    return { counts: { copied, skipped, failed: failed.length }, keys: failed }
  }

  try {
    await inOrder(task, filePages(readRecords(format, path, namespace, begun?.place ?? null)), 2, work)
    return report(task, options.dryRun ? 'would be imported' : 'imported and read again', [
      'Left: keys that were there already, and keys whose time of expiry has come.',
    ])
  } finally {
    connections.close()
  }
}

async function* filePages(records: AsyncIterable<FileRecord>): AsyncGenerator<Step<readonly FileRecord[]>> {
  let page: FileRecord[] = []
  const step = (): Step<readonly FileRecord[]> => ({
    page,
    scanned: page.length,
    checkpoint: { place: page.at(-1)!.place },
  })
  for await (const record of records) {
    page.push(record)
    if (page.length < PAGE) continue
    yield step()
    page = []
  }
  if (page.length > 0) yield step()
}

/** Writes one key, and reads it again. Gives what became of it, or why not. */
async function putRecord(
  connection: StoreConnection,
  name: Buffer,
  record: KeyRecord,
  { dryRun, onConflict }: JobOptions,
): Promise<'written' | 'skipped' | string> {
  if (record.expiresAtMs !== null && record.expiresAtMs <= Date.now()) return 'skipped'
  const there = (await connection.ask(['EXISTS', name])) === 1
  if (there && onConflict !== 'overwrite') return onConflict === 'fail' ? 'it is there already' : 'skipped'
  if (dryRun) return 'written'
  // Their replies come in order, and the last one tells that all have been executed.
  const replies = await Promise.all(
    [['MULTI'], ...writesOf(name, record), ['EXEC']].map((command) => connection.ask(command)),
  )
  const error = [...replies, ...(Array.isArray(replies.at(-1)) ? (replies.at(-1) as unknown[]) : [])].find(
    (reply) => reply instanceof ErrorReply,
  )
  if (error !== undefined) return `the store answers ${(error as ErrorReply).code}`
  const found = await readValue(connection, name)
  if (found === null || typeof found === 'string') return 'it was written and is not there'
  return sameValue(found.of, record.of) ? 'written' : 'it was written and reads differently'
}

/** Writes every key of the route to a new file, as its primary holds it. */
export async function exportKeys(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const { primary } = endsOf(config, route)
  const connections = new StoreConnections(config, environment.endpoint, task.signal)
  const pairs = new Pairs(environment, task, connections, primary, primary, false)
  const { path, format, namespace } = fileOf(options)
  const begun = task.checkpoint as { at: ScanPosition | null } | null
  const writer = await openWriter(format, path, namespace, begun !== null)

  const work = async ({ database, keys }: KeysOfRoute): Promise<PageResult> => {
    await task.pace(keys.length)
    const failed: ListedKey[] = []
    const records: KeyRecord[] = []
    for (let i = 0; i < keys.length; i += PAGE) {
      const some = keys.slice(i, i + PAGE)
      const read = (key: Buffer) =>
        pairs.reached(() => readValue(connections.to(primary.storeName, database), primary.nameOf(key)))
      for (const [n, found] of (await Promise.all(some.map(read))).entries()) {
        const key = some[n]!
        if (typeof found === 'string')
          failed.push({ database, key, class: 'failed', detail: `It was not exported: ${found}.` })
        else if (found !== null) records.push({ database, key, ...found })
      }
    }
    const reasons = await writer.append(records)
    for (const [i, reason] of reasons) {
      failed.push({ database, key: records[i]!.key, class: 'failed', detail: `It was not exported: ${reason}.` })
    }
    const copied = records.length - reasons.size
    return { counts: { copied, skipped: keys.length - copied - failed.length, failed: failed.length }, keys: failed }
  }

  try {
    if (begun === null) task.total = await pairs.reached(() => countKeys(connections, config, primary.storeName))
    if (begun === null || begun.at !== null) {
      const pages = scan(task, connections, config, primary.storeName, begun?.at ?? null)
      await inOrder(
        task,
        routePages(pages, primary, (at) => ({ at })),
        1,
        work,
      )
    }
    return report(task, 'exported', [
      'The file holds each key as it was when its turn came; streams and types of modules are not written.',
    ])
  } finally {
    await writer.close()
    connections.close()
  }
}

function report(task: Task, done: string, notes: readonly string[]): WorkReport {
  const [copied, skipped, failed] = [task.counted('copied'), task.counted('skipped'), task.counted('failed')]
  const parts = [
    `${copied} keys ${done}`,
    ...(skipped > 0 ? [`${skipped} left`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ]
  return { summary: `${parts.join(', ')}.`, clean: failed === 0, notes }
}
