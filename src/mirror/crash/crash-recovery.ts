import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectory } from '../../base/make-directory.ts'
import type { Config } from '../../config/config.ts'
import { routingOf, withRouting } from '../../config/routing.ts'
import { rolesOf } from '../../routing/route.ts'
import { RouteTable } from '../../routing/route-table.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import type { DirtyStore } from '../dirty/dirty-store.ts'
import { areSamePlaces, functionPlacesOf, OF_FUNCTIONS } from '../functions/function-places.ts'
import { formerNamesIn, type WasCalled } from '../stores/known-stores.ts'
import type { IntentDoubts, Over } from './intent-doubts.ts'
import { SEGMENT_NAME, SegmentReader } from './intent-segment.ts'
import type { RunMarker } from './run-marker.ts'

const RECORDS_AT_ONCE = 64

export interface RecoveryParts {
  readonly context: DataPathContext
  /** Filled already from what `store` had. */
  readonly dirty: DirtySet
  readonly store: DirtyStore
  readonly marker: RunMarker
  readonly doubts: IntentDoubts
}

/**
 * Makes dirty what the last run has left in doubt, once, before a client can connect: everything that stands in the segments of its intent log, with reason `crash`. The segments go when that is on
 * disk. Gives the number of the last one there was.
 */
export function recoverLastRun(dir: string, parts: RecoveryParts): number {
  const { context, dirty, store, marker, doubts } = parts
  const lastRun = marker.lastRun()
  makeDirectory(dir)
  for (const { name, shadow } of context.routes.routes) if (shadow === null) dirty.forget(name)
  const segments = readdirSync(dir)
    .filter((name) => SEGMENT_NAME.test(name))
    .sort()
  const wasCalled = formerNamesIn(store.routing, routingOf(context.routes.config))
  for (const name of exchangedRoutes(store.primaries, context.routes.config, wasCalled)) dirty.toVerify.exchange(name)
  const turned = turnedRoutes(parts, segments.length > 0, wasCalled)
  for (const name of turned) dirty.drop(name)
  const heirs = new Set<string>()
  const known = dirty.size
  if (segments.length > 0 || lastRun === 'crashed') {
    replay(dir, segments, doubts, passingOver(parts, heirs))
    for (const name of turned) dirty.drop(name)
    for (const name of heirs) if (!turned.includes(name)) sayTurned(parts, name)
    doubts.say(
      'warn',
      'the last run ended without being stopped: what was being written is dirty and will be copied',
      null,
      { keys: dirty.size - known },
    )
  }
  if (lastRun === 'incomplete') doubts.verifyAll('what the last run was writing is not known', null)
  for (const name of [...turned, ...heirs]) dirty.toVerify.mark(name, 'turned')
  const { config } = context.routes
  // What is in doubt of functions where they are mirrored between other places than before, `FunctionSync` sees to, before the next commit.
  const places = store.primaries.get(OF_FUNCTIONS)
  const moved = areSamePlaces(places ?? '', functionPlacesOf(config)) ? [] : [OF_FUNCTIONS]
  const primaries = primariesOf(config, [...turned, ...heirs, ...moved])
  // The last run did not mirror any: nothing of them can be in doubt the other way round.
  if (places === undefined) primaries.delete(OF_FUNCTIONS)
  // As long as the segments are there.
  store.setRoutes(primaries, routingOf(config))
  if (known > 0) doubts.say('info', 'dirty keys of the last run will be copied', null, { keys: known })
  // If it cannot be written the segments stay, for the next start.
  if (store.flushAll(performance.now())) {
    for (const name of segments) rmSync(join(dir, name))
    store.setRoutes(primariesOf(config), routingOf(config))
  }
  return Number.parseInt(segments.at(-1) ?? '0', 10)
}

/**
 * Routes whose primary was changed with keys that were not equal, in the file while nothing ran or by force a moment before the last run ended (`FormerDoubts`): copying these would put what the new primary has over what
 * it lacks. Which side is right only people can tell.
 */
function turnedRoutes(parts: RecoveryParts, wasWriting: boolean, wasCalled: WasCalled): string[] {
  const { context, dirty, store } = parts
  const turned = context.routes.config.routes.flatMap((route) => {
    const { name } = route
    const { primary, shadow } = rolesOf(route.phase)
    const then = store.primaries.get(name)
    if (shadow === null || then === undefined || (!wasWriting && dirty.count(name) === 0)) return []
    const [end, called] = then.split(' ') as [string, string]
    return end === primary && wasCalled(route[primary]!.store, called) ? [] : [name]
  })
  for (const route of turned) sayTurned(parts, route)
  return turned
}

/** Routes whose primary of before (as `primariesOf` gives it) is their shadow now: by their phase, or because the file has exchanged their ends. None of which it is not known. */
export function exchangedRoutes(
  before: ReadonlyMap<string, string>,
  { routes }: Pick<Config, 'routes'>,
  wasCalled: WasCalled,
): string[] {
  return routes.flatMap((route) => {
    const { primary, shadow } = rolesOf(route.phase)
    const was = before.get(route.name) ?? ''
    if (shadow === null || was === '') return []
    const [end, name] = was.split(' ') as [string, string]
    // Where both ends are in one store its name does not tell them apart.
    const isOne = wasCalled(route[primary]!.store, name)
    return (!isOne || end === shadow) && wasCalled(route[shadow]!.store, name) ? [route.name] : []
  })
}

function sayTurned({ dirty, doubts }: RecoveryParts, route: string): void {
  const keys = dirty.count(route)
  doubts.say(
    'error',
    'the primary of a route was changed by force or while Understudy did not run: keys that were not equal are not copied, for it is not known which side is right; verify the route',
    null,
    { route, keys },
  )
}

/**
 * Keys of routes of the last run of which it did not know where to they are to be copied: nor does anybody know it of the routes that have them now, by a file that was changed while nothing ran. These are put into
 * `heirs`.
 */
function passingOver({ context, store }: RecoveryParts, heirs: Set<string>): Over {
  const { primaries, routing } = store
  const { routes } = context
  const isUnknown = (name: string): boolean => name !== OF_FUNCTIONS && primaries.get(name) === ''
  const then = routing === null ? null : withRouting(routes.config, routing)
  const before =
    then?.routes.some(({ name }) => isUnknown(name)) === true
      ? new RouteTable(then, 0, Object.keys(then.stores), new Map())
      : null
  return {
    key: (key) => {
      if (before === null || !isUnknown(before.find(key, 0, key.length).route.name)) return false
      heirs.add(routes.find(key, 0, key.length).route.name)
      return true
    },
    functions: false,
  }
}

function replay(dir: string, segments: readonly string[], doubts: IntentDoubts, over: Over): void {
  const visitor = doubts.marking('crash', over)
  for (const [i, name] of segments.entries()) {
    const reader = new SegmentReader(readFileSync(join(dir, name)))
    while (reader.read(visitor, RECORDS_AT_ONCE));
    // What the process was writing in its last moment had not left for the primary. Elsewhere nothing may be missing.
    const isWhole = reader.end === 'whole' || (reader.end === 'torn' && i === segments.length - 1)
    if (!isWhole) doubts.verifyAll('a part of the intent log is damaged', null, name)
  }
}

/**
 * Mirrored routes by name, with the end that is the primary, and `OF_FUNCTIONS` with the places between which functions are mirrored; '' for those of `inDoubt`, of which something may be on disk that is to be copied
 * neither way.
 */
export function primariesOf(
  config: Pick<Config, 'routes' | 'stores'>,
  inDoubt: Iterable<string> = [],
): Map<string, string> {
  const ends = config.routes.flatMap((route) => {
    const { primary, shadow } = rolesOf(route.phase)
    return shadow === null ? [] : [[route.name, `${primary} ${route[primary]!.store}`] as const]
  })
  const places = functionPlacesOf(config)
  const ofFunctions = places === '' ? [] : [[OF_FUNCTIONS, places] as const]
  return new Map([...ends, ...ofFunctions, ...[...inDoubt].map((name) => [name, ''] as const)])
}
