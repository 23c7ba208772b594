import type { CommandView } from '../../resp/command-view.ts'

/** How many keys a client watches, as CLIENT LIST shows it: one that is named again in the same database counts once. */
export class WatchedKeys {
  readonly #keys = new Set<string>()
  #bytes = 0
  /** Named when there was no room to remember more. */
  #further = 0

  get count(): number {
    return this.#keys.size + this.#further
  }

  /** A WATCH in that database. */
  add(database: number, view: CommandView): void {
    for (let i = 1; i < view.argc; i++) {
      const length = view.end[i]! - view.start[i]!
      if (this.#bytes + length > MAX_BYTES) {
        this.#further++
        continue
      }
      this.#bytes += length
      this.#keys.add(`${database} ${view.buf.toString('latin1', view.start[i]!, view.end[i]!)}`)
    }
  }
}

const MAX_BYTES = 16 * 1024 * 1024
