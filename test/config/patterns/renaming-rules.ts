import type { Config } from '../../../src/config/config.ts'
import { parseConfig } from '../../../src/config/file/load.ts'
import { ConfigError, type Problem } from '../../../src/config/file/problems.ts'

/** Patterns of keys and what they are called at the target; null: the same. */
export type Rules = readonly (readonly [from: string, to: string | null])[]

/** A route for each rule, from the store `old` to `target`, behind one for the rest (`routes[0]`): the configuration, or why it is refused. */
export function configOfRules(rules: Rules, target: string): Config | readonly Problem[] {
  const file = {
    stores: { old: 'redis://a', new: 'redis://b', other: 'redis://c' },
    routes: [
      { name: 'rest', keys: ['*'], source: 'other' },
      ...rules.map(([from, to], i) => ({
        name: `r${i}`,
        keys: [from],
        source: 'old',
        target: { store: target, keys: to === null ? {} : { [from]: to } },
      })),
    ],
  }
  try {
    return parseConfig(JSON.stringify(file), { path: 'test', env: {} }).config
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}
