import { repliesWithKeys } from '../../command/reply-keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { ASTERISK, MINUS, UNDERSCORE } from '../../resp/bytes.ts'
import { FRAME } from '../../resp/encode.ts'
import { markedPage } from '../../routing/element-cursor.ts'
import type { Route } from '../../routing/route.ts'
import { isServerWide } from '../../routing/server-wide.ts'
import type { Store } from '../../upstream/store.ts'
import { mapReplyOf } from '../forward/map-reply.ts'
import { countedReply } from '../pubsub/counted-reply.ts'
import type { Session } from '../session/session.ts'
import { answerInExec, changesSubscriptions } from './own-answers.ts'
import type { TransactionSubscriptions } from './transaction-subscriptions.ts'
import type { TransactionTracking } from './transaction-tracking.ts'

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

/** What commands of a transaction change beside the keys. */
export interface BesideExec {
  /** Where it is executed. */
  readonly store: Store
  readonly subscriptions: TransactionSubscriptions | null
  readonly tracking: TransactionTracking | null
}

/**
 * EXEC's reply with the application's key names in it, `offsets` being its elements; null: as it came. CLIENT REPLY inside it holds from there on: what is not wanted is missing, and nothing says so,
 * as at a server.
 */
export function mapExecReply(
  session: Session,
  queue: readonly Queued[],
  buf: Buffer,
  offsets: Int32Array,
  beside: BesideExec,
): Buffer | null {
  let changed = false
  const parts: Buffer[] = session.replyMode === 'off' ? [] : [Buffer.from(`*${offsets.length - 1}\r\n`)]
  for (let i = 0; i + 1 < offsets.length; i++) {
    const queued = queue[i]
    const from = offsets[i]!
    const to = offsets[i + 1]!
    const mapped = queued === undefined ? null : mapElement(session, queued, buf, from, to, beside)
    if (mapped !== null) changed = true
    if (session.replyMode !== 'off' || isConfirmation(queued)) parts.push(mapped ?? buf.subarray(from, to))
  }
  return changed ? Buffer.concat(parts) : null
}

/** What confirms a subscription, or its end, is told whatever the client wants to hear. */
function isConfirmation(queued: Queued | undefined): boolean {
  const spec = queued?.spec ?? null
  return spec !== null && changesSubscriptions(spec)
}

function mapElement(
  session: Session,
  queued: Queued,
  buf: Buffer,
  from: number,
  to: number,
  beside: BesideExec,
): Buffer | null {
  const { spec, bytes } = queued
  const own =
    beside.tracking?.replyTo(queued, beside.store, buf, from, to) ?? beside.subscriptions?.pong(queued) ?? null
  if (own !== null) return own
  if (queued.answered) return answerInExec(session, spec!, bytes, buf, from, beside.store, beside.subscriptions)
  if (spec?.handling === 'publish' && session.path.sharedSubscriptions.any)
    return countedReply(session.path, spec, bytes, 0, bytes.length, buf, from)
  if (spec === null || !queued.renamed) return null
  // The keys of a namespace, which the script lists that deleted them.
  if (isServerWide(spec)) return buf[from] === ASTERISK ? FRAME.OK : null
  if (spec.handling === 'elements') return markedPage(queued.route.cursorMarks, buf, from, to)
  if (!repliesWithKeys(spec) && spec.handling !== 'keyspace') return null
  return mapReplyOf(session.path, spec, bytes, buf, from, to, session.protocol)
}

/**
 * EXEC's nil (a watched key had changed), and the error for a transaction that the server had given up before: nothing was executed. Any other reply that is not the array
 * of the commands' replies leaves the question open.
 */
export function execDidNothing(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] === UNDERSCORE || (buf[start] === ASTERISK && buf[start + 1] === MINUS)) return true
  return buf.toString('latin1', start, Math.min(end, start + ABORTED.length)) === ABORTED
}

const ABORTED = '-EXECABORT'
