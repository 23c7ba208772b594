import { repliesWithKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import { ASTERISK, MINUS, UNDERSCORE } from '../resp/bytes.ts'
import { errorFrame } from '../resp/encode.ts'
import type { Route } from '../routing/route.ts'
import { mapReplyOf } from './map-reply.ts'
import { answerInExec } from './own-answers.ts'
import type { Session } from './session.ts'

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
): Buffer | null {
  const { path, protocol } = session
  let changed = false
  const parts: Buffer[] = [Buffer.from(`*${offsets.length - 1}\r\n`)]
  for (let i = 0; i + 1 < offsets.length; i++) {
    const queued = queue[i]
    const from = offsets[i]!
    const to = offsets[i + 1]!
    const mapped = turnsTrackingOn(queued, buf, from)
      ? NO_TRACKING
      : queued?.answered
        ? answerInExec(session, queued.spec!, queued.bytes)
        : queued?.spec && queued.renamed && repliesWithKeys(queued.spec)
          ? mapReplyOf(path, queued.spec, queued.bytes, buf, from, to, protocol)
          : null
    if (mapped !== null) changed = true
    parts.push(mapped ?? buf.subarray(from, to))
  }
  return changed ? Buffer.concat(parts) : null
}

/** The connection of a transaction is not the client's for long: tracking would end with it, and the client would not know. */
function turnsTrackingOn(queued: Queued | undefined, buf: Buffer, at: number): boolean {
  if (queued?.spec?.name !== 'CLIENT TRACKING' || buf[at] === MINUS) return false
  return /\r\non\r\n/i.test(queued.bytes.toString('latin1', 0, 64))
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
