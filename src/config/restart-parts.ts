import { isDeepStrictEqual } from 'node:util'
import type { Config } from './config.ts'

/** Parts of the configuration that differ and take effect at the next start only. */
export function partsThatNeedRestart(old: Config, next: Config): string[] {
  return (['admin', 'log', 'stateDir', 'intentLog'] as const).filter(
    (part) => !isDeepStrictEqual(old[part], next[part]),
  )
}
