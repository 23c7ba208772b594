import { isDeepStrictEqual } from 'node:util'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import type { DataPath } from '../data-path.ts'

/** Where the stores are, as the main thread knows it, and the question where one has gone. */
export class StorePlaces {
  readonly #places = new Map<string, Endpoint | string>()
  /** Of stores that the configuration has replaced: until what is in flight on them is done they stay where they were. */
  readonly #former = new WeakMap<StoreConfig, Endpoint | string>()
  readonly #lookFor: (store: string) => void
  readonly #askedMs = new Map<string, number>()

  /** `lookFor`: the store may be somewhere else now. */
  constructor(places: Readonly<Record<string, Endpoint>>, lookFor: (store: string) => void) {
    this.#lookFor = lookFor
    this.learn(places)
  }

  /** Of stores that are known nothing is taken: where they are may have changed since this was looked up. */
  learn(places: Readonly<Record<string, Endpoint>>): void {
    for (const [store, endpoint] of Object.entries(places))
      if (!this.#places.has(store)) this.#places.set(store, endpoint)
  }

  /** A text: nowhere, and why. */
  of(store: StoreConfig): Endpoint | string {
    const known = this.#former.get(store) ?? this.#places.get(store.name)
    if (known !== undefined) return known
    return (store.kind === 'single' ? store.endpoints[0] : undefined) ?? 'its address is not known yet'
  }

  /** Another store takes its name, or none: where that will be says nothing about this one, nor the other way round. */
  leave(store: StoreConfig): void {
    this.#former.set(store, this.of(store))
    this.#places.delete(store.name)
  }

  /** True: that is another place than before. */
  set(store: string, place: Endpoint | string): boolean {
    if (isDeepStrictEqual(this.#places.get(store), place)) return false
    this.#places.set(store, place)
    return true
  }

  /** At most so often, whatever asks for it. */
  lookFor(store: string): void {
    const nowMs = performance.now()
    if (nowMs - (this.#askedMs.get(store) ?? Number.NEGATIVE_INFINITY) < LOOK_EVERY_MS) return
    this.#askedMs.set(store, nowMs)
    this.#lookFor(store)
  }
}

/** Every connection to the store goes to where it is now; what cannot move ends, as when its connection is lost. */
export function moveStore(path: DataPath, name: string): void {
  path.stores.find((store) => store.name === name)?.move('the store is at another address now')
  for (const { pin } of [...path.sessions]) {
    // A stream of replication is no pipeline of the store.
    if (pin?.kind === 'replica' && pin.route?.primary.storeName === name) pin.moved?.(new Set([pin.route.name]))
  }
}

const LOOK_EVERY_MS = 100
