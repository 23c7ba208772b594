import { storePrefixes } from '../../routing/tracking-prefixes.ts'
import type { Store } from '../../upstream/store.ts'
import type { Session } from '../session/session.ts'
import type { TrackingRequest } from './tracking-request.ts'

const EVERY_KEY = Buffer.alloc(0)

/** Which keys one client's tracking is about: by the names that the client gives them, and by those that they have at a store. */
export class TrackedNames {
  readonly #session: Session
  readonly #request: TrackingRequest
  /** All since tracking was turned on, as the client gave them. */
  #prefixes: readonly Buffer[] = []

  constructor(session: Session, request: TrackingRequest) {
    this.#session = session
    this.#request = request
  }

  get prefixes(): readonly Buffer[] {
    return this.#prefixes
  }

  /** What has been asked for before stays, and what is asked for now is added. */
  continue(before: readonly Buffer[]): void {
    const given = this.#request.prefixes
    const added = this.#request.broadcasts && given.length === 0 ? [EVERY_KEY] : given
    this.#prefixes = sorted([...before, ...added])
  }

  /** Some key has another name at its store than the application's, or stores have keys that it does not see. */
  get translated(): boolean {
    const { routes } = this.#session.path
    return !routes.viewOf(routes.fallback.primary.store).whole
  }

  /** The prefixes that the tracked keys have there. Where none can be, those of the application: what they bring is filtered. */
  prefixesAt(store: Store): readonly Buffer[] {
    const { path } = this.#session
    const there = storePrefixes(path.routes, path.stores.indexOf(store), this.#prefixes)
    return there.length > 0 ? there : this.#prefixes
  }

  /** What the client calls those of the keys, named as at the store, that it sees and tracks; null: everything may be meant. */
  of(store: Store, keys: readonly Buffer[]): Buffer[] | null {
    const { path } = this.#session
    const index = path.stores.indexOf(store)
    // Not one of the stores any more: nobody can say what it means.
    if (index === -1) return null
    const view = path.routes.viewOf(index)
    const names = keys.flatMap((key) => view.nameOf(key, 0, key.length) ?? [])
    if (!this.#request.broadcasts) return names
    return names.filter((name) => this.#prefixes.some((prefix) => name.subarray(0, prefix.length).equals(prefix)))
  }
}

/** As the server lists them: each once. */
function sorted(prefixes: readonly Buffer[]): Buffer[] {
  const list = [...prefixes].sort(Buffer.compare)
  return list.filter((prefix, i) => i === 0 || !prefix.equals(list[i - 1]!))
}
