import type { LogLine } from '../observability/log.ts'
import type { Route } from '../routing/route.ts'

/** Reports scripts that use keys which they do not declare, each once for a route. By their SHA-1: a source may hold names of keys. */
export class ScriptDoubts {
  readonly #log: (line: LogLine) => void
  readonly #reported = new Set<string>()

  constructor(log: (line: LogLine) => void) {
    this.#log = log
  }

  report(sha: string, route: Route): void {
    const name = `${route.name} ${sha}`
    if (this.#reported.has(name) || this.#reported.size >= MAX_REPORTED) return
    this.#reported.add(name)
    this.#log({
      level: 'warn',
      msg: 'a script uses keys which it does not declare as KEYS; where they have other names at the store it reaches the wrong ones',
      fields: { route: route.name, sha },
    })
  }
}

const MAX_REPORTED = 1_000
