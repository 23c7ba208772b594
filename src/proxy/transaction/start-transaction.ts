import type { KnownScript } from '../../command/scripts/script-book.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { errorFrame, FRAME } from '../../resp/encode.ts'
import { showToMonitors } from '../clients/monitor-feed.ts'
import { noConnectionLeft } from '../session/borrow.ts'
import { enterPin, leavePin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { Transaction } from './transaction.ts'
import { wholeTransaction } from './whole-transaction.ts'

/**
 * MULTI, WATCH and what follows.
 *
 *   whole   MULTI ... EXEC has arrived in one piece: it goes down the shared pipeline contiguously, no connection is needed, and its place in history is exact
 *   pinned  WATCH, or a MULTI that waits for its QUEUEDs: a dedicated connection until EXEC, DISCARD or UNWATCH
 *
 * Either way the effects of a transaction are taken from EXEC's reply, command by command, and leave for the shadow as one unit.
 */
export function startTransaction(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (spec.name !== 'MULTI' && spec.name !== 'WATCH') session.own?.carryCaching([])
  switch (spec.name) {
    case 'EXEC':
      session.answerError('ERR EXEC without MULTI')
      return true
    case 'DISCARD':
    case 'UNWATCH':
      session.answer(spec.name === 'UNWATCH' ? FRAME.OK : errorFrame('ERR DISCARD without MULTI'))
      if (session.path.monitors.size > 0) showToMonitors(session, view, spec)
      return true
    case 'MULTI': {
      called.length = 0
      const route = view.buf === session.input.buf ? wholeTransaction(session, view.frameEnd, called) : null
      if (typeof route === 'string') return session.waitFor(route)
      if (route !== null) {
        const store = session.path.primaryOf(route)
        const pipeline = session.own?.to(store) ?? store.shared(session.database, session.protocol, session.user)
        // On a connection of its own a store that is busy with a script can answer each part itself.
        if (pipeline.busyFor(session) !== null) break
        if (pipeline.full) return session.waitFor('room')
        const whole = new Transaction(session, pipeline, route)
        // Behind MULTI they would be queued.
        let isAhead = false
        for (const script of called) isAhead = session.path.scriptLoads.ahead(pipeline, script) !== null || isAhead
        if (isAhead) session.own?.cacheAgain(pipeline)
        enterPin(session, whole)
        return whole.dispatch(view, spec)
      }
    }
  }
  // From here on commands go to another connection: the ones under way come first.
  if (session.order.owed > 0) return session.waitFor('replies')
  const { path } = session
  const crowded = noConnectionLeft(session, path.primaryOf(path.routes.fallback))
  if (crowded !== null) {
    session.answerError(crowded)
    return true
  }
  const transaction = new Transaction(session, null, null)
  enterPin(session, transaction)
  const taken = transaction.dispatch(view, spec)
  if (!taken || transaction.idle) leavePin(session, transaction)
  return taken
}

/** Of the transaction at hand. */
const called: KnownScript[] = []
