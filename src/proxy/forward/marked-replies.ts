import { applicationBytes, mayWriteBeforeError } from '../../mirror/effects/settled-command.ts'
import { passedBy } from '../../mirror/functions/function-changes.ts'
import { errorFields } from '../../observability/log-error.ts'
import { MINUS } from '../../resp/bytes.ts'
import type { Route, RouteState } from '../../routing/route.ts'
import { isServerWide } from '../../routing/server-wide.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import type { DataPath } from '../data-path.ts'
import { countedReply } from '../pubsub/counted-reply.ts'
import { isMalformed } from '../session/malformed.ts'
import type { Session } from '../session/session.ts'
import { mapReply } from './map-reply.ts'
import { COUNTED, FUNCTIONS, MAP_KEYS, MIRRORED, MIXED, OF_ANY_ROUTE, SAMPLED, UNDECLARED } from './marks.ts'

/** The primary's reply to a command with marks (`marks.ts`): what they ask for, and then the client has it. */
export function settleMarked(
  session: Session,
  slot: InFlight,
  route: Route,
  buf: Buffer,
  start: number,
  end: number,
): void {
  const { path } = session
  const mirrored = (slot.flags & MIRRORED) !== 0
  let mapped: Buffer | null = null
  let contested = false
  leaveOthers(slot)
  if (mirrored) {
    session.writesOwed--
    contested = path.tickets.left(slot, slot.lane)
    if (isServerWide(slot.spec)) path.mirror.undeclared.flushed(slot.spec!, route, buf[start] !== MINUS)
  }
  if ((slot.flags & FUNCTIONS) !== 0) functionsChanged(path, slot, route, buf[start] !== MINUS)
  if ((slot.flags & UNDECLARED) !== 0)
    path.mirror.undeclared.ended(route, !isUnknownScript(buf, start), (slot.flags & OF_ANY_ROUTE) === 0)
  try {
    if ((slot.flags & MAP_KEYS) !== 0 && !slot.timedOut)
      mapped = mapReply(path, slot, buf, start, end, session.protocol)
    else if ((slot.flags & COUNTED) !== 0) {
      const { spec, original, chunk } = slot
      mapped =
        original === null
          ? countedReply(path, spec!, chunk!.buf, slot.start, slot.end, buf, start)
          : countedReply(path, spec!, original, 0, original.length, buf, start)
    }
    if (mirrored) {
      const others = (slot.flags & MIXED) === 0 ? null : (slot.extra as RouteState[])
      const terms = path.syncReplies.termsOf(route, others)
      if (terms !== null && mayHaveWritten(slot, buf, start) && !slot.timedOut) {
        const frame = mapped ?? Buffer.from(buf.subarray(start, end))
        path.syncReplies.hold(session, slot.seq, route, terms, frame, (waiter) =>
          path.mirror.settled(slot, buf, start, end, contested, waiter),
        )
        return
      }
      path.mirror.settled(slot, buf, start, end, contested, null)
    } else if ((slot.flags & SAMPLED) !== 0) {
      const bytes = slot.original ?? slot.chunk!.buf
      const from = slot.original === null ? slot.start : 0
      const to = slot.original === null ? slot.end : slot.original.length
      const { spec, database, lane, ticket } = slot
      const tookMs = path.clock.nowMs - slot.queuedAtMs
      path.comparer.sampled(spec!, route, database, bytes, from, to, buf, start, end, lane, ticket, tookMs)
    }
  } catch (error) {
    // Its end was found, so the next reply begins where it should; but nobody can tell what this one did.
    if (!isMalformed(error)) path.log({ level: 'error', msg: 'a defect in Understudy', fields: errorFields(error) })
    if (mirrored) path.mirror.lostOnPrimary(slot)
  }
  if (slot.timedOut) return
  if (mapped === null) session.reply(slot.seq, buf, start, end)
  else session.reply(slot.seq, mapped, 0, mapped.length)
}

/** A command that changes functions has been answered, or lost. `maybe`: it may have been executed. */
export function functionsChanged({ functions }: DataPath, slot: InFlight, route: Route, maybe: boolean): void {
  if (!maybe) return functions.changed(route.primary.storeName, [])
  const { bytes, start, end } = applicationBytes(slot)
  functions.changed(route.primary.storeName, [passedBy(slot.spec!, bytes, start, end)])
}

/** A script that answers an error may have written before. */
function mayHaveWritten({ spec }: InFlight, buf: Buffer, start: number): boolean {
  return buf[start] !== MINUS || (mayWriteBeforeError(spec) && !isUnknownScript(buf, start))
}

/** `-NOSCRIPT`, `-ERR Function not found` */
function isUnknownScript(buf: Buffer, start: number): boolean {
  if (buf[start] !== MINUS) return false
  const text = buf.toString('latin1', start + 1, start + 23)
  return text.startsWith('NOSCRIPT') || text === 'ERR Function not found'
}

/** The command is no longer in flight for the other routes that its keys belong to. */
export function leaveOthers(slot: InFlight): void {
  if ((slot.flags & MIXED) === 0) return
  for (const state of slot.extra as { inFlight: number }[]) state.inFlight--
}
