import { encodeReply, FRAME } from '../../resp/encode.ts'
import type { Reply } from '../../resp/reply.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { isMalformed } from '../session/malformed.ts'
import type { Session } from '../session/session.ts'
import { Gather, type Question } from './gather.ts'

/** The connection that the client's ordinary commands take to a store: another one would not see what they have just written, and not know the client's flags. */
export function pipelineTo({ path, own, database, protocol, user }: Session, store: number): Pipeline {
  const at = path.stores[store]!
  return own?.to(at) ?? at.shared(database, protocol, user)
}

/** Answers the command at hand with what `answer` makes of the replies; it may throw `NoAnswer`. */
export function ask(
  session: Session,
  questions: readonly Question[],
  answer: (frames: readonly Buffer[]) => Reply,
): void {
  const seq = session.order.assign()
  const { protocol } = session
  const reply = (frame: Buffer): void => session.reply(seq, frame, 0, frame.length)
  if (questions.length === 0) return reply(FRAME.EMPTY_ARRAY)
  const done = (frames: readonly Buffer[]): void => {
    let frame: Buffer
    try {
      frame = encodeReply(answer(frames), protocol)
    } catch (error) {
      if (error instanceof NoAnswer) return session.replyError(seq, error.message)
      if (!isMalformed(error)) throw error
      return session.replyError(seq, 'ERR Understudy: a store answered with something that is no reply to this command')
    }
    reply(frame)
  }
  gather(session, questions, done, (text) => session.replyError(seq, text))
}

/** Counted as in flight for every route: a switch waits for it, since it is answered under the names of now. */
export function gather(
  session: Session,
  questions: readonly Question[],
  done: (frames: readonly Buffer[]) => void,
  failed: (text: string) => void,
): void {
  const states = session.path.routes.routes.map((route) => route.state)
  for (const state of states) state.inFlight++
  const left = (): void => {
    for (const state of states) state.inFlight--
  }
  new Gather(
    (frames) => {
      left()
      done(frames)
    },
    (text) => {
      left()
      failed(text)
    },
  ).ask(questions)
}

/** There is no right answer: the message is the error for the client, with its code. */
export class NoAnswer extends Error {}
