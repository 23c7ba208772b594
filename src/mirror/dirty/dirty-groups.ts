import { hashBytes } from '../../base/hash.ts'
import type { IdList } from './dirty-table.ts'

/** The dirty keys of one database of one route. */
export interface DirtyGroup {
  readonly number: number
  readonly route: string
  readonly database: number
  size: number
  /** How many have been copied and were written again before the copy was there. */
  hot: number
  /** How many of each reason, by the reason's number. */
  readonly reasons: Int32Array
  readonly byAge: IdList
  /** Those that may be copied now, oldest first: not under way, not postponed. */
  readonly ready: IdList
}

/** Dirty keys by route and database. A group stays when its last key has gone: there are few. */
export class DirtyGroups {
  readonly #all: DirtyGroup[] = []
  readonly #byRoute = new Map<string, DirtyGroup[]>()
  readonly #reasons: number

  /** `reasons`: how many there are. */
  constructor(reasons: number) {
    this.#reasons = reasons
  }

  get all(): readonly DirtyGroup[] {
    return this.#all
  }

  at(number: number): DirtyGroup {
    return this.#all[number]!
  }

  ofRoute(route: string): readonly DirtyGroup[] {
    return this.#byRoute.get(route) ?? NONE
  }

  find(route: string, database: number): DirtyGroup | undefined {
    const groups = this.ofRoute(route)
    for (let i = 0; i < groups.length; i++) if (groups[i]!.database === database) return groups[i]
    return undefined
  }

  /** Made when there is none. */
  of(route: string, database: number): DirtyGroup {
    const found = this.find(route, database)
    if (found !== undefined) return found
    const group: DirtyGroup = {
      number: this.#all.length,
      route,
      database,
      size: 0,
      hot: 0,
      reasons: new Int32Array(this.#reasons),
      byAge: { first: -1, last: -1 },
      ready: { first: -1, last: -1 },
    }
    this.#all.push(group)
    const groups = this.#byRoute.get(route)
    if (groups === undefined) this.#byRoute.set(route, [group])
    else groups.push(group)
    return group
  }

  /** Dirty keys of a route. */
  count(route: string): number {
    const groups = this.ofRoute(route)
    let count = 0
    for (let i = 0; i < groups.length; i++) count += groups[i]!.size
    return count
  }

  /** Routes that have dirty keys. */
  *routes(): Generator<string> {
    for (const [route, groups] of this.#byRoute) if (groups.some(({ size }) => size > 0)) yield route
  }
}

/** Of a key and its group: the same name in another database is another key. */
export function hashInGroup(group: DirtyGroup, key: Uint8Array): number {
  return (hashBytes(key, 0, key.length) ^ Math.imul(group.number, 0x9e3779b1)) >>> 0
}

const NONE: readonly DirtyGroup[] = []
