import { PHASES, type Phase } from '../config.ts'
import { didYouMean } from './suggest.ts'

type Environment = Readonly<Record<string, string | undefined>>

const GENERAL = 'UNDERSTUDY_PHASE'

/** `everything-else` -> `UNDERSTUDY_PHASE_EVERYTHING_ELSE`. */
export function phaseVariable(route: string): string {
  return `${GENERAL}_${route.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`
}

/**
 * The variable that decides the route's phase instead of the file, or null. The route's own goes before `UNDERSTUDY_PHASE`, and
 * that one leaves routes without a target alone: they have no other phase than `passthrough`. An empty variable counts as unset.
 */
export function phaseOverride(env: Environment, route: string, hasTarget: boolean): string | null {
  const own = phaseVariable(route)
  if (env[own]) return own
  return env[GENERAL] && hasTarget ? GENERAL : null
}

/** The variable's value as a phase, or what is wrong with it. */
export function phaseFromVariable(env: Environment, variable: string): Phase | { problem: string } {
  const value = env[variable] ?? ''
  if ((PHASES as readonly string[]).includes(value)) return value as Phase
  const meant = didYouMean(value, PHASES)
  const shown = meant === '' ? '' : ` ${JSON.stringify(value)},`
  return { problem: `the environment variable ${variable} is${shown} not one of ${PHASES.join(', ')}${meant}` }
}

/** Variables that look like an override and belong to no route. */
export function strayOverrides(env: Environment, routes: readonly string[]): string[] {
  const known = new Set(routes.map(phaseVariable))
  return Object.keys(env).filter((key) => key.startsWith(`${GENERAL}_`) && env[key] && !known.has(key))
}
