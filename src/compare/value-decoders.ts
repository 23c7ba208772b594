import { gunzipSync } from 'node:zlib'
import { decode } from '@msgpack/msgpack'
import type { DecoderName } from '../config/config.ts'

/** What a value means, in plain data; binaries and times of MessagePack as tagged texts. */
export type Structured = null | boolean | number | string | Structured[] | { [name: string]: Structured }

/**
 * One way to read a value. `undefined`: these bytes are not of this form, so that the next one is tried. Bytes: another form lies inside. A value: the bytes mean this.
 */
export interface ValueDecoder {
  readonly name: DecoderName
  decode(bytes: Buffer): Buffer | Structured | undefined
}

/** Objects and arrays only: a lone number or text is compared as it stands. */
const json: ValueDecoder = {
  name: 'json',
  decode(bytes) {
    const first = bytes.find((byte) => byte > 0x20)
    if (first !== 0x7b && first !== 0x5b) return undefined
    try {
      return JSON.parse(bytes.toString(), exactNumbers) as Structured
    } catch {
      // No JSON after all, or nested deeper than the thread's stack.
      return undefined
    }
  },
}

/** What compresses to different bytes may be the same: levels and versions of compressors differ, and the header has a time. */
const gzip: ValueDecoder = {
  name: 'gzip',
  decode(bytes) {
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes.length > MAX_COMPRESSED) return undefined
    try {
      return gunzipSync(bytes, { maxOutputLength: MAX_UNCOMPRESSED })
    } catch {
      return undefined
    }
  },
}

/** Maps and arrays only: nearly any text is some MessagePack number. */
const msgpack: ValueDecoder = {
  name: 'msgpack',
  decode(bytes) {
    const first = bytes[0] ?? 0
    const isContainer = (first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf)
    if (!isContainer) return undefined
    try {
      return plain(decode(bytes, { useBigInt64: true }), 0)
    } catch {
      return undefined
    }
  },
}

export const VALUE_DECODERS: Readonly<Record<DecoderName, ValueDecoder>> = { json, gzip, msgpack }

/** A number that a double cannot hold keeps its digits, as a text that no other value has: else 9007199254740993 would equal ...992. */
function exactNumbers(_name: string, value: Structured, context?: { source?: string }): Structured {
  if (typeof value !== 'number' || context?.source === undefined) return value
  const isLost = !Number.isFinite(value) || (/^-?\d+$/.test(context.source) && !Number.isSafeInteger(value))
  return isLost ? tagged('number', context.source) : value
}

function plain(value: unknown, depth: number): Structured {
  if (depth > MAX_DEPTH) throw new RangeError('nested too deep')
  if (value === null || value === undefined) return null
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : tagged('number', String(value))
  }
  if (typeof value === 'number') return Number.isFinite(value) ? value : tagged('number', String(value))
  if (typeof value === 'string' || typeof value === 'boolean') return value
  if (value instanceof Uint8Array) return tagged('bytes', Buffer.from(value).toString('hex'))
  if (value instanceof Date) return tagged('time', String(value.getTime()))
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1))
  // From entries, so that a name like `__proto__` is only a name.
  return Object.fromEntries(Object.entries(value as object).map(([name, item]) => [name, plain(item, depth + 1)]))
}

/** A text that no text of an application is, for what plain data has no form for. */
function tagged(kind: string, text: string): string {
  return `\u0000${kind} ${text}`
}

const MAX_COMPRESSED = 1024 * 1024
const MAX_UNCOMPRESSED = 8 * 1024 * 1024
const MAX_DEPTH = 500
