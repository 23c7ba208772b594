import { MINUS } from '../resp/bytes.ts'
import { encodeOwn } from '../resp/own-words.ts'
import { bulkOf } from '../resp/slices.ts'
import type { Route } from '../routing/route.ts'
import type { ReplyOwner } from '../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline/pipeline.ts'
import type { ComparerContext } from './aligned-reads.ts'

interface Eviction {
  readonly policy: string
  readonly evictedKeys: number
}

/**
 * Tells a key that a store has thrown out for want of memory from one that was lost: a store whose policy lets it evict such a key, and that has evicted
 * keys, may have evicted this one. Nobody can know for certain: no server keeps a list.
 */
export class EvictionWatch {
  readonly #context: ComparerContext
  /** What a store said last, by name. */
  readonly #known = new Map<string, { readonly atMs: number; readonly eviction: Eviction | null }>()

  constructor(context: ComparerContext) {
    this.#context = context
  }

  /** `hadExpiry`: on the other side; policies `volatile-*` only take keys that have one. */
  mayHaveEvicted(
    route: Route,
    database: number,
    side: 'primary' | 'shadow',
    hadExpiry: boolean,
    onAnswer: (evicted: boolean) => void,
  ): void {
    const end = side === 'primary' ? route.primary : route.shadow!
    const answer = (eviction: Eviction | null): void => {
      const takes =
        eviction !== null &&
        (eviction.policy.startsWith('allkeys-') || (eviction.policy.startsWith('volatile-') && hadExpiry))
      onAnswer(takes && eviction.evictedKeys > 0)
    }
    const { nowMs } = this.#context.clock
    const known = this.#known.get(end.storeName)
    if (known !== undefined && nowMs - known.atMs < KEPT_MS) return answer(known.eviction)
    const store = this.#context.stores[end.store]!
    const pipeline = side === 'primary' ? store.shared(database, 2) : store.shadows.to(database)
    ask(pipeline, (eviction) => {
      this.#known.set(end.storeName, { atMs: nowMs, eviction })
      answer(eviction)
    })
  }
}

function ask(pipeline: Pipeline, onAnswer: (eviction: Eviction | null) => void): void {
  if (pipeline.state !== 'up') return onAnswer(null)
  const owner: ReplyOwner = {
    settle(_slot, buf, start) {
      onAnswer(buf[start] === MINUS ? null : read(bulkOf(buf, start).toString('latin1')))
    },
    lost: () => onAnswer(null),
    timedOut: () => {},
    detached: () => {},
  }
  pipeline.push(owner, INFO, 0, INFO.length)
}

function read(info: string): Eviction {
  return {
    policy: /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction',
    evictedKeys: Number(/^evicted_keys:(\d+)/m.exec(info)?.[1] ?? 0),
  }
}

const INFO = encodeOwn(['INFO'])
const KEPT_MS = 5_000
