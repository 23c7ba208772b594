import { encodeCommand } from '../resp/encode.ts'
import type { InFlight } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { DataPathContext } from './context.ts'
import type { DirtySet } from './dirty-set.ts'

const INFO = encodeCommand(['INFO', 'server'])

/**
 * Notices that a shadow is not the server that it was: restarted, or another one under the same address. What it had acknowledged it may have lost by that (all of it without persistence, the last second with the
 * usual one, a replica's lag after a failover), and which keys these are nobody can tell. So its routes need a verify (decision 0026).
 */
export class ShadowIdentity {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  /** `run_id` by store name. */
  readonly #known = new Map<string, string>()

  constructor(context: DataPathContext, dirty: DirtySet) {
    this.#context = context
    this.#dirty = dirty
  }

  /** A connection of the mirror to this store has come up. */
  connected(store: string, pipeline: Pipeline): void {
    const owner = {
      settle: (_slot: InFlight, buf: Buffer, start: number, end: number): void => {
        const runId = /run_id:(\w+)/.exec(buf.toString('latin1', start, end))?.[1]
        if (runId !== undefined) this.#is(store, runId)
      },
      lost: () => {},
      timedOut: () => {},
    }
    pipeline.push(owner, INFO, 0, INFO.length)
    pipeline.hurry()
  }

  #is(store: string, runId: string): void {
    const known = this.#known.get(store)
    this.#known.set(store, runId)
    if (known === undefined || known === runId) return
    const routes = this.#context.routes.routes.filter(({ shadow }) => shadow?.storeName === store)
    for (const { name } of routes) this.#dirty.markRoute(name)
    if (routes.length === 0) return
    this.#context.log({
      level: 'warn',
      msg: 'the shadow was restarted or replaced; what it had may be lost, so its routes need a verify',
      fields: { store },
    })
  }
}
