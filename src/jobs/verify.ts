import { hashBytes } from '../base/hash.ts'
import { notMirrored } from './backfill.ts'
import { type Outcome, Pairs } from './compare/pairs.ts'
import type { JobEnvironment } from './runner/environment.ts'
import { inOrder, type PageResult } from './runner/in-order.ts'
import type { ListedKey } from './runner/job-store.ts'
import type { WorkReport } from './runner/runner.ts'
import type { Task } from './runner/task.ts'
import { Throttle } from './runner/throttle.ts'
import { type KeysOfRoute, RouteWatch, routePages } from './scan/route-pages.ts'
import { countKeys, DatabasesSwapped, MAX_LISTINGS, scanned } from './scan/scan.ts'
import type { Page, ScanPosition } from './scan/scan-position.ts'
import { SeenKeys } from './scan/seen-keys.ts'
import { mustBeTwoServers } from './scan/two-servers.ts'
import { type EndKeys, endsOf } from './stores/end-keys.ts'
import { StoreConnections } from './stores/store-connection.ts'

/** It looks so often whether it is to go on. */
const LOOK_MS = 250
/** Pages under way: those that are looked at quickly are few (`Pairs`), the others wait for their differences to be looked at again. */
const PAGES = 32

interface Checkpoint {
  /** Keys of the primary on the shadow, then keys of the shadow on the primary. */
  readonly pass: 'forward' | 'reverse'
  /** null: the pass is over. */
  readonly at: ScanPosition | null
  /** What the dirty set said when it began. */
  readonly ticket: string
}

/**
 * Compares both sides of a route key by key: each key of the primary with the shadow's (payload and time of expiry first, element by element where these differ), then each key of the shadow that the primary
 * lacks, or that has come there since its place was listed: what is added to a key that only the shadow had is added to both. What differs counts when it differs at one place of history, again and again (`Pairs.confirmed`): live writes make no false alarm. Begins anew where databases are swapped meanwhile: what has been listed is in others then.
 */
export async function verify(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route } = task.job
  const { primary, shadow } = endsOf(config, route)
  if (shadow === null) throw notMirrored(route)
  const connections = new StoreConnections(environment.config, environment.endpoint, task.signal)
  const throttle = new Throttle(environment, task, route)
  const watch = new RouteWatch(environment, task)
  const pairs = new Pairs(environment, task, connections, primary, shadow, true)
  const isSampled = sampling(task.job.options.sample ?? 1)
  /** Of the primary, by this run. */
  let seen = new SeenKeys(0)

  const look = async (page: KeysOfRoute, suspectsOf: (keys: readonly Buffer[]) => Promise<readonly Buffer[]>) => {
    watch.look()
    const { database } = page
    const keys = page.keys.filter(isSampled)
    await throttle.admit(keys.length)
    const suspects = await suspectsOf(keys)
    const outcomes = await Promise.all(suspects.map((key) => pairs.confirmed(database, key)))
    const left = outcomes.filter(({ kind }) => kind === 'waiting').length
    return {
      unsampled: page.keys.length - keys.length,
      looked: keys.length,
      left,
      keys: listed(database, suspects, outcomes),
    }
  }
  const forward = async (page: KeysOfRoute): Promise<PageResult> => {
    const { unsampled, looked, left, keys } = await look(page, async (all) => {
      for (const key of all) seen.add(page.database, key)
      const suspects = await pairs.suspects(page.database, all)
      return suspects.map((i) => all[i]!)
    })
    return { counts: { skipped: unsampled + left, compared: looked - left, ...countsOf(keys) }, keys }
  }
  const reverse = async (page: KeysOfRoute): Promise<PageResult> => {
    const { left, keys } = await look(page, async (all) => {
      const present = await pairs.present(primary, page.database, all)
      const come = all.filter((key, i) => present[i] === true && !seen.has(page.database, key))
      const suspects = await pairs.suspects(page.database, come)
      return [...all.filter((_, i) => present[i] !== true), ...suspects.map((i) => come[i]!)]
    })
    return { counts: { skipped: left, ...countsOf(keys) }, keys }
  }

  try {
    await pairs.reached(() => mustBeTwoServers(connections, config, primary.storeName, shadow.storeName))
    const ticket = await environment.dataPath.verifyTicket(route)
    const passes = async (begun: Checkpoint | null): Promise<void> => {
      if (begun === null) {
        task.startOver()
        const sizes = await pairs.reached(() =>
          Promise.all([primary, shadow].map((end) => countKeys(connections, config, end.storeName))),
        )
        task.total = sizes.reduce((sum, size) => sum + size, 0)
      }
      // Both sides' keys are counted there, and these are the primary's.
      seen = new SeenKeys((task.total ?? 0) / 2)
      const pass = async (name: Checkpoint['pass'], end: EndKeys, work: (page: KeysOfRoute) => Promise<PageResult>) => {
        const at = begun?.pass === name ? begun.at : null
        const list = (pages: AsyncIterable<Page>) =>
          inOrder(
            task,
            routePages(pages, end, (next): Checkpoint => ({ pass: name, at: next, ticket })),
            PAGES,
            work,
          )
        await scanned(task, connections, config, end.storeName, at, list, givenUpIfSwapped)
      }
      if (begun === null || (begun.pass === 'forward' && begun.at !== null)) await pass('forward', primary, forward)
      if (begun?.pass !== 'reverse' || begun.at !== null) await pass('reverse', shadow, reverse)
    }
    let begun = resumable(task.checkpoint as Checkpoint | null, ticket)
    for (let listings = 0; ; listings++) {
      try {
        await passes(begun)
        break
      } catch (error) {
        if (!(error instanceof DatabasesSwapped) || listings === MAX_LISTINGS) throw error
        begun = null
      }
    }
    const report = { ...reportOf(task, pairs), primary: primary.which }
    // Since the last page was looked at the route may have got other keys.
    watch.look()
    if (report.clean) await unlessInterrupted(task, environment.dataPath.verified(route, ticket))
    return report
  } finally {
    connections.close()
  }
}

/** What the data path waits for may not come as long as a store is away. */
async function unlessInterrupted(task: Task, work: Promise<void>): Promise<void> {
  let isOver = false
  const over = work.then(() => {
    isOver = true
  })
  while (!isOver) await Promise.race([over, task.wait(LOOK_MS)])
}

async function givenUpIfSwapped(swapped: DatabasesSwapped | null): Promise<void> {
  if (swapped !== null) throw swapped
}

/** What the data path has said when a verify began that is done; null: it has listed no key. */
export function ticketOf(checkpoint: unknown): string | null {
  return (checkpoint as Checkpoint | null)?.ticket ?? null
}

/** What of it is the same as long as nothing more happened that the primary may lack: what the shadow may lack can come all the time (scripts, evictions). */
export function doubtIn(ticket: string): string {
  return ticket.slice(0, ticket.lastIndexOf(' '))
}

/** Something happened since that a verify has to look for: what was seen before says nothing. */
function resumable(checkpoint: Checkpoint | null, ticket: string): Checkpoint | null {
  return checkpoint?.ticket === ticket ? checkpoint : null
}

/** By the hash of the key, as the comparer samples: 1 % is inside 5 %, and both passes look at the same keys. */
function sampling(share: number): (key: Buffer) => boolean {
  const below = share * 2 ** 32
  return (key) => share >= 1 || hashBytes(key, 0, key.length) < below
}

/**
 * A key that waits for a copy is left: until that has come it closes gates by itself, so there is nothing for a verify to find. One that is written all the time in such a way that every write is settled by
 * a copy (queues, scripts) would hardly ever be met otherwise.
 */
function listed(database: number, keys: readonly Buffer[], outcomes: readonly Outcome[]): ListedKey[] {
  return outcomes.flatMap((outcome, i): ListedKey[] => {
    const of = { database, key: keys[i]! }
    if (outcome.kind === 'equal' || outcome.kind === 'waiting') return []
    return outcome.kind === 'failed'
      ? [{ ...of, class: 'failed', detail: `It could not be compared: ${outcome.reason}.` }]
      : [{ ...of, class: outcome.difference.class, detail: outcome.difference.detail }]
  })
}

function countsOf(keys: readonly ListedKey[]): { different: number; failed: number } {
  const failed = keys.filter((key) => key.class === 'failed').length
  return { different: keys.length - failed, failed }
}

function reportOf(task: Task, pairs: Pairs): WorkReport {
  const { sample = 1 } = task.job.options
  const [different, failed] = [task.counted('different'), task.counted('failed')]
  // Where all are looked at, nothing else is passed over.
  const left = sample >= 1 ? task.counted('skipped') : 0
  const differ = different === 0 ? 'no difference' : `${different} ${different === 1 ? 'differs' : 'differ'}`
  return {
    summary: `${task.keysCounted('compared')} compared, ${differ}${failed > 0 ? `, ${failed} could not be compared` : ''}${left > 0 ? `, ${left} left to the mirror, which copies them` : ''}.`,
    clean: sample >= 1 && different === 0 && failed === 0,
    notes: [
      ...(sample < 1 ? [`Only ${sample * 100} % of the keys were looked at.`] : []),
      'Not seen: what was written past this Understudy after a key was looked at, how often and when keys were last used, when consumers were last seen, and consumers to whom nothing is pending.',
      ...pairs.exact.blindSpots,
    ],
  }
}
