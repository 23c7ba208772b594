import type { CommandView } from '../../resp/command-view.ts'
import { inAllOf } from '../../upstream/cluster/merge.ts'
import { ask, pipelineTo } from '../forward/ask-stores.ts'
import type { Session } from '../session/session.ts'
import { namedScript } from './script-calls.ts'

/**
 * SCRIPT EXISTS: a script is there where every primary in use has it. Those whose sources have passed are loaded first. One that gives no answer is left out, unless it is that of `*`: what is called there is loaded ahead of the
 * call, as far as it is known. False: has to wait.
 */
export function scriptExists(session: Session, view: CommandView): boolean {
  const { path } = session
  const { routes } = path
  // Asked on its connections to several stores: what it has under way comes first.
  if (session.own !== null) {
    if (session.order.owed > 0) return session.waitFor('replies')
    session.own.carryCaching([])
  }
  if (routes.fallback.state.switching) return session.waitFor('hold')
  const lead = pipelineTo(session, routes.fallback.primary.store)
  if (lead.full) return session.noRoom(lead)
  const bytes = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
  const questions = routes.primaryStores.flatMap((store) => {
    const pipeline = pipelineTo(session, store)
    const isOptional = pipeline !== lead
    if (isOptional && (pipeline.state === 'down' || pipeline.full)) return []
    for (let i = 2; i < view.argc; i++) {
      const script = namedScript(path, view, i)
      if (script !== null) path.scriptLoads.ahead(pipeline, script)
    }
    return [{ pipeline, bytes, isOptional }]
  })
  ask(session, questions, inAllOf)
  return true
}
