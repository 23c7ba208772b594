import { isDeepStrictEqual } from 'node:util'
import type { Config } from './config.ts'

const PARTS = ['admin', 'log', 'stateDir', 'intentLog'] as const

/** Parts of the configuration that differ and take effect at the next start only. */
export function partsThatNeedRestart(old: Config, next: Config): string[] {
  return PARTS.filter((part) => !isDeepStrictEqual(old[part], next[part]))
}

/** What goes by a configuration that was taken up later than that of the start: all but the parts that a restart is needed for. */
export function inForceSince(start: Config, config: Config): Config {
  const { admin, log, stateDir, intentLog } = start
  return { ...config, admin, log, stateDir, intentLog }
}
