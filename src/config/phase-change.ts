import { isDeepStrictEqual } from 'node:util'
import { UnderstudyError } from '../base/errors.ts'
import type { Config, Phase, RouteConfig } from './config.ts'
import { editPhase } from './file/edit.ts'
import { parseConfig, readConfigFile } from './file/load.ts'
import { replaceFile } from './file/replace-file.ts'

/** The phase that routes are to have, and what that makes of the configuration. Nothing is in force or written yet. */
export interface PhaseChange {
  /** As they are in force, in the order of their names. */
  readonly routes: readonly RouteConfig[]
  /** The configuration in force, and nothing but these phases is another. */
  readonly next: Config
  /** Writes the phase into the file, when it is in force. What has been saved there meanwhile stays. Throws ADMIN_REFUSED when that cannot be. */
  save(): Promise<void>
}

/**
 * What `phase` for the routes `names` would change. `configPath` null: started from URLs, there is no file.
 *
 * Throws UnderstudyError NOT_FOUND when there is no such route, ADMIN_REFUSED when the environment sets the phase of one or the file holds other changes that are not in force, and what `readConfigFile`,
 * `editPhase` and `parseConfig` throw.
 */
export async function phaseChange(
  config: Config,
  configPath: string | null,
  env: NodeJS.ProcessEnv,
  names: readonly string[],
  phase: Phase,
): Promise<PhaseChange> {
  const routes = names.map((name) => {
    const route = config.routes.find((other) => other.name === name)
    if (route === undefined) throw new UnderstudyError('NOT_FOUND', `no route is called '${name}'`)
    return route
  })
  const alone = {
    ...config,
    routes: config.routes.map((other) => (routes.includes(other) ? { ...other, phase } : other)),
  }
  if (configPath === null) return { routes, next: alone, save: async () => {} }
  const text = readConfigFile(configPath)
  let edited: string
  try {
    edited = editPhases(text, names, phase, env)
  } catch (error) {
    // What is wrong with the file says more, and where.
    parseConfig(text, { path: configPath, env })
    throw error
  }
  const next = parseConfig(edited, { path: configPath, env }).config
  for (const name of names) {
    if (next.routes.find((other) => other.name === name)?.phase === phase) continue
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
  return { routes, next, save: () => save(configPath, text, edited, names, phase, env) }
}

function editPhases(text: string, names: readonly string[], phase: Phase, env: NodeJS.ProcessEnv): string {
  return names.reduce((edited, name) => editPhase(edited, name, phase, env), text)
}

async function save(
  path: string,
  text: string,
  edited: string,
  names: readonly string[],
  phase: Phase,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const unsaved = (what: string, cause: unknown): UnderstudyError => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new UnderstudyError(
      'ADMIN_REFUSED',
      `the phase is in force, but ${what}: ${reason}; write \`phase: ${phase}\` for ${named(names)}, or the next reload takes it back`,
      { cause },
    )
  }
  let now: string
  try {
    const saved = readConfigFile(path)
    now = saved === text ? edited : editPhases(saved, names, phase, env)
  } catch (cause) {
    throw unsaved('the configuration file was changed meanwhile and it could not be written there', cause)
  }
  await replaceFile(path, now).catch((cause: unknown) => {
    throw unsaved('the configuration file could not be written', cause)
  })
}

function named(routes: readonly string[]): string {
  return `${routes.length === 1 ? 'route' : 'routes'} ${routes.map((name) => `'${name}'`).join(', ')}`
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
