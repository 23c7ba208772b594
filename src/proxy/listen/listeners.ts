import type { ListenConfig } from '../../config/config.ts'
import { endpointIdentity } from '../../config/endpoint.ts'
import type { DataPath } from '../data-path.ts'
import { Listener } from './listener.ts'

/** A change of the listeners that has been found possible, and has not happened. */
export interface PreparedListeners {
  commit(): void
  cancel(): void
}

/** The open listeners of one data path. */
export class Listeners {
  readonly #path: DataPath
  #open: Listener[] = []

  constructor(path: DataPath) {
    this.#path = path
  }

  /** Resolves with the ports in the order of the configuration. Rejects with LISTEN_FAILED. */
  async start(configs: readonly ListenConfig[]): Promise<number[]> {
    const ports: number[] = []
    for (const config of configs) {
      const listener = new Listener(config, this.#path)
      ports.push(await listener.open())
      this.#open.push(listener)
    }
    return ports
  }

  /**
   * New addresses are opened and new certificates read before anything else changes; an address that stays is not closed, even when it turns to TLS. Rejects with
   * LISTEN_FAILED, and everything is as it was.
   */
  async prepare(configs: readonly ListenConfig[]): Promise<PreparedListeners> {
    const commits: (() => void)[] = []
    const opened: Listener[] = []
    const kept = new Set<Listener>()
    const cancel = (): void => {
      for (const listener of opened) listener.close()
    }
    try {
      for (const config of configs) {
        const known = this.#open.find((listener) => !kept.has(listener) && sameAddress(listener.config, config))
        if (known === undefined) {
          const listener = new Listener(config, this.#path)
          await listener.open()
          opened.push(listener)
        } else {
          kept.add(known)
          commits.push(known.prepare(config))
        }
      }
    } catch (error) {
      cancel()
      throw error
    }
    const commit = (): void => {
      for (const change of commits) change()
      for (const listener of this.#open) if (!kept.has(listener)) listener.close()
      this.#open = [...kept, ...opened]
    }
    return { commit, cancel }
  }

  /** No new clients; the connected ones stay. */
  close(): void {
    for (const listener of this.#open) listener.close()
  }
}

/** Port 0 is another port each time it is opened: only the very same entry is the same. */
function sameAddress(one: ListenConfig, other: ListenConfig): boolean {
  if (one.endpoint.kind === 'tcp' && one.endpoint.port === 0) return one.url === other.url
  return endpointIdentity(one.endpoint) === endpointIdentity(other.endpoint)
}
