import type { Config } from '../config/config.ts'
import { keyspaceOf } from '../config/keyspace.ts'
import { withRouting } from '../config/routing.ts'
import type { LastRun } from '../mirror/crash/last-run.ts'
import type { Completeness } from './completeness.ts'
import { isGated, movesToTarget, ofKeys, reliedOn, sentenceOf } from './gates.ts'
import type { SameKeyspaces } from './key-regions.ts'
import { movesIn } from './move-sentences.ts'
import { sameKeyspaces } from './same-keyspaces.ts'
import { type Transition, transitions } from './transition.ts'

/** What a start puts in force before the first client can connect. */
export interface FirstConfig {
  readonly config: Config
  /** Why the routes of the last run are in force, and not those of the file: sentences. Empty: the file's are. */
  readonly doubts: readonly string[]
  /** What the file moves although nothing vouches for it, because stores of the last run are at another address or gone: sentences. */
  readonly unguarded: readonly string[]
}

/** What else is known before anything runs. */
export interface FirstFacts {
  /** As `Completeness.lacking`, of the last run's routes. */
  readonly lacking: Completeness['lacking']
  /** Confirmed differences of the route that are listed, neither mended nor acknowledged. */
  readonly openMismatches: (route: string) => number
  /** Why the last run refused what the file says; null: it did not. */
  readonly refused: string | null
}

/**
 * A file that was changed while nothing ran, or that held a refused step when the process ended, is a change like any other; but its gates need what only a running data path knows. So
 *
 *   nothing is known of a last run      ─▶ the file
 *   no step has a gate                  ─▶ the file
 *   what is on disk speaks for each one ─▶ the file, and no client sees anything else: both ends were equal when the last run was stopped
 *   something speaks against one        ─▶ the routes of the last run. What the file says goes through its gates as soon as all runs, and is refused or put in force by them
 *   a store of those routes has another address ─▶ the file: a server that was moved while nothing ran is the common reason; but the routes and addresses of the last run where that had refused this very file
 *   such a store is not named any more ─▶ the file: how it was reached is not known
 *
 * All routes or none: keys that go from one to another would be in neither.
 */
export async function firstConfig(file: Config, last: LastRun | null, facts: FirstFacts): Promise<FirstConfig> {
  const asTheFile: FirstConfig = { config: file, doubts: [], unguarded: [] }
  if (last === null) return asTheFile
  const then = withRouting(file, last.routing)
  // Servers are not asked: one that has another address is another one.
  const same = await sameKeyspaces(then, file, async () => null)
  const steps = transitions(then, file, same).filter(isGated)
  if (steps.length === 0) return asTheFile
  const elsewhere = Object.keys(last.routing.stores).filter((name) => !isWhereItWas(name, then, file, same))
  if (elsewhere.length > 0) {
    const areNamed = elsewhere.every((name) => file.stores[name] !== undefined)
    return areNamed && facts.refused !== null
      ? { config: then, doubts: [facts.refused], unguarded: [] }
      : { ...asTheFile, unguarded: movesIn(steps, then, file) }
  }
  const known = (await Promise.all(steps.map((step) => doubtsAbout(step, then, last, facts)))).flat()
  // Of other gates nothing is on disk but that they were closed.
  const doubts = known.length > 0 || facts.refused === null ? known : [facts.refused]
  return doubts.length === 0 ? asTheFile : { config: { ...file, routes: then.routes }, doubts, unguarded: [] }
}

function isWhereItWas(store: string, then: Config, file: Config, same: SameKeyspaces): boolean {
  const now = file.stores[store]
  if (now === undefined) return false
  const text = keyspaceOf(now)
  return (same.get(text) ?? text) === keyspaceOf(then.stores[store]!)
}

/** What is known on disk of the conditions that `Gates` has for a step. */
async function doubtsAbout(
  step: Transition,
  then: Config,
  { ended, dirtyKeys, verifyCauses }: LastRun,
  { lacking, openMismatches }: FirstFacts,
): Promise<string[]> {
  const sentence = (reason: string): string => sentenceOf({ route: step.route, open: false, reason })
  if (step.unsafe !== null) return [sentence(step.unsafe)]
  const whose = ofKeys(step)
  const route = then.routes.find(({ name }) => name === step.before)!
  const lacks = await Promise.all(reliedOn(step).map((end) => lacking(then, route, end, verifyCauses.get(step.before))))
  const causes = verifyCauses.get(step.before)
  const differences = movesToTarget(step) ? openMismatches(step.before) : 0
  const dirty = dirtyKeys.get(step.before)
  const reasons = [
    ...lacks,
    causes === undefined ? null : `keys that nobody can name may differ (${causes.join(', ')})`,
    differences > 0
      ? `${differences === 1 ? '1 difference is' : `${differences} differences are`} listed, neither mended nor acknowledged`
      : null,
    ended === 'unknown' ? 'what the last run was writing is not known' : null,
    step.movesPrimary && ended === 'crashed'
      ? 'the last run was not stopped, and what it was writing has to be copied first'
      : null,
    step.movesPrimary && dirty !== undefined
      ? `${dirty === 1 ? '1 key was' : `${dirty} keys were`} not copied when the last run ended`
      : null,
  ]
  return reasons.flatMap((reason) => (reason === null ? [] : [sentence(whose + reason)]))
}
