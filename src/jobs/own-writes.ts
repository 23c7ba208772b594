import { append } from '../base/append.ts'
import { packBytes } from '../base/packed-bytes.ts'
import type { Pairs } from './compare/pairs.ts'
import { copyKeys } from './copying.ts'
import type { JobEnvironment, NamedKey } from './runner/environment.ts'
import type { ListedKey } from './runner/job-store.ts'
import type { Task } from './runner/task.ts'
import { Throttle } from './runner/throttle.ts'
import { type RouteWatch, routeChanged } from './scan/route-pages.ts'
import type { StoreConnections } from './stores/store-connection.ts'
import { DatabaseRefused } from './stores/store-lost.ts'

/** That keys of a database are being written. */
interface Note {
  readonly number: number
  readonly database: number
}

/** Where a job writes, as it sees the route. */
interface OwnWritesEnds {
  readonly watch: RouteWatch
  readonly pairs: Pairs
  readonly connections: StoreConnections
  /** The route's primary. */
  readonly store: string
  /** False where nothing is written, too. */
  readonly isMirrored: boolean
}

/**
 * Writes of a job to the route's primary, by connections of its own, which are then copied to the other side where the route is mirrored.
 *
 *   noted ─▶ written ─▶ copied ─▶ the note goes; what was not copied is dirty
 *
 * The data path knows of the keys before they are written (`JobWrites`), as it does of clients' writes: a job that is cancelled, a store that is gone or a process that is killed in between leaves dirty keys, and none that only a verify would find. A switch waits for a page; one that does not (it is forced) ends the job, and the page counts as not written.
 */
export class OwnWrites {
  readonly #environment: JobEnvironment
  readonly #task: Task
  readonly #pairs: Pairs
  readonly #connections: StoreConnections
  readonly #throttle: Throttle
  readonly #watch: RouteWatch
  readonly #store: string
  readonly #isMirrored: boolean
  /** Databases that the store lets us into, or not. */
  readonly #databases = new Map<number, boolean>()

  constructor(environment: JobEnvironment, task: Task, ends: OwnWritesEnds) {
    this.#environment = environment
    this.#task = task
    this.#watch = ends.watch
    this.#pairs = ends.pairs
    this.#connections = ends.connections
    this.#throttle = new Throttle(environment, task, task.job.route)
    this.#store = ends.store
    this.#isMirrored = ends.isMirrored
  }

  /** Writes each of the keys by `write`, all at once, and has those copied of which it gives true; of the others nobody knows. Gives those that could not be. Throws what `write` throws, when all have ended; JOB_REFUSED where the store is not their primary any more. */
  async each<K extends NamedKey>(keys: readonly K[], write: (key: K) => Promise<boolean>): Promise<ListedKey[]> {
    const notes: Note[] = []
    const doubtful = new Set<NamedKey>()
    let failed: ListedKey[]
    let stayed: boolean[] = []
    try {
      if (this.#isMirrored) await this.#note(keys, notes)
      for (const key of keys) doubtful.add(key)
      const there: K[] = []
      await allEnded(
        keys.map(async (key) => {
          if (await write(key)) there.push(key)
        }),
      )
      failed = this.#isMirrored ? await this.#copy(there, doubtful) : []
    } finally {
      stayed = await Promise.all(
        notes.map(({ number, database }) =>
          this.#environment.dataPath.wrote(number, packBytes(namesIn(database, doubtful))),
        ),
      )
    }
    if (!stayed.every((one) => one)) throw routeChanged(this.#task.job.route)
    return failed
  }

  async #copy(keys: readonly NamedKey[], doubtful: Set<NamedKey>): Promise<ListedKey[]> {
    const failed: ListedKey[] = []
    for (const database of databasesOf(keys)) {
      const some = keys.filter((key) => key.database === database)
      const names = some.map(({ key }) => key)
      const copies = await copyKeys(this.#environment, {
        task: this.#task,
        throttle: this.#throttle,
        watch: this.#watch,
        database,
        keys: names,
      })
      const lost = new Set(copies.failed.map(({ key }) => key))
      for (const key of some) if (!lost.has(key.key)) doubtful.delete(key)
      append(failed, copies.failed)
    }
    return failed
  }

  /** Not those of databases that the store does not have: they are never written, and no copy of them would ever end. Throws JOB_REFUSED. */
  async #note(keys: readonly NamedKey[], notes: Note[]): Promise<void> {
    for (const database of databasesOf(keys)) {
      if (!(await this.#has(database))) continue
      const names = packBytes(namesIn(database, keys))
      const number = await this.#environment.dataPath.writing(this.#store, database, names)
      if (number === null) throw routeChanged(this.#task.job.route)
      notes.push({ number, database })
    }
  }

  async #has(database: number): Promise<boolean> {
    let known = this.#databases.get(database)
    if (known === undefined) {
      known = database === 0 || (await this.#answers(database))
      this.#databases.set(database, known)
    }
    return known
  }

  async #answers(database: number): Promise<boolean> {
    try {
      await this.#pairs.reached(() => this.#connections.to(this.#store, database).ask(['PING']))
      return true
    } catch (error) {
      if (error instanceof DatabaseRefused) return false
      throw error
    }
  }
}

function databasesOf(keys: readonly NamedKey[]): Set<number> {
  return new Set(keys.map(({ database }) => database))
}

function namesIn(database: number, keys: Iterable<NamedKey>): Buffer[] {
  return [...keys].flatMap((key) => (key.database === database ? [key.key] : []))
}

/** As Promise.all, but it throws when nothing is under way any more. */
async function allEnded(all: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(all)
  await Promise.all(all)
}
