import type { CommandSpec } from '../../command/spec.ts'
import { MINUS, PLUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand } from '../../resp/encode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { askOwn } from '../forward/ask-own.ts'
import { forward } from '../forward/forward.ts'
import { wordArg } from '../session/arguments.ts'
import { OwnConnection } from '../session/own-connection.ts'
import type { Session } from '../session/session.ts'
import { ClientTracking } from './client-tracking.ts'
import { offFrameWords, trackingRequest } from './tracking-request.ts'

/**
 * CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR (redis.io, "Client-side caching"). What a client reads is remembered by the server for the connection
 * that it reads on, so a tracking client has connections of its own: one to each primary.
 *
 *   RESP3                the server's pushes come down these connections between the replies, and leave in that order
 *   REDIRECT id          a second connection to each takes the invalidations (`Redirection`) and hands them to the client of that id: as a push, or as a message of
 *                        `__redis__:invalidate` where it speaks RESP2 and is subscribed
 *
 * Keys in invalidations have the names that the application gave them. After a switch the client is told to forget everything, and tracks at the new primaries.
 *
 * False: has to wait.
 */
export function trackingCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const own = session.own
  const tracking = own?.tracking ?? null
  switch (spec.name) {
    case 'CLIENT GETREDIR':
      session.answer(Buffer.from(`:${tracking?.redirect ?? -1}\r\n`))
      return true
    case 'CLIENT TRACKING':
      if (wordArg(view, 2) === 'ON') return start(session, view)
      if (tracking !== null && wordArg(view, 2) === 'OFF') return stop(session, view)
      if (hasWord(view, 'REDIRECT')) return off(session, view)
      break
    case 'CLIENT TRACKINGINFO': {
      if (tracking === null) break
      if (session.order.owed > 0) return session.waitFor('replies')
      const bytes = encodeOwn(['CLIENT', 'TRACKINGINFO'])
      askOwn(session, [{ pipeline: own!.pipeline, bytes }], (frame) => tracking.asGiven(frame))
      return true
    }
    case 'CLIENT CACHING': {
      if (own === null || tracking === null) break
      if (session.order.owed > 0) return session.waitFor('replies')
      const word = wordArg(view, 2)
      const bytes = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
      askOwn(session, [{ pipeline: own.pipeline, bytes }], (reply) => {
        if (reply[0] === PLUS) own.willCache(word)
        return reply
      })
      return true
    }
  }
  // On any other connection these change nothing, and the server's words about it are the right ones.
  return forward(session, view, spec)
}

/** CLIENT TRACKING ON. The server says what is wrong with it. */
function start(session: Session, view: CommandView): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  // Names and primaries are about to change.
  if (session.path.routes.routes.some(({ state }) => state.switching)) return session.waitFor('hold')
  session.own ??= new OwnConnection(session, false)
  session.own.reachAll()
  new ClientTracking(session, session.own, trackingRequest(session, view)).begin()
  return true
}

function stop(session: Session, view: CommandView): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  const own = session.own!
  const bytes = encodeCommand(offFrameWords(session, view))
  const questions = [...own.all()].map(([, pipeline]) => ({ pipeline, bytes }))
  askOwn(session, questions, (reply) => {
    if (reply[0] === MINUS) return reply
    own.tracking?.close()
    own.tracking = null
    session.own?.leave()
    return reply
  })
  return true
}

/** `CLIENT TRACKING OFF REDIRECT id` of a client that does not track: nothing changes, but the server looks at every option. */
function off(session: Session, view: CommandView): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  const { path } = session
  const pipeline =
    session.own?.pipeline ??
    path.primaryOf(path.routes.fallback).shared(session.database, session.protocol, session.user)
  if (pipeline.full) return session.noRoom(pipeline)
  askOwn(session, [{ pipeline, bytes: encodeCommand(offFrameWords(session, view)) }], (reply) => reply)
  return true
}

function hasWord(view: CommandView, word: string): boolean {
  for (let i = 2; i < view.argc; i++) if (wordArg(view, i) === word) return true
  return false
}
