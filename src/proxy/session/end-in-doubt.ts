import { errorFrame } from '../../resp/encode.ts'
import type { Loss } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Session } from './session.ts'

/**
 * The store has not judged what decides about all that the client says next: its database, or its user. Its connection ends with the answer: what it has sent already is meant for the new one, and must not be executed as
 * before. At a Redis alone such a command is never lost without the connection.
 */
export function endInDoubt(session: Session, seq: number, text: string): void {
  const frame = errorFrame(text)
  session.reply(seq, frame, 0, frame.length)
  session.end()
}

/** The command got no reply, and yet the store's answer: it does not let such a connection in. */
export function isStoresAnswer(loss: Loss, pipeline: Pipeline): boolean {
  return loss.refused === true || loss.text === pipeline.error
}
