import type { Route } from '../../routing/route.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'

/** Places in the queue of a database: small commands take more memory by their places, about 400 bytes each, than by their own. Writes that go together have one place. */
export const MAX_WAITING = 120_000

/** A command of a copy is about to wait for the shadow: counted like a write. `leftBacklog` has to follow. */
export function joinBacklog({ state }: Route, bytes: number): void {
  state.backlogCommands++
  state.backlogBytes += bytes
}

/** It has been answered, or lost. */
export function leftBacklog(slot: InFlight): void {
  const { state } = slot.route as Route
  state.backlogCommands--
  state.backlogBytes -= slot.end - slot.start
}
