import { readFile } from 'node:fs/promises'
import { UnderstudyError } from '../base/errors.ts'
import type { Config, Phase, RouteConfig } from './config.ts'
import { editPhase } from './edit.ts'
import { parseConfig } from './load.ts'

/** A route's phase as it is to be, and what that makes of the configuration. Nothing is in force or written yet. */
export interface PhaseChange {
  readonly route: RouteConfig
  readonly next: Config
  /** The text of the file with the new phase; null: there is no file. */
  readonly edited: string | null
}

/**
 * What `phase` for the route `name` would change. `configPath` null: started from URLs, there is no file.
 *
 * Throws UnderstudyError NOT_FOUND when there is no such route, ADMIN_REFUSED when the environment sets its phase, and what `editPhase` and `parseConfig` throw.
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
  if (configPath === null) {
    const routes = config.routes.map((other) => (other === route ? { ...other, phase } : other))
    return { route, next: { ...config, routes }, edited: null }
  }
  const edited = editPhase(await readFile(configPath, 'utf8'), name, phase, env)
  const next = parseConfig(edited, { path: configPath, env }).config
  if (next.routes.find((other) => other.name === name)?.phase !== phase) {
    throw new UnderstudyError(
      'ADMIN_REFUSED',
      `the phase of '${name}' is set by an environment variable; change it there`,
    )
  }
  return { route, next, edited }
}
