import { command } from '../../../command/effects/building.ts'
import { bulk, bulks, elements, numberText } from '../../../command/effects/reading.ts'
import type { Args } from '../../../command/effects.ts'
import type { Reply } from '../../../resp/reply.ts'
import { grouped, KEY, LATER, type Pieces, RESTART, type Taken, type Verdict } from './pieces.ts'

/**
 * Sets, sorted sets and hashes, cursor by cursor. A scan gives every element that is there from its beginning to its end; what comes, goes or changes meanwhile, by name, is done
 * to the copy as well, in the same order. An element that is scanned later comes with its value of then, so it does not matter what such a write made of it before.
 *
 * A write whose outcome depends on other elements (ZREMRANGEBYSCORE, ZPOPMIN) would meet an incomplete copy: it begins anew.
 */
abstract class ScannedPieces implements Pieces {
  protected readonly key: Buffer
  protected cursor: Buffer = ZERO
  protected scanning = false
  readonly #byName: ReadonlySet<string>

  constructor(key: Buffer, byName: readonly string[]) {
    this.key = key
    this.#byName = new Set(byName)
  }

  abstract reads(size: number): readonly Args[]
  abstract take(replies: readonly Reply[]): Taken | null

  effect(name: string, args: Args): Verdict {
    if (!this.scanning) return LATER
    return this.#byName.has(name) ? { kind: 'also', commands: [[args[0]!, KEY, ...args.slice(2)]] } : RESTART
  }

  /** `[cursor, [element ...]]` */
  protected scanned(reply: Reply | undefined): readonly Reply[] | null {
    const [cursor, found] = elements(reply) ?? []
    const items = elements(found)
    if (!Buffer.isBuffer(cursor) || items === null) return null
    this.scanning = true
    this.cursor = cursor
    return items
  }

  protected get ended(): boolean {
    return this.cursor.length === 1 && this.cursor[0] === 48
  }
}

export class SetPieces extends ScannedPieces {
  constructor(key: Buffer) {
    super(key, ['SADD', 'SREM'])
  }

  reads(size: number): readonly Args[] {
    return [command('SSCAN', this.key, this.cursor, 'COUNT', size)]
  }

  take([reply]: readonly Reply[]): Taken | null {
    const members = this.scanned(reply)
    if (members === null) return null
    const names = bulks(members)
    // What is not understood is not nothing: a copy would lack it.
    return names.length < members.length ? null : { writes: grouped(['SADD', KEY], names, 1), done: this.ended }
  }
}

export class SortedSetPieces extends ScannedPieces {
  constructor(key: Buffer) {
    super(key, ['ZADD', 'ZINCRBY', 'ZREM', 'GEOADD'])
  }

  reads(size: number): readonly Args[] {
    return [command('ZSCAN', this.key, this.cursor, 'COUNT', size)]
  }

  take([reply]: readonly Reply[]): Taken | null {
    const items = this.scanned(reply)
    if (items === null) return null
    const scored: Buffer[] = []
    for (let i = 0; i + 1 < items.length; i += 2) {
      const score = numberText(items[i + 1]!)
      const member = bulk(items[i])
      if (score === null || member === null) return null
      scored.push(score, member)
    }
    return { writes: grouped(['ZADD', KEY], scored, 2), done: this.ended }
  }
}

/**
 * A hash. Where the primary knows times of expiry of single fields (Redis 7.4, Valkey 9.0), a round has two steps: the names by a scan, then their values and times side by side.
 */
export class HashPieces extends ScannedPieces {
  readonly #fieldTimes: boolean
  #names: Buffer[] | null = null

  constructor(key: Buffer, fieldTimes: boolean) {
    super(key, ['HSET', 'HMSET', 'HSETNX', 'HDEL', 'HINCRBY', 'HSETEX', 'HPEXPIREAT', 'HPERSIST'])
    this.#fieldTimes = fieldTimes
  }

  reads(size: number): readonly Args[] {
    const names = this.#names
    if (names === null) return [command('HSCAN', this.key, this.cursor, 'COUNT', size)]
    return [command('HMGET', this.key, names), command('HPEXPIRETIME', this.key, 'FIELDS', names.length, names)]
  }

  take(replies: readonly Reply[]): Taken | null {
    if (this.#names !== null) return this.#takeTimed(this.#names, replies)
    const items = this.scanned(replies[0])
    if (items === null) return null
    const flat = bulks(items)
    if (flat.length < items.length) return null
    if (!this.#fieldTimes || flat.length === 0) return { writes: grouped(['HSET', KEY], flat, 2), done: this.ended }
    this.#names = flat.filter((_item, i) => i % 2 === 0)
    return { writes: [], done: false }
  }

  #takeTimed(names: readonly Buffer[], [values, times]: readonly Reply[]): Taken | null {
    const held = elements(values)
    const until = elements(times)
    if (held === null || until === null) return null
    const flat: Buffer[] = []
    const byTime = new Map<string, Buffer[]>()
    for (const [i, name] of names.entries()) {
      const value = bulk(held[i])
      if (value === null) continue
      flat.push(name, value)
      const at = Number(until[i])
      if (at < 0) continue
      const timed = byTime.get(String(at))
      if (timed === undefined) byTime.set(String(at), [name])
      else timed.push(name)
    }
    this.#names = null
    const expiring = [...byTime].map(([at, fields]) => command('HPEXPIREAT', KEY, at, 'FIELDS', fields.length, fields))
    return { writes: [...grouped(['HSET', KEY], flat, 2), ...expiring], done: this.ended }
  }
}

const ZERO = Buffer.from('0')
