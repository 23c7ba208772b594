import { isDeepStrictEqual } from 'node:util'
import { UnderstudyError } from '../base/errors.ts'
import type { Config, Phase, RouteConfig } from './config.ts'
import { editPhase } from './edit.ts'
import { parseConfig, readConfigFile } from './load.ts'
import { replaceFile } from './replace-file.ts'

/** A route's phase as it is to be, and what that makes of the configuration. Nothing is in force or written yet. */
export interface PhaseChange {
  readonly route: RouteConfig
  /** The configuration in force, and nothing but this phase is another. */
  readonly next: Config
  /** Writes the phase into the file, when it is in force. What has been saved there meanwhile stays. Throws ADMIN_REFUSED when that cannot be. */
  save(): Promise<void>
}

/**
 * What `phase` for the route `name` would change. `configPath` null: started from URLs, there is no file.
 *
 * Throws UnderstudyError NOT_FOUND when there is no such route, ADMIN_REFUSED when the environment sets its phase or the file holds other changes that are not in force, and what `readConfigFile`,
 * `editPhase` and `parseConfig` throw.
 */
export async function phaseChange(
  config: Config,
  configPath: string | null,
  env: NodeJS.ProcessEnv,
  name: string,
  phase: Phase,
): Promise<PhaseChange> {
  const route = config.routes.find((other) => other.name === name)
  if (route === undefined) throw new UnderstudyError('NOT_FOUND', `no route is called '${name}'`)
  const routes = config.routes.map((other) => (other === route ? { ...other, phase } : other))
  const alone = { ...config, routes }
  if (configPath === null) return { route, next: alone, save: async () => {} }
  const text = readConfigFile(configPath)
  const edited = editPhase(text, name, phase, env)
  const next = parseConfig(edited, { path: configPath, env }).config
  if (next.routes.find((other) => other.name === name)?.phase !== phase) {
    throw new UnderstudyError(
      'ADMIN_REFUSED',
      `the phase of '${name}' is set by an environment variable; change it there`,
    )
  }
  const others = differences(alone, next)
  // They have gates, and reasons to be refused, of their own: nobody has asked for them here, least of all by force.
  if (others.length > 0) {
    throw new UnderstudyError(
      'ADMIN_REFUSED',
      `the configuration file holds other changes that are not in force (${others.join(', ')}): put them in force by \`understudy reload\`, or take them back, and then change the phase`,
    )
  }
  return { route, next, save: () => save(configPath, text, edited, name, phase, env) }
}

async function save(
  path: string,
  text: string,
  edited: string,
  name: string,
  phase: Phase,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const unsaved = (what: string, cause: unknown): UnderstudyError => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new UnderstudyError(
      'ADMIN_REFUSED',
      `the phase is in force, but ${what}: ${reason}; write \`phase: ${phase}\` for route '${name}', or the next reload takes it back`,
      { cause },
    )
  }
  let now: string
  try {
    const saved = readConfigFile(path)
    now = saved === text ? edited : editPhase(saved, name, phase, env)
  } catch (cause) {
    throw unsaved('the configuration file was changed meanwhile and it could not be written there', cause)
  }
  await replaceFile(path, now).catch((cause: unknown) => {
    throw unsaved('the configuration file could not be written', cause)
  })
}

/** In what two configurations differ, by the names of the file. */
function differences(one: Config, other: Config): string[] {
  const parts = (Object.keys(one) as (keyof Config)[]).filter((part) => !isDeepStrictEqual(one[part], other[part]))
  return parts.flatMap((part) => {
    if (part === 'routes') {
      const names = differing(byName(one.routes), byName(other.routes))
      return names.length === 0 ? ['the order of the routes'] : names.map((name) => `route '${name}'`)
    }
    if (part === 'stores') return differing(one.stores, other.stores).map((name) => `store '${name}'`)
    return [part]
  })
}

function byName(routes: readonly RouteConfig[]): Readonly<Record<string, RouteConfig>> {
  return Object.fromEntries(routes.map((route) => [route.name, route]))
}

function differing(one: Readonly<Record<string, unknown>>, other: Readonly<Record<string, unknown>>): string[] {
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].filter((name) => !isDeepStrictEqual(one[name], other[name]))
}
