import { isUtf8 } from 'node:buffer'
import { gunzipSync } from 'node:zlib'
import type { DecoderName } from '../config/config.ts'
import { readMessagePack } from './message-pack.ts'
import { numberIn, type Structured, textOf } from './structured.ts'

/**
 * One way to read a value. `undefined`: these bytes are not of this form, so that the next one is tried. Bytes: another form lies inside. A value: the bytes mean this.
 *
 * Two values that are read as the same are taken for equal, and one of them may be deleted for that. So nothing may be lost on the way: what has no exact form as a structure is not of this form.
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
    if ((first !== 0x7b && first !== 0x5b) || !isUtf8(bytes)) return undefined
    // The reviver is told of the whole value, too, as if it were a member.
    let members = -1
    try {
      const value = JSON.parse(
        bytes.toString(),
        function (this: unknown, _name: string, item: Structured, context?: { source?: string }) {
          if (!Array.isArray(this)) members++
          return exact(item, context)
        },
      ) as Structured
      // A name that stands twice: one of the two would be lost, and which one readers take is up to them.
      return members === membersIn(bytes) ? value : undefined
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
      const { buffer, engine } = gunzipSync(bytes, { maxOutputLength: MAX_UNCOMPRESSED, info: true }) as unknown as {
        buffer: Buffer
        engine: { bytesWritten: number }
      }
      // What stands behind it is passed over by the decompressor.
      return engine.bytesWritten === bytes.length ? buffer : undefined
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
      return readMessagePack(bytes)
    } catch {
      return undefined
    }
  },
}

export const VALUE_DECODERS: Readonly<Record<DecoderName, ValueDecoder>> = { json, gzip, msgpack }

function exact(item: Structured, context?: { source?: string }): Structured {
  if (typeof item === 'string') return textOf(item)
  return typeof item === 'number' && context?.source !== undefined ? numberIn(context.source) : item
}

/** How many members the objects of a JSON text have: as many as there are colons outside of its texts. */
function membersIn(bytes: Buffer): number {
  let count = 0
  let inText = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (inText) {
      if (byte === BACKSLASH) i++
      else if (byte === QUOTE) inText = false
    } else if (byte === QUOTE) inText = true
    else if (byte === COLON) count++
  }
  return count
}

const QUOTE = 0x22
const COLON = 0x3a
const BACKSLASH = 0x5c
const MAX_COMPRESSED = 1024 * 1024
const MAX_UNCOMPRESSED = 8 * 1024 * 1024
