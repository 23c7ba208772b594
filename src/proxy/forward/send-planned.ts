import { repliesWithKeys } from '../../command/reply-keys.ts'
import { asRead } from '../../command/scripts/read-only-script.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { NOBODY } from '../../mirror/copy/sweeps.ts'
import { removedBy } from '../../mirror/functions/function-changes.ts'
import { goesAsSent } from '../../mirror/shadow/shadow-runs.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { renameForPrimary } from '../../routing/plan.ts'
import { nameIn } from '../../routing/plan-script.ts'
import type { Route } from '../../routing/route.ts'
import { changesFunctions, isServerWide } from '../../routing/server-wide.ts'
import { type InFlight, TOGETHER } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPath } from '../data-path.ts'
import { isSampledRead } from '../reads/sampled-reads.ts'
import { noteScript } from '../scripts/script-calls.ts'
import type { Session } from '../session/session.ts'
import { COUNTED, FUNCTIONS, MAP_KEYS, MIRRORED, MIXED, OF_ANY_ROUTE, SAMPLED, UNDECLARED } from './marks.ts'

/** Puts the planned command (`path.plan`) on a pipeline, marked (`marks.ts`) for the mirror and the comparer. `seq`: its place in the order of the client's replies. */
export function sendPlanned(
  session: Session,
  pipeline: Pipeline,
  view: CommandView,
  given: CommandSpec | null,
  seq: number,
): InFlight {
  const { path } = session
  const { plan } = path
  const { route } = plan
  const spec = given?.write && given.firstKey === 0 ? asCalled(path, route, given, view) : given
  if (given !== null && given.firstKey === 0) {
    const script = noteScript(path, given, view)
    if (script !== null && path.scriptLoads.ahead(pipeline, script) !== null) session.own?.cacheAgain(pipeline)
  }
  let slot: InFlight
  if (plan.renames) {
    const renamed = renameForPrimary(path.routes, view, plan)
    slot = pipeline.push(session, renamed, 0, renamed.length)
  } else slot = pipeline.push(session, view.buf, view.frameStart, view.frameEnd)
  slot.seq = seq
  slot.spec = spec
  slot.route = route
  slot.database = session.database
  route.state.inFlight++
  if (plan.others !== null) {
    slot.flags |= MIXED
    slot.extra = plan.others
    for (const state of plan.others) state.inFlight++
  }
  if (spec === null) return slot
  if (spec.write) {
    if (spec.firstKey === 0 && changesFunctions(spec)) {
      slot.flags |= FUNCTIONS
      path.functions.changing(route.primary.storeName)
      path.mirror.functionsChanging(route.primary.store)
    }
    if (path.mirror.undeclared.areWrittenBy(spec, view, route)) {
      slot.flags |= plan.positions.count > 0 && plan.others === null ? UNDECLARED : UNDECLARED | OF_ANY_ROUTE
      path.mirror.undeclared.leave(route, [session.database])
      path.intents?.noteUnnamedKeys()
    }
    // What has no keys is mirrored with its own route, or not at all.
    if ((route.shadow !== null || (plan.others !== null && !plan.bound)) && spec.effect?.kind !== 'never') {
      slot.flags |= MIRRORED
      session.writesOwed++
      slot.lane = pipeline.lane
      slot.keyHash = plan.positions.count === 1 ? plan.keyHash : 0
      path.intents?.note(session.database, spec, view, plan.positions)
      if (plan.positions.count === 0) {
        if (isServerWide(spec)) {
          path.intents?.noteEveryKey()
          path.mirror.undeclared.flushes(spec, route)
          path.tickets.enterServerWide(spec, laneOf(path.primaryOf(route), pipeline))
        } else if (changesFunctions(spec)) path.intents?.noteFunctions(removedBy(spec, view))
      }
      slot.ticket =
        slot.keyHash === 0
          ? path.tickets.enter(view, plan.positions, pipeline.lane)
          : path.tickets.enterPushed(plan.keyHash, pipeline)
      if (isPlainWrite(path, slot, view)) slot.flags |= TOGETHER
    }
  } else if (route.samples && isSampledRead(path, spec, view)) {
    slot.flags |= SAMPLED
    slot.lane = pipeline.lane
    slot.ticket = path.comparer.asked(view, plan.positions, pipeline.lane)
  }
  if (path.sharedSubscriptions.any && spec.handling === 'publish') slot.flags |= COUNTED
  if (plan.renames) {
    if (repliesWithKeys(spec) || spec.handling === 'elements') slot.flags |= MAP_KEYS
    if (slot.flags !== 0) slot.original = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
  }
  return slot
}

/** A script or function of which the server sees to it that it writes nothing is treated as a read. */
function asCalled({ commands, functions }: DataPath, route: Route, spec: CommandSpec, view: CommandView): CommandSpec {
  if (spec.name === 'EVAL') return asRead(commands, spec, view)
  if (spec.name !== 'FCALL' || route.shadow === null || view.argc < 2) return spec
  const found = functions.find(route.primary.storeName, nameIn(view))
  return typeof found === 'object' && found.readOnly ? (commands.byName('FCALL_RO') ?? spec) : spec
}

/** The pipeline's lane, where all of its writes are of one database and before or behind each other at every node. */
function laneOf(store: Store, pipeline: Pipeline): number {
  if (store.cluster !== null) return NOBODY
  for (const shared of store.sharedPipelines()) if (shared === pipeline) return pipeline.lane
  return NOBODY
}

/** Whether the write's reply can be told together with those of its neighbours (`settleWrites`). */
function isPlainWrite({ routes, plan }: DataPath, { spec, keyHash, flags }: InFlight, view: CommandView): boolean {
  if (routes.trivial === null || keyHash === 0 || flags !== MIRRORED || plan.renames) return false
  return plan.route.config.mirror.mode === 'async' && goesAsSent(spec!, view.argc)
}
