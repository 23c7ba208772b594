import { repliesWithKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import { ASTERISK, MINUS, UNDERSCORE } from '../resp/bytes.ts'
import { errorFrame } from '../resp/encode.ts'
import type { Route } from '../routing/route.ts'
import { mapReplyOf } from './map-reply.ts'
import { answerInExec } from './own-answers.ts'
import type { Session } from './session.ts'
import type { TransactionSubscriptions } from './transaction-subscriptions.ts'

/** A command of a transaction. */
export interface Queued {
  readonly spec: CommandSpec | null
  readonly route: Route
  readonly database: number
  /** The application's frame. */
  readonly bytes: Buffer
  readonly renamed: boolean
  /** The server has a placeholder in its place: its answer is made here. */
  readonly answered: boolean
}

/** EXEC's reply with the application's key names in it, `offsets` being its elements; null: as it came. */
export function mapExecReply(
  session: Session,
  queue: readonly Queued[],
  buf: Buffer,
  offsets: Int32Array,
  subscriptions: TransactionSubscriptions | null,
): Buffer | null {
  let changed = false
  const parts: Buffer[] = [Buffer.from(`*${offsets.length - 1}\r\n`)]
  for (let i = 0; i + 1 < offsets.length; i++) {
    const queued = queue[i]
    const from = offsets[i]!
    const to = offsets[i + 1]!
    const mapped = queued === undefined ? null : mapElement(session, queued, buf, from, to, subscriptions)
    if (mapped !== null) changed = true
    parts.push(mapped ?? buf.subarray(from, to))
  }
  return changed ? Buffer.concat(parts) : null
}

function mapElement(
  session: Session,
  queued: Queued,
  buf: Buffer,
  from: number,
  to: number,
  subscriptions: TransactionSubscriptions | null,
): Buffer | null {
  const { spec, bytes } = queued
  const own = withdrawn(queued, buf, from) ?? subscriptions?.pong(queued) ?? null
  if (own !== null) return own
  if (queued.answered) return answerInExec(session, spec!, bytes, buf, from, subscriptions)
  if (spec === null || !queued.renamed) return null
  if (!repliesWithKeys(spec) && spec.handling !== 'keyspace') return null
  return mapReplyOf(session.path, spec, bytes, buf, from, to, session.protocol)
}

/**
 * The connection of a transaction is not the client's for long. Tracking, which the server has agreed to and which would end with it, without the client's knowledge, is answered with an
 * error. The connection is not used again.
 */
function withdrawn({ spec, bytes }: Queued, buf: Buffer, at: number): Buffer | null {
  if (buf[at] === MINUS || spec?.name !== 'CLIENT TRACKING') return null
  return /\r\non\r\n/i.test(bytes.toString('latin1', 0, 64)) ? NO_TRACKING : null
}

const NO_TRACKING = errorFrame('ERR Understudy does not turn tracking on inside MULTI')

/**
 * EXEC's nil (a watched key had changed), and the error for a transaction that the server had given up before: nothing was executed. Any other reply that is not the array
 * of the commands' replies leaves the question open.
 */
export function execDidNothing(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] === UNDERSCORE || (buf[start] === ASTERISK && buf[start + 1] === MINUS)) return true
  return buf.toString('latin1', start, Math.min(end, start + ABORTED.length)) === ABORTED
}

const ABORTED = '-EXECABORT'
