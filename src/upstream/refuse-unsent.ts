import type { InFlight, Loss, ReplyOwner } from './in-flight.ts'
import type { SendQueue } from './send-queue.ts'

/** A store that runs a script and nothing else. */
export interface Busy {
  /** Its `-BUSY` text, without the dash. */
  readonly text: string
  /** Whose script it may be (`ReplyOwner.client`). */
  readonly clients: ReadonlySet<object>
}

/**
 * What waits to be written is answered in the words of a busy store, as not executed. Commands of those whose script it may be stay: they are given to `push` once more, before anybody is told.
 */
export function refuseUnsent(
  queue: SendQueue,
  { text, clients }: Busy,
  push: (owner: ReplyOwner, buf: Buffer, from: number, to: number) => InFlight,
): void {
  const unsent = queue.takeUnsent()
  const isKept = ({ owner }: InFlight): boolean => owner!.client !== undefined && clients.has(owner!.client)
  for (const slot of unsent) {
    if (!isKept(slot)) continue
    const again = push(slot.owner!, slot.chunk!.buf, slot.start, slot.end)
    const { chunk, start, end, position } = again
    Object.assign(again, slot, { chunk, start, end, position })
  }
  const loss: Loss = { mayHaveRun: false, refused: true, text }
  for (const slot of unsent) if (!isKept(slot)) slot.owner!.lost(slot, loss)
}
