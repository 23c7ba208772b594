import { READ_BUFFER } from '../base/read-buffer.ts'
import { errorFields } from '../observability/log-error.ts'
import { ReplyFramer } from '../resp/reply-framer.ts'
import type { InFlight, InFlightRing } from '../upstream/in-flight.ts'
import type { ReplyRun } from '../upstream/reply-run.ts'
import { isMalformed } from './malformed.ts'
import type { Session } from './session.ts'

/**
 * The primary's replies to a run of mirrored writes (`TOGETHER`): what goes to the shadow as it is goes there together, as far as the writes are neighbours; the rest one by one, each at its place. The
 * client has its replies after this.
 */
export function settleWrites(session: Session, { count, start, end, step }: ReplyRun, ring: InFlightRing): void {
  const { tickets, mirror } = session.path
  const { runs } = mirror
  session.writesOwed -= count
  for (let i = 0, at = start; i < count; i++) {
    const slot = ring.at(i)
    const next = step > 0 ? at + step : framer.frame(READ_BUFFER, at, end)
    const contested = tickets.left(slot, slot.lane)
    if (contested || !runs.take(slot, READ_BUFFER, at)) {
      runs.send()
      settleAlone(session, slot, at, next, contested)
    }
    at = next
  }
  runs.send()
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
