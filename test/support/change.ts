import type { Config } from '../../src/config/config.ts'
import { routesIn } from '../../src/cutover/prospect.ts'
import { transitions } from '../../src/cutover/transition.ts'
import type { Change } from '../../src/proxy/messages.ts'

/** What the sidecar asks of the data path to put `next` in force, gates apart. */
export function changeBetween(old: Config, next: Config, generation: number): Change {
  return {
    ...routesIn({ steps: transitions(old, next) }),
    config: next,
    endpoints: {},
    generation,
    holdTimeoutMs: 30_000,
  }
}
