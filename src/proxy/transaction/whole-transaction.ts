import type { KnownScript } from '../../command/scripts/script-book.ts'
import type { Handling } from '../../command/spec.ts'
import { planCommand } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import { changesFunctions, refuseServerWide } from '../../routing/server-wide.ts'
import { isHttp } from '../listen/http.ts'
import { asksForSubscribers } from '../pubsub/pending-subscriptions.ts'
import { calledScript } from '../scripts/script-calls.ts'
import type { Session } from '../session/session.ts'
import type { Wait } from '../session/wait.ts'

const PLAIN: ReadonlySet<Handling> = new Set(['forward', 'blocking', 'keyspace', 'elements', 'publish'])

/**
 * Looks ahead, behind a MULTI: the route of a transaction that has arrived to its EXEC and can go down the shared pipeline; null: it has to be pinned. Or what it had better wait for than take a connection of its own: a key that it
 * writes is being copied, or the primary is asked to tell what its scripts write.
 * `called`: takes the scripts that it calls by SHA-1.
 */
export function wholeTransaction(session: Session, from: number, called: KnownScript[]): Route | Wait | null {
  const { path } = session
  // CLIENT PAUSE may hold one of its commands, with the shared connection in MULTI.
  if (path.pause !== null) return null
  // CLIENT REPLY SKIP is about MULTI alone, and what is behind it would have to wait for that.
  if (session.replyMode === 'skip') return null
  let route: Route | null = null
  for (const view of session.input.ahead(from)) {
    const spec = path.commands.lookup(view) ?? null
    if (spec?.name === 'EXEC') return view.argc === 1 ? (route ?? path.routes.fallback) : null
    // An unknown command is the server's to refuse; whatever would change the connection is not for the shared one.
    if (spec !== null && !PLAIN.has(spec.handling)) return null
    if (spec !== null && spec.firstKey === 0) {
      const script = calledScript(path, spec, view)
      if (script !== null) called.push(script)
    }
    if (spec === null && isHttp(view)) return null
    // It waits for them, and nobody else is to wait with it.
    if (spec !== null && path.pendingSubscriptions.any && asksForSubscribers(spec)) return null
    if (spec?.write && refuseServerWide(path.routes, spec) !== null) return null
    // What calls behind it do has to be told, or they are refused: both before EXEC.
    if (changesFunctions(spec)) return null
    planCommand(path.routes, spec, view, path.plan)
    const { plan } = path
    if (plan.refusal !== null || plan.route.state.switching) return null
    if (session.isHeld(view, spec)) return 'hold'
    if (plan.awaitsFunctions) return 'room'
    if (spec?.write && path.mirror.undeclared.keepWaiting(spec, view, plan.route)) return 'room'
    if (plan.bound || (plan.keyed && plan.positions.count > 0)) {
      if (route !== null && route.primary.store !== plan.route.primary.store) return null
      route ??= plan.route
    }
  }
  return null
}
