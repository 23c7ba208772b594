import { CommandTable } from '../../command/table.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPath } from '../data-path.ts'
import { askCommands } from './server-identity.ts'

/**
 * The primary knows best which commands there are, and what it is: asked by each new connection to the fallback route's primary that clients of RESP2 share. Others speak another protocol, or have the rights of a client.
 */
export class PrimaryCommands {
  readonly #path: DataPath
  readonly #builtin: CommandTable
  #learntFrom: Pipeline | null = null

  /** `builtin`: what the server's list is joined with. */
  constructor(path: DataPath, builtin: CommandTable) {
    this.#path = path
    this.#builtin = builtin
  }

  /** A shared connection to that store is up. */
  connected(store: Store, pipeline: Pipeline): void {
    const path = this.#path
    if (store !== path.primaryOf(path.routes.fallback) || pipeline !== store.shared(0, 2)) return
    this.#learntFrom = pipeline
    path.server.learn(pipeline)
    askCommands(pipeline, (reply) => {
      if (reply === null) this.#learntFrom = null
      else path.commands = CommandTable.fromServer(reply, this.#builtin)
    })
  }

  /** After a switch: the primary has been connected for long, and may know other commands than the one before. */
  routesChanged(): void {
    const store = this.#path.primaryOf(this.#path.routes.fallback)
    const pipeline = store.shared(0, 2)
    if (pipeline.state === 'up' && this.#learntFrom !== pipeline) this.connected(store, pipeline)
  }
}
