import type { Config } from '../../src/config/config.ts'
import { transitions } from '../../src/cutover/transition.ts'
import type { Change } from '../../src/proxy/messages.ts'

/** What the sidecar asks of the data path to put `next` in force, gates apart. */
export function changeBetween(old: Config, next: Config, generation: number): Change {
  const steps = transitions(old, next)
  const holding = steps.filter((step) => step.holds)
  return {
    config: next,
    endpoints: {},
    generation,
    hold: holding.flatMap(({ before, route }) => [before, route]),
    rerouted: steps.flatMap(({ keys, before, route }) => (keys.length === 0 ? [] : [[before, route] as const])),
    needsEqual: holding.filter((step) => step.movesPrimary).map(({ before }) => before),
    forget: steps.filter((step) => step.forgetsShadow).map(({ route }) => route),
    holdTimeoutMs: 30_000,
  }
}
