import { UnderstudyError } from '../base/errors.ts'
import { LEFT_TO_MIRROR, Pairs } from './compare/pairs.ts'
import { copyKeys } from './copying.ts'
import type { JobEnvironment } from './runner/environment.ts'
import { inOrder, type PageResult } from './runner/in-order.ts'
import type { ListedKey } from './runner/job-store.ts'
import type { WorkReport } from './runner/runner.ts'
import type { Task } from './runner/task.ts'
import { Throttle } from './runner/throttle.ts'
import { type KeysOfRoute, RouteWatch, routePages } from './scan/route-pages.ts'
import { countKeys, scanned } from './scan/scan.ts'
import type { ScanPosition } from './scan/scan-position.ts'
import { mustBeTwoServers } from './scan/two-servers.ts'
import { type EndKeys, endsOf } from './stores/end-keys.ts'
import { StoreConnections } from './stores/store-connection.ts'

/** Pages under way: enough that the data path never waits for this thread. */
const PAGES = 4

/** `null`: every page has been copied. */
interface Checkpoint {
  readonly at: ScanPosition | null
}

/**
 * Copies every key of the route from its primary to its shadow: SCAN there, and a state copy of each key in the pipeline of its writes. A live write is inside its key's copy or follows it, so the
 * application may go on; a key that is written or deleted meanwhile is simply copied as it is then.
 *
 * What it cannot see: keys that only the shadow has (verify tells), and writes that do not pass through this process.
 */
export async function backfill(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const { primary, shadow } = endsOf(config, route)
  if (shadow === null) throw notMirrored(route)
  const connections = new StoreConnections(environment.config, environment.endpoint, task.signal)
  const throttle = new Throttle(environment, task, route)
  const watch = new RouteWatch(environment, task)
  const pairs = new Pairs(environment, task, connections, primary, shadow, true)
  const otherSide = new Conflicts(pairs, shadow, task)
  const work = async ({ database, keys }: KeysOfRoute): Promise<PageResult> => {
    watch.look()
    const { wanted, left, conflicts, uncompared } = await otherSide.among(database, keys)
    const counts = { skipped: left, different: conflicts.length }
    const listed = [...conflicts, ...uncompared]
    if (options.dryRun) {
      return { counts: { ...counts, copied: wanted.length, failed: uncompared.length }, keys: listed }
    }
    const { copied, failed } = await copyKeys(environment, { task, throttle, watch, database, keys: wanted })
    return { counts: { ...counts, copied, failed: failed.length + uncompared.length }, keys: [...listed, ...failed] }
  }
  try {
    await pairs.reached(() => mustBeTwoServers(connections, config, primary.storeName, shadow.storeName))
    const begun = task.checkpoint as Checkpoint | null
    if (begun === null) task.total = await pairs.reached(() => countKeys(connections, config, primary.storeName))
    if (begun === null || begun.at !== null) {
      await scanned(task, connections, config, primary.storeName, begun?.at ?? null, (pages) =>
        inOrder(
          task,
          routePages(pages, primary, (at): Checkpoint => ({ at })),
          PAGES,
          work,
        ),
      )
    }
    // The last copies may have taken so long that the route has got other keys meanwhile.
    watch.look()
    return report(task)
  } finally {
    connections.close()
  }
}

/** What a route that mirrors nothing is told. */
export function notMirrored(route: string): UnderstudyError {
  return new UnderstudyError(
    'JOB_REFUSED',
    `route '${route}' mirrors nothing in its phase: what is copied now would fall behind with the next write. Bring it to mirror first (or, from done, to switched)`,
  )
}

interface Found {
  /** Keys to copy. */
  readonly wanted: readonly Buffer[]
  /** How many stay as they are: such as are equal, wait for a copy, or are in conflict. */
  readonly left: number
  readonly conflicts: readonly ListedKey[]
  readonly uncompared: readonly ListedKey[]
}

/** Keys whose other side holds something else already, where that matters (`--on-conflict`). */
class Conflicts {
  readonly #pairs: Pairs
  readonly #shadow: EndKeys
  readonly #task: Task

  constructor(pairs: Pairs, shadow: EndKeys, task: Task) {
    this.#pairs = pairs
    this.#shadow = shadow
    this.#task = task
  }

  async among(database: number, keys: readonly Buffer[]): Promise<Found> {
    const { onConflict = 'overwrite' } = this.#task.job.options
    if (onConflict === 'overwrite') return { wanted: keys, left: 0, conflicts: [], uncompared: [] }
    const isThere = await this.#pairs.present(this.#shadow, database, keys)
    const absent = keys.filter((_, i) => isThere[i] === false)
    const present = keys.filter((_, i) => isThere[i] !== false)
    const suspects = await this.#pairs.suspects(database, present)
    const outcomes = await Promise.all(suspects.map((i) => this.#pairs.now(database, present[i]!)))
    const conflicts: ListedKey[] = []
    const uncompared: ListedKey[] = []
    for (const [n, outcome] of outcomes.entries()) {
      const of = { database, key: present[suspects[n]!]! }
      if (outcome.kind === 'different') conflicts.push({ ...of, class: 'conflict', detail: CONFLICT })
      else if (outcome.kind === 'failed')
        uncompared.push({ ...of, class: 'failed', detail: `It could not be compared: ${outcome.reason}.` })
      else if (outcome.kind === 'waiting') this.#task.remark(LEFT_TO_MIRROR)
    }
    if (conflicts.length > 0 && onConflict === 'fail') {
      throw new UnderstudyError(
        'JOB_REFUSED',
        `keys of route '${this.#task.job.route}' hold something else in store '${this.#shadow.storeName}' already: look with verify, or give --on-conflict overwrite or skip`,
      )
    }
    return { wanted: absent, left: present.length - uncompared.length, conflicts, uncompared }
  }
}

const CONFLICT = 'The other side holds something else; it was left as it is.'

function report(task: Task): WorkReport {
  const [skipped, failed] = [task.counted('skipped'), task.counted('failed')]
  const conflicts = task.counted('different')
  const dry = task.job.options.dryRun === true
  const parts = [
    `${task.keysCounted('copied')} ${dry ? 'would be copied' : 'copied'}`,
    ...(skipped > 0 ? [`${skipped} left as they are, ${conflicts} of them different`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ]
  return {
    summary: `${parts.join(', ')}.`,
    clean: !dry && failed === 0 && conflicts === 0,
    notes: ['Keys that only the other side has were not looked at: verify does.'],
  }
}
