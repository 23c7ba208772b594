import { isDeepStrictEqual } from 'node:util'
import { routingOf } from '../../config/routing.ts'
import { exchangedRoutes, primariesOf } from '../../mirror/crash/crash-recovery.ts'
import { formerNamesIn } from '../../mirror/stores/known-stores.ts'
import { noteKeptUp } from '../../routing/kept-up.ts'
import type { DataPath } from '../data-path.ts'
import type { PreparedListeners } from '../listen/listeners.ts'
import type { ApplyResult, Change } from '../messages.ts'
import type { RuntimeParts } from '../runtime-parts.ts'
import { Fence } from './fence.ts'
import { LeftBehind } from './left-behind.ts'
import { becomeQuiet } from './quiet.ts'
import { succeedStores } from './successors.ts'

/** Puts a new configuration in force, or nothing of it. */
export async function putInForce(parts: RuntimeParts, change: Change): Promise<ApplyResult> {
  const { path } = parts
  let listeners: PreparedListeners
  try {
    listeners = await parts.listeners.prepare(change.config.listen)
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) }
  }
  const fence = new Fence(path, parts.jobs.writes)
  const held = new Set(change.hold)
  const startedMs = performance.now()
  if (held.size > 0) fence.hold(held, new Set(change.recall ?? held))
  const busy = held.size > 0 ? await becomeQuiet(parts, fence, change) : null
  const leftBehind = new LeftBehind(path, parts.jobs.writes, fence, change)
  const rerouted = change.rerouted ?? []
  const reason = busy ?? parts.durability?.entering(change.config, leftBehind.names, rerouted) ?? null
  if (reason !== null) {
    fence.release()
    listeners.cancel()
    return { ok: false, reason }
  }
  const { config: before } = path.routes
  const wasCalled = formerNamesIn(routingOf(before), routingOf(change.config))
  const exchanged = exchangedRoutes(primariesOf(before), change.config, wasCalled)
  for (const name of exchanged) parts.dirty.toVerify.exchange(name)
  const left = leftBehind.leave()
  const old = path.stores
  const stores = parts.stores.of(change.config, old)
  for (const store of old) if (!stores.includes(store)) parts.places.leave(store.options.config)
  // Not before: what is called off must not find its stores elsewhere when it connects again.
  parts.places.learn(change.endpoints)
  const former = { routes: path.routes, stores: old }
  path.routes = parts.table(change.config, change.generation)
  noteKeptUp(former.routes, path.routes, (route) => parts.dirty.toVerify.ofKeys(route))
  path.stores = stores
  // Before anything wakes those who wait: routes that have come with the table are held as the others.
  fence.entered(rerouted.flat())
  succeedStores(former, path, change)
  if (!isDeepStrictEqual(path.routes.unserved, former.routes.unserved)) leaveUnserved(path)
  path.clients = change.config.clients
  // Before the mirror writes to what was a primary.
  path.storePause.run(parts.clock.nowMs)
  // What goes with keys to another route has to be found there first.
  for (const route of change.forget) if (!rerouted.some(([from]) => from === route)) parts.dirty.forget(route)
  parts.functions.routesChanged()
  parts.rehoming.begin(rerouted, former.routes)
  parts.jobs.writes.routesChanged()
  // So that what is known of stores is written down under the names that they have now.
  parts.identity.routesChanged()
  parts.limits.routesChanged()
  parts.durability?.entered()
  parts.sameServers.look()
  await fence.moveSubscribers()
  fence.release()
  const pauseMs = performance.now() - startedMs
  listeners.commit()
  for (const store of old) if (!stores.includes(store)) parts.stores.retire(store)
  parts.connectAll()
  return { ok: true, pauseMs: held.size > 0 ? pauseMs : 0, left }
}

/** Nobody stays in a database that is not served any more. */
function leaveUnserved({ stores, sessions, routes }: DataPath): void {
  for (const store of stores) store.leaveUnserved()
  // Connections of their own may have been led there by SELECT.
  for (const session of sessions) if (session.own !== null && routes.unserved.has(session.database)) session.end()
}
