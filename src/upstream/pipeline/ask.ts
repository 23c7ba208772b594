import type { InFlight } from './in-flight.ts'
import type { Pipeline } from './pipeline.ts'

/** A question of Understudy's own, at its place among what is pushed; it leaves with this turn. Where nodes of a cluster answer it, nobody waits for the last of them. `answered`: the reply as text; null: there will be none. */
export function ask(pipeline: Pipeline, command: Buffer, answered: (reply: string | null) => void): void {
  const owner = {
    settle: (_slot: InFlight, buf: Buffer, start: number, end: number) => answered(buf.toString('latin1', start, end)),
    lost: () => answered(null),
    timedOut: () => {},
    detached: () => {},
  }
  pipeline.push(owner, command, 0, command.length)
  pipeline.hurry()
}
