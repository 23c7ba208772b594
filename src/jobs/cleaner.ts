import { append } from '../base/append.ts'
import { UnderstudyError } from '../base/errors.ts'
import type { Config } from '../config/config.ts'
import { isUnknownCommand } from '../mirror/stores/store-errors.ts'
import { decodeReply } from '../resp/decode.ts'
import { ErrorReply } from '../resp/reply.ts'
import { isSameExpiry } from './compare/expiry.ts'
import { type Outcome, Pairs } from './compare/pairs.ts'
import type { BackupKey } from './files/backup-file.ts'
import type { BackupRecord } from './files/backup-reader.ts'
import type { BackupWriter } from './files/backup-writer.ts'
import { type Dump, dump, inGroups } from './files/dumps.ts'
import type { JobEnvironment, NamedKey } from './runner/environment.ts'
import type { PageResult } from './runner/in-order.ts'
import type { ListedKey } from './runner/job-store.ts'
import type { Task } from './runner/task.ts'
import { type KeysOfRoute, RouteWatch } from './scan/route-pages.ts'
import { checked } from './scan/scan-page.ts'
import { EndKeys } from './stores/end-keys.ts'
import type { StoreConnections } from './stores/store-connection.ts'

/** A key that has changed since it was written down is written down again, so often. */
const MAX_AGAIN = 3
/** How often in a run keys are compared again that wait for a copy: each time takes three seconds of trying. */
const MAX_WAITS = 10

/** Throws JOB_REFUSED unless the source of the route is the side that nobody reads. */
export function mayClean(config: Config, name: string): void {
  const route = config.routes.find((other) => other.name === name)
  if (route?.phase === 'switched' || route?.phase === 'done') return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `route '${name}' is in ${route?.phase}, so its source is still in use: cleanup deletes there, and waits for switched or done`,
  )
}

/** The mirror keeps the source as the target is: reads are aligned with it. Without it nobody but strangers writes to the source. */
export function isMirrored(config: Config, name: string): boolean {
  return config.routes.find((other) => other.name === name)?.phase === 'switched'
}

/** What a cleanup does to the pages of keys that it is given. */
export class Cleaner {
  /** For as long as the route is mirrored, and for when it is not any more, or not yet. */
  readonly #mirrored: Pairs
  readonly #unmirrored: Pairs
  readonly source: EndKeys
  readonly target: EndKeys
  readonly #environment: JobEnvironment
  readonly #task: Task
  readonly #connections: StoreConnections
  readonly #watch: RouteWatch
  #waits = MAX_WAITS

  constructor(environment: JobEnvironment, task: Task, connections: StoreConnections) {
    const config = environment.config()
    const { route } = task.job
    this.target = new EndKeys(config, route, 'target')
    this.source = new EndKeys(config, route, 'source')
    this.#mirrored = new Pairs(environment, task, connections, this.target, this.source, true)
    this.#unmirrored = new Pairs(environment, task, connections, this.target, this.source, false)
    this.#environment = environment
    this.#task = task
    this.#connections = connections
    this.#watch = new RouteWatch(environment, task, (now) => mayClean(now, route))
  }

  /** As `Pairs.reached`. */
  reached<T>(work: () => Promise<T>): Promise<T> {
    return this.#unmirrored.reached(work)
  }

  /** What could not be looked at, in sentences. */
  get blindSpots(): ReadonlySet<string> {
    return new Set([this.#mirrored, this.#unmirrored].flatMap(({ exact }) => [...exact.blindSpots]))
  }

  async clean({ database, keys }: KeysOfRoute, dry: boolean): Promise<PageResult> {
    this.#watch.look()
    await this.#task.pace(keys.length)
    let deleted = 0
    const listed = await this.#eachEqual(database, keys, async (equal) => {
      const done = dry ? { deleted: equal.length, refused: [] } : await this.#unlink(database, equal)
      deleted += done.deleted
      return done.refused
    })
    return result({ compared: keys.length, deleted }, listed)
  }

  async writeDown({ database, keys }: KeysOfRoute, backup: BackupWriter): Promise<PageResult> {
    this.#watch.look()
    await this.#task.pace(keys.length)
    // Whoever wrote before may have written it, too.
    const again = backup.isResumed || this.#task.hasBegunAnew ? 1 : 0
    const listed = await this.#eachEqual(database, keys, async (equal) => {
      const names = this.#names(equal)
      for await (const [indexes, dumps] of this.#dumps(database, names)) {
        await backup.append(
          dumps.flatMap((of, n): BackupKey[] =>
            of === null ? [] : [{ database, name: names[indexes[n]!]!, ...of, again }],
          ),
        )
      }
      return []
    })
    return result({ compared: keys.length }, listed)
  }

  async deleteWritten(page: readonly BackupRecord[], backup: BackupWriter): Promise<PageResult> {
    this.#watch.look()
    await this.#task.pace(page.length)
    let deleted = 0
    const listed: ListedKey[] = []
    for (const database of new Set(page.map((record) => record.database))) {
      const records = page.filter((record) => record.database === database)
      const same = new Map<string, BackupKey>()
      const keys: Buffer[] = []
      const changed: BackupKey[] = []
      const names = records.map(({ name }) => name)
      for await (const [indexes, dumps] of this.#dumps(database, names)) {
        for (const [n, of] of dumps.entries()) {
          const record = records[indexes[n]!]!
          const key = this.source.keyOf(record.name)
          // Gone, by its application or by a run of this job that was interrupted.
          if (of === null || key === null) continue
          const next: BackupKey = { database, name: record.name, ...of, again: record.again + 1 }
          if (record.isWhole && isSame(of, record)) {
            keys.push(key)
            same.set(key.toString('latin1'), next)
          } else if (record.again < MAX_AGAIN) changed.push(next)
          else listed.push({ database, key, class: 'failed', detail: 'It is written to all the time.' })
        }
      }
      const { equal, listed: unequal, inCopy } = await this.#compare(database, keys)
      const done = await this.#unlink(database, equal)
      deleted += done.deleted
      append(listed, unequal)
      append(listed, done.refused)
      // The copy brings another value, perhaps.
      for (const of of inCopy) {
        const next = same.get(of.key.toString('latin1'))!
        if (next.again <= MAX_AGAIN) changed.push(next)
        else listed.push(of)
      }
      await backup.append(changed)
    }
    return result({ deleted }, listed)
  }

  /** Does `work` to keys that are equal on both sides, a moment after they were compared, and gives the others, with those that `work` gives. One that waits for a copy may be equal when that has come. */
  async #eachEqual(
    database: number,
    keys: readonly Buffer[],
    work: (equal: readonly Buffer[]) => Promise<readonly ListedKey[]>,
  ): Promise<ListedKey[]> {
    const kept: ListedKey[] = []
    for (let left = keys; left.length > 0; ) {
      const { equal, listed, inCopy } = await this.#compare(database, left)
      append(kept, listed)
      append(kept, await work(equal))
      left = []
      if (inCopy.length > 0 && this.#waits-- > 0) left = inCopy.map(({ key }) => key)
      else append(kept, inCopy)
    }
    return kept
  }

  /** Anew where the configuration has become another meanwhile: reads that began while the route was mirrored may have ended after. */
  async #compare(database: number, keys: readonly Buffer[]): Promise<Compared> {
    for (;;) {
      this.#watch.look()
      const config = this.#environment.config()
      const pairs = isMirrored(config, this.#task.job.route) ? this.#mirrored : this.#unmirrored
      const compared = await this.#compareBy(pairs, database, keys)
      if (config === this.#environment.config()) return compared
    }
  }

  async #compareBy(pairs: Pairs, database: number, keys: readonly Buffer[]): Promise<Compared> {
    const suspects = await pairs.suspects(database, keys)
    const outcomes = await Promise.all(suspects.map((i) => twice(pairs, database, keys[i]!)))
    const kept = new Map<number, ListedKey | null>()
    const inCopy: ListedKey[] = []
    for (const [n, outcome] of outcomes.entries()) {
      const i = suspects[n]!
      const of = { database, key: keys[i]! }
      if (outcome.kind === 'failed') kept.set(i, uncompared(of, outcome.reason))
      else if (outcome.kind === 'waiting') {
        inCopy.push(uncompared(of, 'it waits for a copy'))
        kept.set(i, null)
      }
      // Gone from the source: nothing is left to delete.
      else if (outcome.kind === 'different' && outcome.difference.class === 'missing') kept.set(i, null)
      else if (outcome.kind === 'different') kept.set(i, { ...of, ...outcome.difference })
    }
    const listed = [...kept.values()].filter((one) => one !== null)
    return { equal: keys.filter((_, i) => !kept.has(i)), listed, inCopy }
  }

  /** By groups that are not too much to hold. */
  async *#dumps(
    database: number,
    names: readonly Buffer[],
  ): AsyncGenerator<readonly [indexes: readonly number[], dumps: readonly (Dump | null)[]]> {
    const store = this.source.storeName
    const connection = () => this.#connections.to(store, database)
    for (const { indexes } of await this.reached(() => inGroups(connection(), names))) {
      const some = indexes.map((i) => names[i]!)
      yield [indexes, await this.reached(() => dump(store, connection(), some))]
    }
  }

  /** Gives those that the store's user may not delete, and how many were deleted, as the store says: SCAN gives some keys twice. Not counted is what a connection that was lost has left without an answer. */
  async #unlink(
    database: number,
    keys: readonly Buffer[],
  ): Promise<{ deleted: number; refused: readonly ListedKey[] }> {
    const store = this.source.storeName
    let deleted = 0
    const refused = await this.reached(async () => {
      // Between the look at the beginning of the page and now a store may have hung, which is when people go back by force: the source may be the primary by now, or about to be.
      this.#watch.look()
      this.#environment.mustStay(this.#task.job.route)
      const listed: ListedKey[] = []
      let error: ErrorReply | null = null
      await this.#connections.to(store, database).forEach([['UNLINK']], this.#names(keys), (i, buf, start, stop) => {
        const reply = decodeReply(buf, start, stop)
        if (reply === 1) deleted++
        if (!(reply instanceof ErrorReply)) return
        if (isOfKey(reply)) listed.push({ database, key: keys[i]!, class: 'failed', detail: NOT_DELETED })
        else error = reply
      })
      if (error !== null) checked(store, error)
      return listed
    })
    return { deleted, refused }
  }

  #names(keys: readonly Buffer[]): Buffer[] {
    return keys.map((key) => this.source.nameOf(key))
  }
}

interface Compared {
  readonly equal: readonly Buffer[]
  readonly listed: readonly ListedKey[]
  /** As they are listed if nobody waits for their copies. */
  readonly inCopy: readonly ListedKey[]
}

const NOT_DELETED = "It could not be deleted: the store's user has no right to write this key (NOPERM)."

/** The store's user may use the command, and not for this key. */
function isOfKey({ code, text }: ErrorReply): boolean {
  return code === 'NOPERM' && !isUnknownCommand(text)
}

/** Looks again at what differs: SCAN gives some keys twice, and so does a backup that was interrupted, and what another page has deleted in the middle of a look can show as any difference. */
async function twice(pairs: Pairs, database: number, key: Buffer): Promise<Outcome> {
  const outcome = await pairs.now(database, key)
  return outcome.kind === 'different' ? pairs.now(database, key) : outcome
}

function uncompared(of: NamedKey, reason: string): ListedKey {
  return { ...of, class: 'failed', detail: `It could not be compared: ${reason}.` }
}

function isSame(one: Dump, other: Dump): boolean {
  return isSameExpiry(one.expiresAtMs, other.expiresAtMs) && one.payload.equals(other.payload)
}

function result(counts: PageResult['counts'], keys: readonly ListedKey[]): PageResult {
  const failed = keys.filter((one) => one.class === 'failed').length
  return { counts: { ...counts, different: keys.length - failed, failed, skipped: keys.length }, keys }
}
