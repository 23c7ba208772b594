import { packBytes } from '../base/packed-bytes.ts'
import type { Config } from '../config/config.ts'
import { COPIED, type CopyOrigin, FAILED } from '../mirror/copy/copy-batch.ts'
import { refusedCommand } from '../mirror/stores/store-errors.ts'
import { rolesOf } from '../routing/route.ts'
import type { JobEnvironment } from './runner/environment.ts'
import type { JobKind, JobOptions } from './runner/job.ts'
import type { ListedKey } from './runner/job-store.ts'
import type { Task } from './runner/task.ts'
import type { Throttle } from './runner/throttle.ts'
import type { RouteWatch } from './scan/route-pages.ts'
import { refusalOf, refusesWrites } from './stores/refusals.ts'

export interface CopyWanted {
  readonly task: Task
  readonly throttle: Throttle
  readonly watch: RouteWatch
  readonly database: number
  readonly keys: readonly Buffer[]
  /** Throws where they must not be copied any more: asked before each round, for the one before may have waited for a store. */
  readonly look?: () => Promise<void>
}

export interface CopyResult {
  readonly copied: number
  readonly failed: readonly ListedKey[]
}

const RETRY_MS = 100
const REFUSED_MS = 1_000
/** A key that cannot be copied now although both stores are there is given up after so many rounds. */
const MAX_ROUNDS = 50

/** Copies keys (application names) from the primary to the shadow by the data path, as long as the route is what `watch` has seen. What only the moment forbids is tried again; what fails has its reason. Throws JOB_REFUSED where the route is another by then. */
export async function copyKeys(
  environment: JobEnvironment,
  { task, throttle, watch, database, keys, look }: CopyWanted,
): Promise<CopyResult> {
  const failed: ListedKey[] = []
  let copied = 0
  let left = keys
  const { kind, route, options } = task.job
  const origin: CopyOrigin = { route, shape: watch.shape, deletes: deletesOf(kind, options) }
  for (let rounds = 0; left.length > 0; ) {
    const window = await throttle.admit(left.length)
    await look?.()
    const { outcomes, reasons } = await throttle.watch(
      environment.dataPath.copy(origin, database, packBytes(left), window),
    )
    const why = new Map(reasons)
    const again: Buffer[] = []
    let refusal: string | null = null
    for (let i = 0; i < left.length; i++) {
      const outcome = outcomes[i]
      const reason = why.get(i)
      const refused = outcome === FAILED ? null : refusalOf(reason ?? '')
      if (refused !== null)
        refusal ??= `${refusesWrites(reason!) ? writtenStore(environment.config(), route) : 'a store'} ${refused}`
      if (outcome === COPIED) copied++
      else if (outcome === FAILED || (rounds >= MAX_ROUNDS && refused === null)) {
        failed.push({ database, key: left[i]!, class: 'failed', detail: `It could not be copied: ${shown(reason)}.` })
      } else again.push(left[i]!)
    }
    left = again
    throttle.refused(refusal)
    if (refusal === null) rounds++
    if (left.length > 0) await task.wait(refusal === null ? RETRY_MS : REFUSED_MS)
  }
  return { copied, failed }
}

/** What an import or a restore has put there itself it takes along, whatever has become of it, unless the primary has lost it. */
function deletesOf(kind: JobKind, { deleteExtra }: JobOptions): CopyOrigin['deletes'] {
  if (kind === 'import' || kind === 'restore') return 'unless-lost'
  return kind === 'repair' && deleteExtra === true ? 'always' : 'never'
}

/** The store that copies go to. */
function writtenStore(config: Config, name: string): string {
  const route = config.routes.find((other) => other.name === name)
  const end = route === undefined ? null : rolesOf(route.phase).shadow
  return end === null ? 'a store' : `store '${route![end]!.store}'`
}

/** An error of a store without what it may quote: texts in quotes can be data. */
function shown(reason: string | undefined): string {
  const refused = refusedCommand(reason ?? '')
  if (refused !== null && refused.name !== '') {
    if (!refused.absent) return `the user of a store has no right to ${refused.name} (NOPERM)`
    const what = refused.name === 'HPEXPIREAT' ? 'its fields have times of expiry of their own: ' : ''
    return `${what}a store does not know ${refused.name} (ERR unknown command)`
  }
  return (reason ?? 'for an unknown reason').replace(/'[^']*'|"[^"]*"/g, '...')
}
