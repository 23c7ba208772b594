import { READ_BUFFER } from '../../base/read-buffer.ts'
import { errorFields } from '../../observability/log-error.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { ReplyFramer } from '../../resp/reply-framer.ts'
import { InFlight, type InFlightRing } from '../../upstream/pipeline/in-flight.ts'
import type { ReplyRun } from '../../upstream/pipeline/reply-run.ts'
import { isMalformed } from '../session/malformed.ts'
import type { Session } from '../session/session.ts'

/**
 * The primary's replies to a run of mirrored writes (`TOGETHER`): what goes to the shadow as it is goes there together, as far as the writes are neighbours; the rest one by one, each at its place. The
 * client has its replies after this.
 */
export function settleWrites(session: Session, { count, start, end, step }: ReplyRun, ring: InFlightRing): void {
  const { tickets, mirror } = session.path
  const { runs } = mirror
  session.writesOwed -= count
  let at = start
  for (let place = 0, left = count; left > 0; place++) {
    const slot = ring.at(place)
    const some = Math.min(slot.count, left)
    left -= some
    const contested = some < slot.count ? tickets.someLeft(slot) : tickets.left(slot, slot.lane)
    if (slot.count === 1) at = settleOne(session, slot, at, end, step, contested)
    else if (!contested && step > 0 && some === slot.count && runs.takeShared(slot, READ_BUFFER, at, step))
      at += some * step
    else at = settleShared(session, slot, some, at, end, step, contested)
  }
  runs.send()
}

/** One after the other, the first `count` of the writes that share a place. Gives the end of their replies. */
function settleShared(
  session: Session,
  slot: InFlight,
  count: number,
  start: number,
  end: number,
  step: number,
  contested: boolean,
): number {
  Object.assign(one, slot)
  one.count = 1
  const { buf } = slot.chunk!
  let at = start
  let next = slot.start
  for (let i = 0; i < count; i++) {
    parser.parse(buf, next, slot.end)
    one.start = next
    one.end = next = parser.next
    at = settleOne(session, one, at, end, step, contested)
  }
  one.clear()
  return at
}

/** Gives the end of its reply. */
function settleOne(
  session: Session,
  slot: InFlight,
  at: number,
  end: number,
  step: number,
  contested: boolean,
): number {
  const { runs } = session.path.mirror
  const next = step > 0 ? at + step : framer.frame(READ_BUFFER, at, end)
  if (contested || !runs.take(slot, READ_BUFFER, at)) {
    runs.send()
    settleAlone(session, slot, at, next, contested)
  }
  return next
}

function settleAlone({ path }: Session, slot: InFlight, start: number, end: number, contested: boolean): void {
  try {
    path.mirror.settled(slot, READ_BUFFER, start, end, contested, null)
  } catch (error) {
    // As in `settleMarked`.
    if (!isMalformed(error)) path.log({ level: 'error', msg: 'a defect in Understudy', fields: errorFields(error) })
    path.mirror.lostOnPrimary(slot)
  }
}

const framer = new ReplyFramer()
/** For bytes that are whole and were parsed before. */
const parser = new CommandParser()
/** The one of those that share a place which is being looked at. */
const one = new InFlight()
