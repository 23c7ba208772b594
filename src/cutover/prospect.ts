import type { Config } from '../config/config.ts'
import type { Change } from '../proxy/messages.ts'
import { type GateView, sentenceOf } from './gates.ts'
import type { KeyRegion, SameKeyspaces } from './key-regions.ts'
import type { StepWarning } from './step-warnings.ts'
import type { Transition } from './transition.ts'

/** A change that was looked at, and not made yet. */
export interface Prospect {
  readonly next: Config
  readonly same: SameKeyspaces
  readonly regions: readonly KeyRegion[]
  readonly steps: readonly Transition[]
  readonly gates: readonly GateView[]
  readonly warnings: readonly StepWarning[]
}

type Steps = Pick<Prospect, 'steps'>

/** Steps that move the authority. */
export function movingIn({ steps }: Steps): Transition[] {
  return steps.filter((step) => step.holds && step.movesPrimary)
}

/** What the data path has to know of the routes. */
export function routesIn(prospect: Steps): Pick<Change, 'hold' | 'recall' | 'rerouted' | 'needsEqual' | 'forget'> {
  const { steps } = prospect
  const holding = steps.filter((step) => step.holds)
  const namesIn = (of: readonly Transition[]): string[] => [
    ...new Set(of.flatMap(({ before, route }) => [before, route])),
  ]
  return {
    hold: namesIn(holding),
    recall: namesIn(holding.filter(({ recalls }) => recalls)),
    rerouted: steps.flatMap(({ keys, before, route }) => (keys.length === 0 ? [] : [[before, route] as const])),
    needsEqual: movingIn(prospect).map(({ before }) => before),
    forget: steps.filter((step) => step.forgetsShadow).map((step) => step.route),
  }
}

/** What is told of a change that is made, or only looked at: without force, gates that were closed have opened before it was made. */
export function gatesTold(
  prospect: Prospect,
  dryRun: boolean,
  force: boolean,
): { closedGates: string[]; gates: GateView[] } {
  return {
    closedGates: dryRun && !force ? closedIn(prospect) : [],
    gates: prospect.gates.filter(({ open }) => dryRun || force || open),
  }
}

/** A sentence for each gate that is closed. */
export function closedIn({ gates }: Prospect): string[] {
  return gates.filter((gate) => !gate.open).map(sentenceOf)
}
