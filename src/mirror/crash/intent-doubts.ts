import type { DataPathContext } from '../context.ts'
import type { DirtyReason } from '../dirty/dirty-key.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import type { VerifyCause } from '../dirty/verify-marks.ts'
import { doubtFunctions } from '../functions/function-changes.ts'
import type { IntentVisitor } from './intent-segment.ts'

/** What a segment says that means nothing any more: of keys, and which functions are removed. */
export interface Over {
  key(key: Buffer): boolean
  readonly functions: boolean
}

const NOTHING: Over = { key: () => false, functions: false }

/** Makes dirty what the intent log names, and asks for a verify of every mirrored route, loudly, where not even that is known. */
export class IntentDoubts {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet

  constructor(context: DataPathContext, dirty: DirtySet) {
    this.#context = context
    this.#dirty = dirty
  }

  /** For reading a segment: whatever it names may not have reached the shadow. */
  marking(reason: DirtyReason, over: Over = NOTHING): IntentVisitor {
    const context = this.#context
    const dirty = this.#dirty
    const nowMs = performance.now()
    return {
      key: (database, key) => {
        const { route } = context.routes.find(key, 0, key.length)
        if (route.shadow !== null && !over.key(key)) dirty.mark(route, database, key, reason, nowMs)
      },
      everyKey: () => this.#markRoutes('server-wide'),
      functions: (removed) => doubtFunctions(context, dirty, over.functions ? null : removed),
      unnamedKeys: () => this.#markRoutes('script'),
    }
  }

  /** What may differ is not known. `what`: as the log says it. */
  verifyAll(what: string, error: unknown, file: string | null = null): void {
    this.say('error', `${what}; every mirrored route needs a verify`, error, { file })
    this.#markRoutes('state-lost')
  }

  /** A line about what is known on disk; `error`: what the file system said. */
  say(
    level: 'info' | 'warn' | 'error',
    msg: string,
    error: unknown = null,
    fields: { readonly keys?: number; readonly file?: string | null; readonly route?: string } = {},
  ): void {
    this.#context.log({ level, msg, fields: { ...fields, error: error === null ? null : messageOf(error) } })
  }

  #markRoutes(cause: VerifyCause): void {
    const { routes } = this.#context.routes
    for (const { name, shadow } of routes) if (shadow !== null) this.#dirty.toVerify.mark(name, cause)
  }
}

/** For a line of the log. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
