import { serverMark } from '../../base/server-mark.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'

/**
 * Notices that both ends of a route are one server, which the configuration cannot know: two addresses of it, a proxy in front. Every write would be executed there twice, and every comparison would find it equal to itself. So such
 * a shadow refuses every connection: what is written is dirty at once, for effects that waited would be executed as soon as the routes are others, and it stays so until the route has another target.
 *
 *   a shared connection comes up ─▶ INFO server in its greeting ─┬─ a client's: shadows that are the same server lose theirs
 *                                                                └─ the mirror's: not taken, if the primary of one of its routes is the same server
 *
 * Whichever comes first, nothing is mirrored in between: without a client's connection there is no write. Where the configuration has no credentials for the store, those of clients that log in there themselves are asked; a user without
 * the right to INFO does not tell.
 */
export class SameServers {
  readonly #context: DataPathContext
  /** What their servers have said they are; of a cluster, by address. */
  readonly #marks = new WeakMap<Store, Map<string, string>>()
  readonly #said = new Set<string>()

  constructor(context: DataPathContext) {
    this.#context = context
  }

  /** A server of the store has said `info` (INFO server) to a new connection. A text: why the connection must not be used. */
  met(store: Store, forMirror: boolean, address: string, info: string): string | null {
    const mark = serverMark(info)
    const marks = this.#marks.get(store) ?? new Map<string, string>()
    this.#marks.set(store, marks)
    if (mark === null) marks.delete(address)
    else marks.set(address, mark)
    if (!forMirror) this.look()
    else if (this.sameAs(store) !== null) return this.#refuse(store)
    return null
  }

  /** Other routes are in force, or a primary is known: what is connected and must not be is parted. */
  look(): void {
    const { routes, stores } = this.#context
    for (const index of new Set(routes.routes.flatMap(({ shadow }) => (shadow === null ? [] : [shadow.store])))) {
      const store = stores[index]!
      if (this.sameAs(store) === null) continue
      for (const pipeline of [...store.shadows.open()]) pipeline.close(this.#refuse(store))
    }
  }

  /** The store that is the primary of one of its routes and the same server as this one; null: there is none, as far as is known. */
  sameAs(store: Store): string | null {
    const { routes, stores } = this.#context
    const own = new Set(this.#marks.get(store)?.values())
    for (const { primary, shadow } of own.size === 0 ? [] : routes.routes) {
      if (shadow?.storeName !== store.name || primary.storeName === store.name) continue
      const others = this.#marks.get(stores[primary.store]!)?.values() ?? []
      if ([...others].some((mark) => own.has(mark))) return primary.storeName
    }
    return null
  }

  #refuse(store: Store): string {
    const other = this.sameAs(store)
    const reason = `it is the very server that store '${other}' is, under another address`
    if (!this.#said.has(`${other} ${store.name}`)) {
      this.#said.add(`${other} ${store.name}`)
      this.#context.log({
        level: 'error',
        msg: 'the target and the source of a route are one server under two addresses: nothing is mirrored there, for every write would be executed twice; what is written stays dirty',
        fields: { store: store.name, reason },
      })
    }
    return reason
  }
}
