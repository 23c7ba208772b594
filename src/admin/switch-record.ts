import type { Config } from '../config/config.ts'
import { consequencesOf, type LeftInStep, type Transition } from '../cutover/transition.ts'
import { CUTOVER_PAUSE_BOUNDS } from '../observability/bounds.ts'
import { Histogram } from '../observability/histogram.ts'
import type { Log } from '../observability/log.ts'
import type { ControlEvent } from './control.ts'

export interface SwitchRecordOptions {
  readonly log: Log
  readonly emit: (event: ControlEvent) => void
  /** Null while no history is kept. */
  readonly history: () => { switched(route: string, from: string, to: string, pauseMs: number): void } | null
}

/** What is remembered and told of phases that came into force: in the log, to who listens to events, in the history, in the metric of pauses. */
export class SwitchRecord {
  readonly #options: SwitchRecordOptions
  readonly #pauses = new Map<string, Histogram>()

  constructor(options: SwitchRecordOptions) {
    this.#options = options
  }

  /** How long commands of the route were held by its switches, in seconds. */
  pausesOf(route: string): Histogram {
    let histogram = this.#pauses.get(route)
    if (histogram === undefined) this.#pauses.set(route, (histogram = new Histogram(CUTOVER_PAUSE_BOUNDS)))
    return histogram
  }

  /** `config`: the one that is in force since. `left`: behind, at the former primary. */
  inForce({ route, from, to }: Transition, config: Config, pauseMs: number, left: LeftInStep): void {
    const { log, emit, history } = this.#options
    this.pausesOf(route).record(pauseMs / 1000)
    history()?.switched(route, from, to, pauseMs)
    log.info('phase in force', { route, from, to, pauseMs: Math.round(pauseMs * 10) / 10 })
    const consequences = consequencesOf(config.routes.find(({ name }) => name === route)!, to, from, left)
    const facts = { dryRun: false, pauseMs, consequences, closedGates: [], gates: [] }
    emit({ type: 'phase', data: { route, from, to, ...facts } })
  }

  /** Keys that went to another route. `sentence`: what became of them. */
  keysMoved({ route, before, holds, movesPrimary }: Transition, sentence: string, pauseMs: number): void {
    if (holds) this.pausesOf(route).record(pauseMs / 1000)
    const fields = { route, from: before, to: route, reason: sentence, pauseMs: Math.round(pauseMs * 10) / 10 }
    if (movesPrimary) this.#options.log.warn('keys have another primary', fields)
    else this.#options.log.info('keys have gone to another route', fields)
  }
}
