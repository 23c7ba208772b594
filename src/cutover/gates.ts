import type { Config, RouteConfig } from '../config/config.ts'
import type { EndName } from '../jobs/end-keys.ts'
import type { Stats } from '../proxy/messages.ts'
import { rolesOf } from '../routing/route.ts'
import type { Completeness } from './completeness.ts'
import { type Transition, transitions } from './transition.ts'

export interface GateSources {
  readonly stats: () => Promise<Stats>
  /** The store answers its health probe. */
  readonly isUp: (store: string) => boolean
  readonly completeness: Completeness
  /** A cleanup of the route is under way. */
  readonly isCleaning: (route: string) => boolean
}

interface Gate {
  readonly text: string
  /** It may open by itself in a moment. */
  readonly passing: boolean
}

/** How long a switch waits, without holding anybody, for the stores to become equal before it asks for the hold. */
const APPROACH_MS = 10_000
const LOOK_EVERY_MS = 50
/** A backlog that a hold can drain in a blink. */
const SMALL_BACKLOG = 1_000

/** What has to be so before a route's authority moves, or its reads do. Each closed gate is a sentence. */
export class Gates {
  readonly #sources: GateSources

  constructor(sources: GateSources) {
    this.#sources = sources
  }

  /** Those that are closed now on the way from one configuration to the next. */
  async closed(old: Config, next: Config): Promise<string[]> {
    return (await this.#look(old, next)).map((gate) => gate.text)
  }

  /** Waits for those that may open by themselves; gives what stayed closed. */
  async approach(old: Config, next: Config): Promise<string[]> {
    const deadline = performance.now() + APPROACH_MS
    for (;;) {
      const gates = await this.#look(old, next)
      if (gates.every((gate) => !gate.passing) || performance.now() > deadline) return gates.map((gate) => gate.text)
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  async #look(old: Config, next: Config): Promise<Gate[]> {
    const steps = transitions(old, next).filter((step) => step.movesPrimary || readsMove(step))
    if (steps.length === 0) return []
    const stats = await this.#sources.stats()
    const gates = await Promise.all(steps.map((step) => this.#of(step, old, stats)))
    return gates.flat()
  }

  async #of(step: Transition, old: Config, stats: Stats): Promise<Gate[]> {
    const gate = (text: string, passing = false): Gate => ({ text: `route '${step.route}': ${text}`, passing })
    if (step.unsafe !== null) return [gate(step.unsafe)]
    const route = old.routes.find((other) => other.name === step.route)!
    const gates: Gate[] = []
    for (const end of reliedOn(step)) {
      const lacking = await this.#sources.completeness.lacking(old, route, end)
      if (lacking !== null) gates.push(gate(lacking))
    }
    if (!step.movesPrimary) return gates
    if (this.#sources.isCleaning(step.route)) gates.push(gate('a cleanup is deleting keys: let it end, or cancel it'))
    return [...gates, ...this.#ofMirror(route, stats, gate)]
  }

  #ofMirror(route: RouteConfig, stats: Stats, gate: (text: string, passing?: boolean) => Gate): Gate[] {
    const of = stats.routes[route.name]
    const { shadow: end } = rolesOf(route.phase)
    const shadow = end === null ? undefined : route[end]?.store
    if (of === undefined || shadow === undefined) return []
    const gates: Gate[] = []
    if (!this.#sources.isUp(shadow)) gates.push(gate(`store '${shadow}' does not answer`, true))
    if (of.needsVerify) {
      gates.push(gate(`keys that nobody can name may differ: run 'understudy verify ${route.name}'`))
    }
    if (of.dirtyKeys > 0) gates.push(gate(`${of.dirtyKeys} keys are not copied to '${shadow}' yet`, true))
    if (of.backlogCommands > SMALL_BACKLOG) {
      gates.push(gate(`${of.backlogCommands} writes still wait for '${shadow}'`, true))
    }
    return gates
  }
}

/** Reads are to be answered by the other end. */
function readsMove(step: Transition): boolean {
  return step.to === 'read-target' && step.from !== 'read-target'
}

/** Ends that are relied on after the step, and were not before. */
function reliedOn(step: Transition): EndName[] {
  const ends: EndName[] = step.movesPrimary ? [rolesOf(step.to).primary] : []
  return readsMove(step) && rolesOf(step.from).primary === 'source' ? [...ends, 'target'] : ends
}
