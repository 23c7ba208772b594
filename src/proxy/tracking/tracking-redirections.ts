import type { Store } from '../../upstream/store.ts'
import type { Session } from '../session/session.ts'
import { Redirection } from './tracking-redirection.ts'

/**
 * The connections that take one client's invalidations for another, one to each store where it tracks.
 *
 *   open ─▶ named to the stores ─▶ supersede ─▶ open ─▶ named to the stores ─▶ closeFormer ─▶ ... ─▶ close
 *
 * A store sends what it remembers where it was told to last. One that is closed before the store has been told of another leaves writes unheard, and the tracking client is told of an id that no client has.
 */
export class Redirections {
  #current = new Map<Store, Redirection>()
  readonly #former = new Set<Redirection>()

  /** Of the connection at that store; undefined: there is none. */
  idAt(store: Store): number | undefined {
    return this.#current.get(store)?.clientId
  }

  /** `ready`: told once when all can be named, or why one never will; not at all when others are opened, or all closed, before. */
  open(
    session: Session,
    stores: readonly Store[],
    onPush: (store: Store, buf: Buffer, start: number, end: number) => void,
    ready: (failure: string | null) => void,
  ): void {
    const opened = (this.#current = new Map<Store, Redirection>())
    let missing = stores.length
    let over = false
    for (const store of stores) {
      const one = new Redirection(
        session,
        store,
        (buf, start, end) => onPush(store, buf, start, end),
        (failure) => {
          if (over || this.#current !== opened || (failure === null && --missing > 0)) return
          over = true
          ready(failure)
        },
      )
      opened.set(store, one)
    }
  }

  /** The stores are about to be told of others: these are kept until they have agreed. */
  supersede(): void {
    for (const one of this.#current.values()) this.#former.add(one)
    this.#current = new Map()
  }

  /** Those of another tracking, which this one follows, are former ones of this. */
  follow(before: Redirections): void {
    before.supersede()
    for (const one of before.#former) this.#former.add(one)
    before.#former.clear()
  }

  /** Those that can be closed when the stores have agreed that are asked now; `later` is none of these. */
  formerBut(later: Store | undefined): Redirection[] {
    return [...this.#former].filter(({ store }) => store !== later)
  }

  closeFormer(which: readonly Redirection[]): void {
    for (const one of which) {
      one.close()
      this.#former.delete(one)
    }
  }

  close(): void {
    this.supersede()
    this.closeFormer([...this.#former])
  }
}
