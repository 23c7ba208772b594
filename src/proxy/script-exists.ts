import type { CommandView } from '../resp/command-view.ts'
import { decodeReply } from '../resp/decode.ts'
import type { Reply } from '../resp/reply.ts'
import { ask, pipelineTo } from './ask-stores.ts'
import { namedScript } from './script-calls.ts'
import type { Session } from './session.ts'

/** SCRIPT EXISTS: a script is there where every primary in use has it. Those whose sources have passed are loaded first. False: has to wait. */
export function scriptExists(session: Session, view: CommandView): boolean {
  const { path } = session
  const { routes } = path
  // Asked on its connections to several stores: what it has under way comes first.
  if (session.own !== null) {
    if (session.order.owed > 0) return session.waitFor('replies')
    session.own.carryCaching([])
  }
  if (routes.fallback.state.switching) return session.waitFor('hold')
  for (const store of routes.primaryStores) {
    const pipeline = pipelineTo(session, store)
    if (pipeline.full) return session.noRoom(pipeline)
  }
  const bytes = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
  const questions = routes.primaryStores.map((store) => {
    const pipeline = pipelineTo(session, store)
    for (let i = 2; i < view.argc; i++) {
      const script = namedScript(path, view, i)
      if (script !== null) path.scriptLoads.ahead(pipeline, script)
    }
    return { pipeline, bytes }
  })
  ask(session, questions, (frames) => {
    const [first, ...others] = frames.map((frame) => decodeReply(frame, 0, frame.length) as number[])
    return first!.map((one, i): Reply => (others.every((other) => other[i] === one) ? one : 0))
  })
  return true
}
