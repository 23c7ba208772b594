import { Semaphore } from '../../base/semaphore.ts'
import { CommandTable } from '../../command/table.ts'
import { compareReplies, type Difference } from '../../compare/diff.ts'
import type { DecoderName } from '../../config/config.ts'
import type { KeyRead } from '../../mirror/copy/aligned-reads.ts'
import type { Reply } from '../../resp/reply.ts'
import { isUnknown, typeOf, Unsettled, understood } from './answers.ts'
import { compareFieldTimes, compareHash, showsNothing } from './hash-compare.ts'
import { compareRanges, ListCompare, type Watched } from './list-compare.ts'
import { compareMembers, type MemberScan, type PageOfMembers } from './member-compare.ts'
import type { PairReader } from './pair-reader.ts'
import { type BothSides, compareStreams } from './stream-compare.ts'
import { VectorCompare } from './vector-compare.ts'

export type Verdict =
  | { readonly kind: 'equal' }
  | { readonly kind: 'different'; readonly difference: Difference }
  /** It could not be compared now. */
  | { readonly kind: 'unsettled'; readonly reason: string }

export interface ExactOptions {
  readonly ttlToleranceMs: number
  readonly ignoreJson: readonly string[]
  readonly decode?: readonly DecoderName[]
  readonly absoluteTimes: boolean
  /** What is read of a key at once is of one place of history. */
  readonly aligned: boolean
}

/** What is read of a key in one go. */
const CHUNK_BYTES = 256 * 1024
const CHUNK_ELEMENTS = 1000
/** So much is, where a part of it means nothing by itself. Few at once: both answers are held. */
const WHOLE_BYTES = 2 * 1024 * 1024
const WHOLE_ELEMENTS = 20_000
const WHOLE_AT_ONCE = 4
/** A server looks at so many elements to say how much memory a key takes: at all of those that may be read whole. */
const SAMPLES = 1000
/** Of an element of a key whose memory the server does not tell. */
const UNKNOWN_BYTES = 1024

const SIZES: Readonly<Record<string, string>> = {
  string: 'STRLEN',
  list: 'LLEN',
  set: 'SCARD',
  hash: 'HLEN',
  zset: 'ZCARD',
  stream: 'XLEN',
}

const EQUAL: Verdict = { kind: 'equal' }

/**
 * Compares one key of both sides exactly, element by element: type, length, contents and time of expiry, with the classes of the comparer. A large key is read in chunks, each of which is asked of both sides at one
 * place of history (`PairReader`), so live writes make no difference.
 */
export class ExactCompare {
  readonly #reader: PairReader
  readonly #scan: MemberScan
  readonly #lists: ListCompare
  readonly #options: ExactOptions
  readonly #commands = CommandTable.builtin()
  readonly #wholes = new Semaphore(WHOLE_AT_ONCE)
  readonly #vectorSets = new VectorCompare()
  /** Not every server says how old it is. */
  #absoluteTimes: boolean
  /** What could not be looked at, in sentences. */
  readonly blindSpots = new Set<string>()

  constructor(reader: PairReader, scan: MemberScan, watched: Watched, options: ExactOptions) {
    this.#reader = reader
    this.#scan = scan
    this.#lists = new ListCompare(reader, watched, options.aligned)
    this.#options = options
    this.#absoluteTimes = options.absoluteTimes
  }

  async compare(database: number, key: Buffer): Promise<Verdict> {
    try {
      const difference = await this.#difference(database, key)
      return difference === null ? EQUAL : { kind: 'different', difference }
    } catch (error) {
      if (error instanceof Unsettled) return { kind: 'unsettled', reason: error.message }
      throw error
    }
  }

  async #difference(database: number, key: Buffer): Promise<Difference | null> {
    const expiry = this.#absoluteTimes ? 'PEXPIRETIME' : 'PTTL'
    const of = await this.#read(database, key, [
      read('TYPE'),
      read(expiry),
      { before: ['MEMORY', 'USAGE'], after: ['SAMPLES', String(SAMPLES)] },
    ])
    if (this.#absoluteTimes && isUnknown(of.primary[1], of.shadow[1])) {
      this.#absoluteTimes = false
      return this.#difference(database, key)
    }
    const [there, here] = [typeOf(of.primary[0]), typeOf(of.shadow[0])]
    const ttl = this.#diff(expiry, key, [], of.primary[1]!, of.shadow[1]!)
    if ((there === 'none') !== (here === 'none')) {
      // What one side lacks is never equal. In a moment it is gone on the other, too, or it is a difference.
      if (ttl === null) throw new Unsettled('it expires on one side now')
      const side = there === 'hash' ? 'primary' : here === 'hash' ? 'shadow' : null
      if (side !== null && (await showsNothing(side, this.#pageOf(database, key)))) return null
      return this.#diff('TYPE', key, [], of.primary[0]!, of.shadow[0]!)
    }
    if (there === 'none') return null
    if (there !== here) return { class: 'type', detail: `It is a ${there} on the primary and a ${here} on the shadow.` }
    const bytes = typeof of.primary[2] === 'number' ? of.primary[2] : null
    const contents = await this.#contents(there, database, key, bytes)
    // Only of a part of the key: the key is there.
    if (contents?.class === 'missing' || contents?.class === 'extra') return { ...contents, class: 'value' }
    return contents ?? ttl
  }

  async #contents(type: string, database: number, key: Buffer, bytes: number | null): Promise<Difference | null> {
    if (type === 'vectorset') return this.#vectors(database, key)
    const sizeCommand = SIZES[type]
    if (sizeCommand === undefined) return this.#payload(type, database, key)
    const { primary, shadow } = await this.#read(database, key, [read(sizeCommand)])
    const [size, other] = [primary[0], shadow[0]]
    if (typeof size !== 'number') throw new Unsettled('its type changes all the time')
    const { ignoreJson, decode = [] } = this.#options
    const hasMeaning = ignoreJson.length + decode.length > 0
    // A text that is JSON may differ in length where that does not matter: it is compared as it is.
    if (type === 'string' && size <= CHUNK_BYTES) return this.#same(database, key, 'GET')
    if (type === 'string' && hasMeaning && size <= WHOLE_BYTES) return this.#whole(database, key, 'GET')
    const length = this.#diff(sizeCommand, key, [], size, other!)
    // HLEN also counts fields whose time has come: what a hash shows decides.
    if (length !== null && type !== 'hash') return length
    const all = bytes ?? size * UNKNOWN_BYTES
    const isSmall = size <= CHUNK_ELEMENTS && all <= CHUNK_BYTES * 4
    const isWhole = size <= WHOLE_ELEMENTS && all <= WHOLE_BYTES
    const per = Math.max(1, Math.min(CHUNK_ELEMENTS, Math.floor((CHUNK_BYTES * size) / Math.max(1, all))))
    switch (type) {
      case 'string':
        return compareRanges(this.#sidesOf(database, key), 'GETRANGE', size, CHUNK_BYTES)
      case 'list':
        return isWhole
          ? this.#whole(database, key, 'LRANGE', '0', '-1')
          : this.#lists.compare(this.#sidesOf(database, key), database, key, { per, size, bytes: all })
      case 'zset':
        if (isSmall || (hasMeaning && isWhole)) return this.#whole(database, key, 'ZRANGE', '0', '-1', 'WITHSCORES')
        return this.#members(type, database, key, per)
      case 'set':
        if (isSmall || (hasMeaning && isWhole)) return this.#whole(database, key, 'SMEMBERS')
        return this.#members(type, database, key, per)
      case 'hash':
        return isSmall && Number(other) <= CHUNK_ELEMENTS
          ? compareHash(this.#sidesOf(database, key))
          : this.#members(type, database, key, per)
      default:
        return compareStreams(this.#sidesOf(database, key), per)
    }
  }

  /** One read, one comparison. */
  async #same(
    database: number,
    key: Buffer,
    command: string,
    ...after: readonly (string | Buffer)[]
  ): Promise<Difference | null> {
    const { primary, shadow } = await this.#read(database, key, [{ before: [command], after }])
    return this.#diff(command, key, after, primary[0]!, shadow[0]!)
  }

  #whole(database: number, key: Buffer, command: string, ...after: readonly string[]): Promise<Difference | null> {
    return this.#wholes.run(() => this.#same(database, key, command, ...after))
  }

  #members(type: 'set' | 'zset' | 'hash', database: number, key: Buffer, per: number): Promise<Difference | null> {
    const both = this.#sidesOf(database, key)
    const also = (fields: readonly Buffer[]) => compareFieldTimes(both, fields)
    return compareMembers(type, both, this.#pageOf(database, key), per, type === 'hash' ? also : undefined)
  }

  #pageOf(database: number, key: Buffer): PageOfMembers {
    return (side, command, cursor, count) => this.#scan(side, command, database, key, cursor, count)
  }

  #vectors(database: number, key: Buffer): Promise<Difference | null> {
    this.blindSpots.add(
      'Of vector sets the graphs of neighbours were not compared: each server builds its own at random.',
    )
    return this.#wholes.run(() => this.#vectorSets.compare(this.#sidesOf(database, key)))
  }

  /** A type that only its module can read: the payloads have to be the same. */
  async #payload(type: string, database: number, key: Buffer): Promise<Difference | null> {
    const { primary, shadow } = await this.#read(database, key, [read('DUMP')])
    const [there, here] = [primary[0], shadow[0]]
    this.blindSpots.add(
      `Keys of type ${type} are compared by their payload, which can differ although they mean the same.`,
    )
    if (Buffer.isBuffer(there) && Buffer.isBuffer(here) && there.subarray(0, -10).equals(here.subarray(0, -10)))
      return null
    return { class: 'value', detail: 'The payloads differ.' }
  }

  async #read(
    database: number,
    key: Buffer,
    reads: readonly KeyRead[],
  ): Promise<{ primary: readonly Reply[]; shadow: readonly Reply[] }> {
    const pair = await this.#reader.read(database, key, reads)
    if (!pair.ok) throw new Unsettled(pair.reason)
    return pair
  }

  #sidesOf(database: number, key: Buffer): BothSides {
    return {
      read: (reads) => this.#read(database, key, reads),
      diff: (command, after, there, here) => this.#diff(command, key, after, there, here),
    }
  }

  #diff(
    command: string,
    key: Buffer,
    after: readonly (string | Buffer)[],
    there: Reply,
    here: Reply,
  ): Difference | null {
    const spec = this.#commands.byName(command)!
    const args = [command, key, ...after].map((arg) => (typeof arg === 'string' ? Buffer.from(arg) : arg))
    const difference = compareReplies(spec, args, there, here, this.#options)
    if (difference === null) for (const reply of [there, here]) understood(command, reply)
    return difference
  }
}

function read(...before: string[]): KeyRead {
  return { before, after: [] }
}
