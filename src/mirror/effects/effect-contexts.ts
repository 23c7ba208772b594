import { steadyNowMs } from '../../base/clock.ts'
import type { Args, EffectContext } from '../../command/effects.ts'
import type { ScriptFacts } from '../../command/scripts/script-facts.ts'
import type { Route } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import type { UndeclaredKeys } from '../keys/undeclared-keys.ts'
import type { ScriptEffects } from './script-effects.ts'

/** Times of expiry on the two sides are never further apart because of a slow answer. */
const LATE_MS = 500

/** What effects are computed by, beside the command and its reply: the primary's clock, what the two stores know, what a script does. */
export class EffectContexts {
  readonly #context: DataPathContext
  readonly #scripts: ScriptEffects
  readonly #undeclared: UndeclaredKeys
  /** Whether the effect at hand was computed by the time. */
  readonly #timed = { used: false }
  /** Of the client of the command at hand. */
  #database = 0

  constructor(context: DataPathContext, scripts: ScriptEffects, undeclared: UndeclaredKeys) {
    this.#context = context
    this.#scripts = scripts
    this.#undeclared = undeclared
  }

  /** For a command of the route, from a client in this database. It holds until the next one is asked for. */
  of(route: Route, database: number): EffectContext {
    const { copies } = this.#context
    const primary = copies.factsOf(route.primary.storeName)
    const shadow = copies.factsOf(route.shadow?.storeName ?? '')
    const timed = this.#timed
    const undeclared = this.#undeclared
    timed.used = false
    this.#database = database
    return {
      get nowMs() {
        timed.used = true
        return Math.round(steadyNowMs()) + primary.clockOffsetMs
      },
      get told() {
        return undeclared.areTold(route)
      },
      shadowHasAbsoluteExpiry: shadow.hasAbsoluteExpiry,
      shadowHasHsetex: shadow.hasHsetex,
      haveFieldTimes: primary.hasFieldTimes && shadow.hasFieldTimes,
      canAsk: true,
      scriptFacts: this.#scriptFacts,
      sameNames: this.#context.routes.scriptsMeanTheSame,
      sameMake: primary.make !== null && primary.make === shadow.make,
      namedAlike: this.#namedAlike,
    }
  }

  /** What has been computed depends on when the command was executed, and that is not known to half a second by the primary's clock. `sentMs`: when it left, by the coarse clock. */
  guessedMoment({ primary }: Route, sentMs: number): boolean {
    if (!this.#timed.used) return false
    const nowMs = performance.now()
    return nowMs - sentMs > LATE_MS || !this.#context.copies.knowsClock(primary.storeName, nowMs)
  }

  readonly #scriptFacts = (args: Args): ScriptFacts | null => this.#scripts.factsOf(args, this.#database)

  readonly #namedAlike = (keys: Args): boolean =>
    keys.every((key) => {
      const { primary, shadow } = this.#context.routes.find(key, 0, key.length)
      return primary === null && shadow === null
    })
}
