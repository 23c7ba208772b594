import { isUtf8 } from 'node:buffer'
import { bytesOf, numberOf, type Structured, textOf, timeOf } from './structured.ts'

/**
 * MessagePack as plain data, with nothing lost: https://github.com/msgpack/msgpack/blob/master/spec.md. Throws where the bytes are none, hold more than one value, or have no form as plain data (a name twice, names that are neither
 * text nor number).
 *
 *   00-7f e0-ff  small numbers      80-8f de df  maps      90-9f dc dd  arrays      a0-bf d9-db  texts
 *   c0 c2 c3     nil, booleans      c4-c6  bytes           c7-c9 d4-d8  extensions  ca-d3        numbers
 */
export function readMessagePack(bytes: Buffer): Structured {
  const reader = new Reader(bytes)
  const value = reader.value(0)
  if (!reader.atEnd) throw new RangeError('more behind the value')
  return value
}

const MAX_DEPTH = 500
/** The extension that is a point in time. */
const TIMESTAMP = -1

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  value(depth: number): Structured {
    if (depth > MAX_DEPTH) throw new RangeError('nested too deep')
    const head = this.#unsigned(1)
    if (head < 0x80) return head
    if (head < 0x90) return this.#map(head & 0x0f, depth)
    if (head < 0xa0) return this.#array(head & 0x0f, depth)
    if (head < 0xc0) return this.#text(head & 0x1f)
    if (head >= 0xe0) return head - 0x100
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return bytesOf('bytes', this.#take(this.#unsigned(1 << (head - 0xc4))))
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#unsigned(1 << (head - 0xc7)))
      case 0xca:
        return numberOf(this.#bytes.readFloatBE(this.#skip(4)))
      case 0xcb:
        return numberOf(this.#bytes.readDoubleBE(this.#skip(8)))
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned(1 << (head - 0xcc))
      case 0xcf:
        return numberOf(this.#bytes.readBigUInt64BE(this.#skip(8)))
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const size = 1 << (head - 0xd0)
        return this.#bytes.readIntBE(this.#skip(size), size)
      }
      case 0xd3:
        return numberOf(this.#bytes.readBigInt64BE(this.#skip(8)))
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (head - 0xd4))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#unsigned(1 << (head - 0xd9)))
      case 0xdc:
      case 0xdd:
        return this.#array(this.#unsigned(2 << (head - 0xdc)), depth)
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(2 << (head - 0xde)), depth)
      default:
        throw new RangeError('a byte that begins nothing')
    }
  }

  #array(count: number, depth: number): Structured {
    const items: Structured[] = []
    for (let i = 0; i < count; i++) items.push(this.value(depth + 1))
    return items
  }

  #map(count: number, depth: number): Structured {
    const members = new Map<string, Structured>()
    for (let i = 0; i < count; i++) {
      const name = this.value(depth + 1)
      // Numbers as names count as their digits, as where an object's names can be nothing but texts.
      if (typeof name !== 'string' && typeof name !== 'number') throw new RangeError('a name that is no text')
      members.set(String(name), this.value(depth + 1))
    }
    if (members.size !== count) throw new RangeError('a name twice')
    // From entries, so that a name like `__proto__` is only a name.
    return Object.fromEntries(members)
  }

  /** Older writers put any bytes there. */
  #text(length: number): Structured {
    const bytes = this.#take(length)
    return isUtf8(bytes) ? textOf(bytes.toString()) : bytesOf('text', bytes)
  }

  #extension(length: number): Structured {
    const type = this.#bytes.readInt8(this.#skip(1))
    const bytes = this.#take(length)
    if (type !== TIMESTAMP) return bytesOf(`extension ${type}`, bytes)
    switch (length) {
      case 4:
        return timeOf(BigInt(bytes.readUInt32BE(0)), 0)
      case 8: {
        const both = bytes.readBigUInt64BE(0)
        return timeOf(both & 0x3ffffffffn, Number(both >> 34n))
      }
      case 12:
        return timeOf(bytes.readBigInt64BE(4), bytes.readUInt32BE(0))
      default:
        throw new RangeError('a time of no known length')
    }
  }

  #unsigned(size: number): number {
    return this.#bytes.readUIntBE(this.#skip(size), size)
  }

  #take(length: number): Buffer {
    const from = this.#skip(length)
    return this.#bytes.subarray(from, from + length)
  }

  /** Gives where it was. */
  #skip(length: number): number {
    const from = this.#at
    if (from + length > this.#bytes.length) throw new RangeError('cut off')
    this.#at = from + length
    return from
  }
}
