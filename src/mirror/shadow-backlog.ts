import type { Route } from '../routing/route.ts'
import type { InFlight } from '../upstream/in-flight.ts'

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
