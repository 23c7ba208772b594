import { CommandTable } from '../command/table.ts'
import { compareReplies, type Difference } from '../compare/diff.ts'
import type { DecoderName } from '../config/config.ts'
import type { KeyRead } from '../mirror/aligned-reads.ts'
import { isUnknownCommand } from '../mirror/store-errors.ts'
import { ErrorReply, type Reply } from '../resp/reply.ts'
import { fieldsIn, scanned, typeOf, Unsettled, understood } from './answers.ts'
import type { PairReader } from './pair-reader.ts'
import { compareStreams } from './stream-compare.ts'

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
}

/** Reads on the primary alone: the next members or fields of a key, for chunks. */
export type MemberScan = (command: 'HSCAN' | 'SSCAN', database: number, key: Buffer, cursor: string) => Promise<Reply>

/** What is read of a key in one go. */
const CHUNK_BYTES = 256 * 1024
const CHUNK_ELEMENTS = 1000

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
  readonly #members: MemberScan
  readonly #options: ExactOptions
  readonly #commands = CommandTable.builtin()
  /** Not every server says how old it is. */
  #absoluteTimes: boolean
  /** What could not be looked at, in sentences. */
  readonly blindSpots = new Set<string>()

  constructor(reader: PairReader, members: MemberScan, options: ExactOptions) {
    this.#reader = reader
    this.#members = members
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
    const of = await this.#read(database, key, [read('TYPE'), read(expiry), read('MEMORY', 'USAGE')])
    if (this.#absoluteTimes && isUnknown(of.primary[1], of.shadow[1])) {
      this.#absoluteTimes = false
      return this.#difference(database, key)
    }
    const [there, here] = [typeOf(of.primary[0]), typeOf(of.shadow[0])]
    const ttl = this.#diff(expiry, key, [], of.primary[1]!, of.shadow[1]!)
    if ((there === 'none') !== (here === 'none')) {
      // What one side lacks is never equal. In a moment it is gone on the other, too, or it is a difference.
      if (ttl === null) throw new Unsettled('it expires on one side now')
      return this.#diff('TYPE', key, [], of.primary[0]!, of.shadow[0]!)
    }
    if (there === 'none') return null
    if (there !== here) return { class: 'type', detail: `It is a ${there} on the primary and a ${here} on the shadow.` }
    const bytes = typeof of.primary[2] === 'number' ? of.primary[2] : 0
    const contents = await this.#contents(there, database, key, bytes)
    // Only of a part of the key: the key is there.
    if (contents?.class === 'missing' || contents?.class === 'extra') return { ...contents, class: 'value' }
    return contents ?? ttl
  }

  async #contents(type: string, database: number, key: Buffer, bytes: number): Promise<Difference | null> {
    const sizeCommand = SIZES[type]
    if (sizeCommand === undefined) return this.#payload(type, database, key)
    const { primary, shadow } = await this.#read(database, key, [read(sizeCommand)])
    const size = primary[0]
    if (typeof size !== 'number') throw new Unsettled('its type changes all the time')
    // A text that is JSON may differ in length where that does not matter: it is compared as it is.
    if (type === 'string' && size <= CHUNK_BYTES) return this.#same(database, key, 'GET')
    const length = this.#diff(sizeCommand, key, [], size, shadow[0]!)
    if (length !== null) return length
    const whole = size <= CHUNK_ELEMENTS && bytes <= CHUNK_BYTES * 4
    const per = Math.max(1, Math.min(CHUNK_ELEMENTS, Math.floor(CHUNK_BYTES / Math.max(1, bytes / Math.max(1, size)))))
    switch (type) {
      case 'string':
        return this.#ranges(database, key, 'GETRANGE', size, CHUNK_BYTES)
      case 'list':
        return this.#ranges(database, key, 'LRANGE', size, per)
      case 'zset':
        return this.#ranges(database, key, 'ZRANGE', size, per, 'WITHSCORES')
      case 'set':
        return whole ? this.#same(database, key, 'SMEMBERS') : this.#setMembers(database, key)
      case 'hash':
        return whole ? this.#hash(database, key) : this.#fields(database, key)
      default:
        return compareStreams(
          {
            read: (reads) => this.#read(database, key, reads),
            diff: (command, after, there, here) => this.#diff(command, key, after, there, here),
          },
          per,
        )
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

  /** By index: elements of a list, ranks of a sorted set, bytes of a string. */
  async #ranges(
    database: number,
    key: Buffer,
    command: string,
    size: number,
    per: number,
    ...options: string[]
  ): Promise<Difference | null> {
    for (let from = 0; from < size; from += per) {
      const to = from + per - 1
      const difference = await this.#same(database, key, command, String(from), String(to), ...options)
      if (difference === null) continue
      return size <= per ? difference : { ...difference, detail: `Of ${from} to ${to}: ${difference.detail}` }
    }
    return null
  }

  async #setMembers(database: number, key: Buffer): Promise<Difference | null> {
    return this.#scanned('SSCAN', database, key, async (members) => {
      const { primary, shadow } = await this.#read(database, key, [{ before: ['SMISMEMBER'], after: members }])
      if (!isUnknown(primary[0], shadow[0])) return this.#diff('SMISMEMBER', key, members, primary[0]!, shadow[0]!)
      return this.#membersByOne(database, key, members)
    })
  }

  /** SMISMEMBER came with 6.2. */
  async #membersByOne(database: number, key: Buffer, members: readonly Buffer[]): Promise<Difference | null> {
    const reads = members.map((member): KeyRead => ({ before: ['SISMEMBER'], after: [member] }))
    const { primary, shadow } = await this.#read(database, key, reads)
    for (const [i, member] of members.entries()) {
      const difference = this.#diff('SISMEMBER', key, [member], primary[i]!, shadow[i]!)
      if (difference !== null) return difference
    }
    return null
  }

  async #fields(database: number, key: Buffer): Promise<Difference | null> {
    return this.#scanned('HSCAN', database, key, async (pairs) => {
      const fields = pairs.filter((_, i) => i % 2 === 0)
      return (await this.#same(database, key, 'HMGET', ...fields)) ?? this.#fieldExpiries(database, key, fields)
    })
  }

  async #scanned(
    command: 'HSCAN' | 'SSCAN',
    database: number,
    key: Buffer,
    compare: (items: readonly Buffer[]) => Promise<Difference | null>,
  ): Promise<Difference | null> {
    let cursor = '0'
    do {
      const { next, items } = scanned(command, await this.#members(command, database, key, cursor))
      const difference = items.length === 0 ? null : await compare(items)
      if (difference !== null) return difference
      cursor = next
    } while (cursor !== '0')
    return null
  }

  async #hash(database: number, key: Buffer): Promise<Difference | null> {
    const { primary, shadow } = await this.#read(database, key, [read('HGETALL')])
    const difference = this.#diff('HGETALL', key, [], primary[0]!, shadow[0]!)
    if (difference !== null) return difference
    const fields = fieldsIn('HGETALL', primary[0]!)
    return fields.length === 0 ? null : this.#fieldExpiries(database, key, fields)
  }

  /** Redis 7.4: fields may have times of their own. */
  async #fieldExpiries(database: number, key: Buffer, fields: readonly Buffer[]): Promise<Difference | null> {
    const after = ['FIELDS', String(fields.length), ...fields]
    const { primary, shadow } = await this.#read(database, key, [{ before: ['HPEXPIRETIME'], after }])
    const [there, here] = [primary[0]!, shadow[0]!]
    if (there instanceof ErrorReply || here instanceof ErrorReply) {
      if (!(there instanceof ErrorReply && here instanceof ErrorReply)) {
        this.blindSpots.add('Times of expiry of hash fields were not compared: only one of the stores knows them.')
      }
      return null
    }
    return this.#diff('HPEXPIRETIME', key, after, there, here)
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

function isUnknown(...replies: readonly (Reply | undefined)[]): boolean {
  return replies.some((reply) => reply instanceof ErrorReply && isUnknownCommand(reply.text))
}
