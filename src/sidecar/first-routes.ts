import type { MismatchControl } from '../admin/mismatch-control.ts'
import { hashOfConfig } from '../admin/views.ts'
import { firstConfig } from '../cutover/first-config.ts'
import { lastRunIn } from '../mirror/crash/last-run.ts'
import { hasDirtyDatabase } from '../mirror/dirty/dirty-database.ts'
import type { Log } from '../observability/log.ts'
import type { ProvisionedStores } from '../upstream/provision.ts'
import type { ChangeGuards } from './change-guards.ts'
import type { ConfigurationChanges } from './configuration-changes.ts'

interface FirstRoutesOptions {
  readonly changes: ConfigurationChanges
  readonly guards: ChangeGuards
  readonly mismatches: MismatchControl
  readonly stores: ProvisionedStores
  readonly log: Log
}

/** Before anything runs: what the last run has left decides with which routes this one begins, and which of its shadows are still taken for complete. */
export async function chooseFirstRoutes(options: FirstRoutesOptions): Promise<void> {
  const { inForce } = options.changes
  const { completeness } = options.guards
  await chooseFirst(options)
  await completeness.approaching(inForce.config)
  const { stateDir } = inForce.config
  if (!hasDirtyDatabase(stateDir) && completeness.forgetAll())
    options.log.error(
      'what was known of unequal keys is gone from the state directory: no shadow is taken for complete',
      { path: stateDir },
    )
  await completeness.inForce(inForce.config, Date.now())
}

async function chooseFirst({ changes, guards, mismatches, stores, log }: FirstRoutesOptions): Promise<void> {
  const { completeness, journal } = guards
  const file = changes.inForce.config
  const { config, doubts, unguarded } = await firstConfig(file, lastRunIn(file.stateDir), {
    lacking: (then, route, end, causes) => completeness.lacking(then, route, end, causes),
    openMismatches: (route) => mismatches.unresolved(route),
    refused: journal.whyRefused(hashOfConfig(file)),
  })
  if (unguarded.length > 0)
    log.warn(
      'keys have another primary than in the last run, and its stores have another address or are gone from the configuration: that is taken as it is, and nothing tells whether that primary holds everything',
      { reason: unguarded.join('; ') },
    )
  if (doubts.length === 0) {
    journal.entered()
    return
  }
  const reason = `the routes of the last run are in force, not those of the configuration, which would move keys to a store that may lack some: ${doubts.join('; ')}`
  changes.beginWith(config, reason)
  await stores.provide(config)
  log.error(
    "this start goes on with the routes of the last run: those of the configuration would move keys to a store that may lack some. Their gates are asked once more as soon as all runs; if one is closed then, 'understudy reload' puts them in force once all are open (--force --reason TEXT: at once), or take the step back",
    { reason: doubts.join('; ') },
  )
}
