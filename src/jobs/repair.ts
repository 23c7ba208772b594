import { append } from '../base/append.ts'
import { UnderstudyError } from '../base/errors.ts'
import { unpackBytes } from '../base/packed-bytes.ts'
import { mayPrimaryLack } from '../mirror/dirty/verify-marks.ts'
import { notMirrored } from './backfill.ts'
import { LEFT_TO_MIRROR, Pairs } from './compare/pairs.ts'
import { copyKeys } from './copying.ts'
import type { FoundKey, JobEnvironment, NamedKey } from './runner/environment.ts'
import { inOrder, type PageResult, type Step } from './runner/in-order.ts'
import { REPAIR_SOURCES } from './runner/job.ts'
import type { JobStore, ListedKey } from './runner/job-store.ts'
import type { WorkReport } from './runner/runner.ts'
import type { Task } from './runner/task.ts'
import { Throttle } from './runner/throttle.ts'
import { type KeysOfRoute, RouteWatch } from './scan/route-pages.ts'
import { mustBeTwoServers } from './scan/two-servers.ts'
import { type EndName, endsOf } from './stores/end-keys.ts'
import { StoreConnections } from './stores/store-connection.ts'
import { doubtIn, ticketOf } from './verify.ts'

const PAGE = 256
const PAGES = 4
/** Keys of one source that a job takes; the next one takes the rest. */
const MAX_KEYS = 1_000_000

/**
 * Makes keys equal that are known or feared to differ: those that the last verify has listed, the dirty ones, those that the comparer has found. Each is compared, copied by the data path if it differs, and
 * compared again; what is equal then leaves the list of mismatches. What only the shadow has is deleted only when it was asked for.
 *
 * Begins anew when it was interrupted: what has been repaired is equal by then.
 */
export async function repair(environment: JobEnvironment, store: JobStore, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const { primary, shadow } = endsOf(config, route)
  if (shadow === null) throw notMirrored(route)
  const connections = new StoreConnections(environment.config, environment.endpoint, task.signal)
  const throttle = new Throttle(environment, task, route)
  const watch = new RouteWatch(environment, task)
  const pairs = new Pairs(environment, task, connections, primary, shadow, true)

  /** What stands in the list of mismatches: a few of the keys at most. */
  const found = new Set<string>()
  /** What verifies list that the primary had. */
  const listedBefore = new Set<string>()
  /** What no verify tells that counts (`verifiedKeys`), and that was found while the other store was the primary, or is known while the primary may lack something: what the shadow has may be the last good copy. */
  const unverified = new Set<string>()
  let doubt: string | null = null

  const look = async (): Promise<void> => {
    if ((await doubtOf(environment, route)) !== doubt) throw new UnderstudyError('JOB_REFUSED', IN_DOUBT_NOW)
  }
  const work = async ({ database, keys }: KeysOfRoute): Promise<PageResult> => {
    watch.look()
    await look()
    await throttle.admit(keys.length)
    const sinceMs = Date.now()
    const before = await Promise.all(keys.map((key) => pairs.now(database, key)))
    const listed: ListedKey[] = []
    const wanted: Buffer[] = []
    const extra = new Set<Buffer>()
    for (const [i, outcome] of before.entries()) {
      const key = keys[i]!
      if (outcome.kind === 'failed') listed.push(failure(database, key, `It could not be compared: ${outcome.reason}.`))
      if (outcome.kind !== 'different') continue
      const { difference } = outcome
      if (unverified.has(nameOf({ database, key }))) {
        listed.push({ database, key, class: difference.class, detail: UNVERIFIED })
      } else if (difference.class === 'extra' && !options.deleteExtra) {
        listed.push({ database, key, class: 'extra', detail: EXTRA })
      } else {
        wanted.push(key)
        if (difference.class === 'extra') extra.add(key)
        if (options.dryRun) listed.push({ database, key, ...difference })
      }
    }
    const equal = keys.filter((_, i) => before[i]!.kind === 'equal')
    const lookedFor = equal.filter((key) => listedBefore.has(nameOf({ database, key })))
    if ((await pairs.present(primary, database, lookedFor)).includes(false)) task.remark(MAY_BE_ELSEWHERE)
    const waiting = before.filter(({ kind }) => kind === 'waiting').length
    if (waiting > 0) task.remark(LEFT_TO_MIRROR)
    const counts = {
      compared: keys.length,
      skipped: equal.length + waiting,
      different: before.filter(({ kind }) => kind === 'different').length,
    }
    if (options.dryRun) return { counts: { ...counts, failed: failedOf(listed) }, keys: listed }
    const { failed } = await copyKeys(environment, { task, throttle, watch, database, keys: wanted, look })
    append(listed, failed)
    const lost = new Set(failed.map((one) => one.key))
    const copied = wanted.filter((key) => !lost.has(key))
    const after = await Promise.all(copied.map((key) => pairs.confirmed(database, key)))
    let [repaired, deleted] = [0, 0]
    for (const [i, outcome] of after.entries()) {
      const key = copied[i]!
      if (outcome.kind === 'different') listed.push(failure(database, key, 'It was copied and still differs.'))
      else if (outcome.kind === 'failed')
        listed.push(failure(database, key, `It was copied, and could not be compared then: ${outcome.reason}.`))
      else {
        // One that waits for a copy has been written since.
        if (outcome.kind === 'equal') equal.push(key)
        if (outcome.kind === 'equal' && extra.has(key)) deleted++
        else repaired++
      }
    }
    const mended = equal.filter((key) => found.has(nameOf({ database, key })))
    if (mended.length > 0) environment.mended(route, database, mended, sinceMs)
    return { counts: { ...counts, repaired, deleted, failed: failedOf(listed) }, keys: listed }
  }

  try {
    await pairs.reached(() => mustBeTwoServers(connections, config, primary.storeName, shadow.storeName))
    task.startOver()
    for (const key of environment.mismatchedKeys(route)) found.add(nameOf(key))
    doubt = await doubtOf(environment, route)
    const verified = verifiedKeys(store, task, primary.which, doubt)
    const keys = await wantedKeys(environment, task, primary.which, doubt, verified, listedBefore, unverified)
    task.total = keys.length
    await inOrder(task, pagesOf(keys), PAGES, work)
    return { ...report(task), primary: primary.which }
  } finally {
    connections.close()
  }
}

/** Each key once, by database. Adds to `listed` what verifies list that the primary had, and to `unverified` what is compared only. */
async function wantedKeys(
  environment: JobEnvironment,
  task: Task,
  primary: EndName,
  doubt: string | null,
  verified: VerifiedKeys,
  listed: Set<string>,
  unverified: Set<string>,
): Promise<NamedKey[]> {
  const { route, options } = task.job
  const from = options.from ?? REPAIR_SOURCES
  const names = new Set(verified.keys.map(nameOf))
  const keys = new Map<string, NamedKey>()
  const add = (key: NamedKey, isTrusted: boolean): void => {
    const name = nameOf(key)
    if (!isTrusted && !keys.has(name) && !names.has(name)) unverified.add(name)
    keys.set(name, key)
  }
  if (from.includes('verify')) {
    if (verified.before !== null) task.remark(ofBefore(verified.before))
    for (const key of verified.keys) {
      add(key, true)
      if (key.class !== 'extra') listed.add(nameOf(key))
    }
  }
  if (from.includes('dirty')) {
    for (const { database, keys: packed } of await environment.dataPath.dirtyKeys(route, MAX_KEYS)) {
      for (const key of unpackBytes(packed)) add({ database, key }, doubt === null)
    }
  }
  if (from.includes('mismatches')) {
    const found = environment.mismatchedKeys(route)
    const isTrusted = (key: FoundKey): boolean => doubt === null && key.primary === primary
    for (const key of found) if (isTrusted(key)) add(key, true)
    for (const key of found) if (!isTrusted(key)) add(key, false)
  }
  return [...keys.values()].sort((one, other) => one.database - other.database)
}

/** What a verify has to have begun with for its list to be of now (`doubtIn` its ticket), while the primary may be the side that lacks something: of what is known from before, the shadow may have the last good copy. Null: the primary is right. */
async function doubtOf({ dataPath }: JobEnvironment, route: string): Promise<string | null> {
  const { verifyCauses = [] } = (await dataPath.stats()).routes[route] ?? {}
  return mayPrimaryLack(verifyCauses) ? doubtIn(await dataPath.verifyTicket(route)) : null
}

interface VerifiedKeys {
  readonly keys: readonly ListedKey[]
  /** The verify at which that ended, for it was of the other side, or of before the doubt: what it lists may be the last copy there is. */
  readonly before: number | null
}

/** What verifies list, from the last one that looked at every key on. */
function verifiedKeys(store: JobStore, { job }: Task, primary: EndName, doubt: string | null): VerifiedKeys {
  const keys: ListedKey[] = []
  for (const { id, report, options } of store.done(job.route, ['verify'])) {
    if ((report!.primary ?? primary) !== primary) return { keys, before: id }
    if (doubt !== null && doubtIn(ticketOf(store.checkpoint(id)) ?? '') !== doubt) return { keys, before: id }
    for (const key of store.listedKeys(id, 0, MAX_KEYS)) keys.push(key)
    if ((options.sample ?? 1) >= 1) break
  }
  return { keys, before: null }
}

function nameOf({ database, key }: NamedKey): string {
  return `${database} ${key.toString('latin1')}`
}

async function* pagesOf(keys: readonly NamedKey[]): AsyncGenerator<Step<KeysOfRoute>> {
  for (let at = 0; at < keys.length; ) {
    const { database } = keys[at]!
    const page: Buffer[] = []
    while (at < keys.length && page.length < PAGE && keys[at]!.database === database) page.push(keys[at++]!.key)
    yield { page: { database, keys: page }, scanned: page.length, checkpoint: {} }
  }
}

const MAY_BE_ELSEWHERE =
  'Keys that a verify lists are on neither side any more. One that was renamed, or moved to another database, may differ there still, which a verify finds.'
const UNVERIFIED =
  'No verify lists it since the primary was changed, or may have lost something: the other side may have the last good copy. Verify before a repair.'
const IN_DOUBT_NOW =
  'the primary was changed, or may have lost something, since the job began: what the other side has may be the last good copy. Verify before a repair'
const ofBefore = (verify: number): string =>
  `What verify ${verify} lists was told while the other store was the primary, or before the primary may have lost something, and is left alone: verify again before a repair.`
const EXTRA = 'Only the other side has it; --delete-extra deletes it.'

function failedOf(listed: readonly ListedKey[]): number {
  return listed.filter((one) => one.class === 'failed').length
}

function failure(database: number, key: Buffer, detail: string): ListedKey {
  return { database, key, class: 'failed', detail }
}

function report(task: Task): WorkReport {
  const { dryRun = false } = task.job.options
  const counted = (name: Parameters<Task['counted']>[0]): number => task.counted(name)
  const [different, repaired, deleted, failed] = [
    counted('different'),
    counted('repaired'),
    counted('deleted'),
    counted('failed'),
  ]
  const left = different - repaired - deleted
  const done = dryRun ? 'nothing written' : `${repaired} repaired, ${deleted} deleted, ${left} left as they are`
  return {
    summary: `${task.keysCounted('compared')} looked at, ${different} differed: ${done}${failed > 0 ? `, ${failed} failed` : ''}.`,
    clean: left === 0 && failed === 0,
    notes: counted('compared') === 0 ? ['No key was known to differ: verify looks for those that do.'] : [],
  }
}
