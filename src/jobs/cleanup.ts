import { UnderstudyError } from '../base/errors.ts'
import type { Config } from '../config/config.ts'
import { decodeReply } from '../resp/decode.ts'
import { ErrorReply } from '../resp/reply.ts'
import { type BackupKey, BackupReader, type BackupRecord, BackupWriter } from './backup-file.ts'
import { type Dump, dump, inGroups } from './dumps.ts'
import { EndKeys } from './end-keys.ts'
import type { JobEnvironment } from './environment.ts'
import { inOrder, type PageResult, type Step } from './in-order.ts'
import { isDryRun } from './job.ts'
import type { ListedKey } from './job-store.ts'
import { Pairs } from './pairs.ts'
import { type KeysOfRoute, RouteWatch, routePages } from './route-pages.ts'
import type { WorkReport } from './runner.ts'
import { countKeys, scan } from './scan.ts'
import { checked } from './scan-page.ts'
import type { ScanPosition } from './scan-position.ts'
import { StoreConnections } from './store-connection.ts'
import type { Task } from './task.ts'
import { mustBeNoReplica, mustBeTwoServers, mustTakeWrites } from './two-servers.ts'

/** One after the other: what is deleted has been compared a moment before. */
const PAGES = 2
/** Of a backup file, what is looked at together. */
const PAGE = 400
const PAGE_BYTES = 8 * 1024 * 1024
/** A key that has changed since it was written down is written down again, so often. */
const MAX_AGAIN = 3
/** A time of expiry is read as what is left, and jitters. */
const SAME_TIME_MS = 1_000

interface Checkpoint {
  readonly pass: 'backup' | 'delete'
  /** Of the scan; null: it is over. */
  readonly at: ScanPosition | null
  /** Of the backup file, while keys are deleted that stand there: the byte behind the last one. */
  readonly from: number
}

/** Throws JOB_REFUSED unless the source of the route is the side that nobody reads. */
export function mayClean(config: Config, name: string): void {
  const route = config.routes.find((other) => other.name === name)
  if (route?.phase === 'switched' || route?.phase === 'done') return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `route '${name}' is in ${route?.phase}, so its source is still in use: cleanup deletes there, and waits for switched or done`,
  )
}

/**
 * Deletes the keys of the route's source, once the target has taken over, and only those that are equal on both sides now. What differs stays and is listed. A dry run unless it is told otherwise.
 *
 *   without a backup   SCAN ─▶ compare ─▶ UNLINK, page by page
 *   with one           SCAN ─▶ compare ─▶ file, to the end; then  file ─▶ still as written down? ─▶ compare ─▶ UNLINK
 *
 * So the whole backup is on the disk before the first key is deleted, nothing is deleted that does not stand in it as it was, and a disk that is full costs no key. What has changed since it was
 * written down is written down again, behind the others.
 */
export async function cleanup(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  mayClean(config, route)
  const dry = isDryRun(task.job)
  const live = config.routes.find((other) => other.name === route)!.phase === 'switched'
  const connections = new StoreConnections(config, environment.endpoint, task.signal)
  const cleaner = new Cleaner(environment, task, connections, live)
  const { source } = cleaner
  const begun = task.checkpoint as Checkpoint | null
  const path = dry ? undefined : options.backup

  const scanned = async (pass: Checkpoint['pass'], work: (page: KeysOfRoute) => Promise<PageResult>): Promise<void> => {
    if (begun === null) task.total = await cleaner.pairs.reached(() => countKeys(connections, config, source.storeName))
    else if (begun.pass !== pass || begun.at === null) return
    const pages = scan(task, connections, config, source.storeName, begun?.at ?? null)
    await inOrder(
      task,
      routePages(pages, source, (at): Checkpoint => ({ pass, at, from: 0 })),
      PAGES,
      work,
    )
  }

  const work = async (backup: BackupWriter | null): Promise<WorkReport> => {
    if (!dry) await environment.cleaning(route)
    if (backup === null) await scanned('delete', (page) => cleaner.clean(page, dry))
    else {
      await scanned('backup', (page) => cleaner.writeDown(page, backup))
      await deleteWritten(task, cleaner, backup, path!, begun?.pass === 'delete' ? begun.from : null)
    }
    return report(task, dry, live, path, cleaner.pairs.exact.blindSpots)
  }

  try {
    await cleaner.pairs.reached(async () => {
      await mustBeTwoServers(connections, config, source.storeName, cleaner.target.storeName)
      await mustBeNoReplica(connections, config, cleaner.target.storeName)
      await mustTakeWrites(connections, config, source.storeName)
    })
    if (path === undefined) return await work(null)
    const backup = await BackupWriter.open(path, route, source.storeName, `${task.job.id} ${task.job.createdAt}`)
    try {
      return await work(backup)
    } finally {
      await backup.close()
    }
  } finally {
    connections.close()
  }
}

/** Deletes what stands in the backup, from byte `from` on (null: all of it). What is written down again meanwhile stands at its end, and has its turn, too. */
async function deleteWritten(
  task: Task,
  cleaner: Cleaner,
  backup: BackupWriter,
  path: string,
  from: number | null,
): Promise<void> {
  const reader = await BackupReader.open(path, task.signal)
  try {
    if (from === null) task.total = task.done + (await reader.survey()).count
    for (let at = from ?? reader.start; at < backup.bytes; ) {
      const until = backup.bytes
      await inOrder(task, recordPages(reader, at, until), PAGES, (page) => cleaner.deleteWritten(page, backup))
      at = until
    }
  } finally {
    await reader.close()
  }
}

async function* recordPages(
  reader: BackupReader,
  from: number,
  until: number,
): AsyncGenerator<Step<readonly BackupRecord[]>> {
  let page: BackupRecord[] = []
  let held = 0
  const step = (): Step<readonly BackupRecord[]> => ({
    page,
    scanned: page.length,
    checkpoint: { pass: 'delete', at: null, from: page.at(-1)!.end } satisfies Checkpoint,
  })
  for await (const record of reader.keys(from)) {
    page.push(record)
    held += record.payload.length
    if (record.end >= until) break
    if (page.length < PAGE && held < PAGE_BYTES) continue
    yield step()
    page = []
    held = 0
  }
  if (page.length > 0) yield step()
}

/** What is done to a page. */
class Cleaner {
  readonly pairs: Pairs
  readonly source: EndKeys
  readonly target: EndKeys
  readonly #environment: JobEnvironment
  readonly #task: Task
  readonly #connections: StoreConnections
  readonly #watch: RouteWatch

  constructor(environment: JobEnvironment, task: Task, connections: StoreConnections, live: boolean) {
    const config = environment.config()
    const { route } = task.job
    this.target = new EndKeys(config, route, 'target')
    this.source = new EndKeys(config, route, 'source')
    this.pairs = new Pairs(environment, task, connections, this.target, this.source, live)
    this.#environment = environment
    this.#task = task
    this.#connections = connections
    this.#watch = new RouteWatch(environment, task, (now) => mayClean(now, route))
  }

  async clean({ database, keys }: KeysOfRoute, dry: boolean): Promise<PageResult> {
    this.#watch.look()
    await this.#task.pace(keys.length)
    const { equal, listed } = await this.#compare(database, keys)
    if (!dry) await this.#unlink(database, this.#names(equal))
    return result({ compared: keys.length, deleted: equal.length }, listed)
  }

  async writeDown({ database, keys }: KeysOfRoute, backup: BackupWriter): Promise<PageResult> {
    this.#watch.look()
    await this.#task.pace(keys.length)
    const { equal, listed } = await this.#compare(database, keys)
    const names = this.#names(equal)
    // Whoever wrote before may have written it, too.
    const again = backup.isResumed || this.#task.hasBegunAnew ? 1 : 0
    for await (const [indexes, dumps] of this.#dumps(database, names)) {
      await backup.append(
        dumps.flatMap((of, n): BackupKey[] =>
          of === null ? [] : [{ database, name: names[indexes[n]!]!, ...of, again }],
        ),
      )
    }
    return result({ compared: keys.length }, listed)
  }

  async deleteWritten(page: readonly BackupRecord[], backup: BackupWriter): Promise<PageResult> {
    this.#watch.look()
    await this.#task.pace(page.length)
    let deleted = 0
    const listed: ListedKey[] = []
    for (const database of new Set(page.map((record) => record.database))) {
      const records = page.filter((record) => record.database === database)
      const same: Buffer[] = []
      const changed: BackupKey[] = []
      const names = records.map(({ name }) => name)
      for await (const [indexes, dumps] of this.#dumps(database, names)) {
        for (const [n, of] of dumps.entries()) {
          const record = records[indexes[n]!]!
          const key = this.source.keyOf(record.name)
          // Gone, by its application or by a run of this job that was interrupted.
          if (of === null || key === null) continue
          if (isSame(of, record)) same.push(key)
          else if (record.again < MAX_AGAIN)
            changed.push({ database, name: record.name, ...of, again: record.again + 1 })
          else listed.push({ database, key, class: 'failed', detail: 'It is written to all the time.' })
        }
      }
      await backup.append(changed)
      const { equal, listed: unequal } = await this.#compare(database, same)
      await this.#unlink(database, this.#names(equal))
      deleted += equal.length
      listed.push(...unequal)
    }
    return result({ deleted }, listed)
  }

  async #compare(database: number, keys: readonly Buffer[]): Promise<{ equal: Buffer[]; listed: ListedKey[] }> {
    const suspects = await this.pairs.suspects(database, keys)
    const outcomes = await Promise.all(suspects.map((i) => this.pairs.now(database, keys[i]!)))
    const kept = new Map<number, ListedKey | null>()
    for (const [n, outcome] of outcomes.entries()) {
      const i = suspects[n]!
      const of = { database, key: keys[i]! }
      if (outcome.kind === 'failed')
        kept.set(i, { ...of, class: 'failed', detail: `It could not be compared: ${outcome.reason}.` })
      // Gone from the source meanwhile (SCAN gives some keys twice, and so does a backup that was interrupted): nothing is left to delete.
      else if (outcome.kind === 'different' && outcome.difference.class === 'missing') kept.set(i, null)
      else if (outcome.kind === 'different') kept.set(i, { ...of, ...outcome.difference })
    }
    return { equal: keys.filter((_, i) => !kept.has(i)), listed: [...kept.values()].filter((one) => one !== null) }
  }

  /** By groups that are not too much to hold. */
  async *#dumps(
    database: number,
    names: readonly Buffer[],
  ): AsyncGenerator<readonly [indexes: readonly number[], dumps: readonly (Dump | null)[]]> {
    const store = this.source.storeName
    const connection = () => this.#connections.to(store, database)
    for (const { indexes } of await this.pairs.reached(() => inGroups(connection(), names))) {
      const some = indexes.map((i) => names[i]!)
      yield [indexes, await this.pairs.reached(() => dump(store, connection(), some))]
    }
  }

  async #unlink(database: number, names: readonly Buffer[]): Promise<void> {
    const store = this.source.storeName
    await this.pairs.reached(async () => {
      // Between the look at the beginning of the page and now a store may have hung, which is when people go back by force: the source may be the primary by now, or about to be.
      this.#watch.look()
      this.#environment.mustStay(this.#task.job.route)
      let error: ErrorReply | null = null
      await this.#connections.to(store, database).forEach([['UNLINK']], names, (_, buf, start, stop) => {
        const reply = decodeReply(buf, start, stop)
        if (reply instanceof ErrorReply) error = reply
      })
      if (error !== null) checked(store, error)
    })
  }

  #names(keys: readonly Buffer[]): Buffer[] {
    return keys.map((key) => this.source.nameOf(key))
  }
}

function isSame(one: Dump, other: Dump): boolean {
  const [until, otherUntil] = [one.expiresAtMs, other.expiresAtMs]
  const sameTime =
    until === null || otherUntil === null ? until === otherUntil : Math.abs(until - otherUntil) <= SAME_TIME_MS
  return sameTime && one.payload.equals(other.payload)
}

function result(counts: PageResult['counts'], keys: readonly ListedKey[]): PageResult {
  const failed = keys.filter((one) => one.class === 'failed').length
  return { counts: { ...counts, different: keys.length - failed, failed, skipped: keys.length }, keys }
}

function report(
  task: Task,
  dry: boolean,
  live: boolean,
  backup: string | undefined,
  blindSpots: ReadonlySet<string>,
): WorkReport {
  const kept = task.counted('different') + task.counted('failed')
  return {
    summary: `${task.keysCounted('deleted')} ${dry ? 'would be deleted' : 'deleted'}${kept > 0 ? `, ${kept} kept because the sides are not equal` : ''}.`,
    clean: kept === 0,
    notes: [
      ...blindSpots,
      ...(dry ? ['A dry run: --yes does it.'] : []),
      ...(backup === undefined ? [] : [`What was deleted is in ${backup}: understudy restore puts it back.`]),
      ...(live && !dry
        ? [
            'The route is in switched: writes are still mirrored to the source, which is incomplete from now on. Bring it to done.',
          ]
        : []),
    ],
  }
}
