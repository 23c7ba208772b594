import type { InFlight, Loss } from './in-flight.ts'
import type { SendQueue } from './send-queue.ts'

/** A store that runs a script and nothing else. */
export interface Busy {
  /** Its `-BUSY` text, without the dash. */
  readonly text: string
  /** Whose script it may be (`ReplyOwner.client`). */
  readonly clients: ReadonlySet<object>
}

/**
 * What waits to be written is answered in the words of a busy store, as not executed. Commands of those whose script it may be stay: they are appended once more, before anybody is told; `leaves`: what is appended is to be written.
 */
export function refuseUnsent(queue: SendQueue, { text, clients }: Busy, leaves: () => void): void {
  const unsent = queue.takeUnsent()
  const isKept = ({ owner }: InFlight): boolean => owner!.client !== undefined && clients.has(owner!.client)
  for (const slot of unsent) if (isKept(slot)) queue.appendAgain(slot)
  leaves()
  const loss: Loss = { mayHaveRun: false, refused: true, text }
  for (const slot of unsent) if (!isKept(slot)) slot.owner!.lost(slot, loss)
}
