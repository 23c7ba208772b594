import type { DecoderName } from '../config/config.ts'
import { ordered, type PathPart, parsePath, remove } from './json-paths.ts'
import type { Structured } from './structured.ts'
import { VALUE_DECODERS, type ValueDecoder } from './value-decoders.ts'

/** How a route reads its values. */
export interface ValueOptions {
  /** Paths (`$.updatedAt`) that do not count. */
  readonly ignoreJson: readonly string[]
  /** Default: none. */
  readonly decode?: readonly DecoderName[]
}

/**
 * Reads values as what they mean: by the decoders that a route names, in the order of its configuration, without the paths that it ignores. Paths to ignore imply
 * `json`. Made once for a configuration.
 */
export class ValueReader {
  readonly #decoders: readonly ValueDecoder[]
  readonly #paths: readonly (readonly PathPart[])[]

  constructor({ ignoreJson, decode = [] }: ValueOptions) {
    const names: DecoderName[] = [...decode]
    if (ignoreJson.length > 0 && !names.includes('json')) names.push('json')
    this.#decoders = names.map((name) => VALUE_DECODERS[name])
    this.#paths = ignoreJson.flatMap((path) => {
      const parts = parsePath(path)
      return parts === null || parts.length === 0 ? [] : [parts]
    })
  }

  /** Bytes that two values have in common exactly when they mean the same; what no decoder reads is given back as it is. */
  canonical(bytes: Buffer): Buffer {
    const read = this.#read(bytes)
    if (Buffer.isBuffer(read)) return read
    return Buffer.from(`${STRUCTURED}${JSON.stringify(read)}`)
  }

  /** The value without the ignored paths, names in order; undefined: no decoder reads a structure in these bytes. */
  parse(bytes: Buffer): Structured | undefined {
    const read = this.#read(bytes)
    return Buffer.isBuffer(read) ? undefined : read
  }

  /** One decoder may find another's form inside: each is used once. */
  #read(bytes: Buffer): Buffer | Structured {
    let inside = bytes
    const left = new Set(this.#decoders)
    for (let found = true; found; ) {
      found = false
      for (const decoder of left) {
        const value = decoder.decode(inside)
        if (value === undefined) continue
        left.delete(decoder)
        if (!Buffer.isBuffer(value)) return this.#reduced(value, inside)
        inside = value
        found = true
        break
      }
    }
    return inside
  }

  #reduced(value: Structured, bytes: Buffer): Buffer | Structured {
    try {
      for (const path of this.#paths) remove(value, path, 0)
      return ordered(value)
    } catch {
      // Nested deeper than the thread's stack: compared as bytes.
      return bytes
    }
  }
}

/** Before the JSON of a structure, so that it is equal to no text of an application. */
const STRUCTURED = '\u0000structured '

/** The JSON in what `canonical` gave for a structure; null: the bytes are not one. */
export function structureIn(canonical: Buffer): string | null {
  return canonical.toString('latin1', 0, STRUCTURED.length) === STRUCTURED
    ? canonical.toString('utf8', STRUCTURED.length)
    : null
}

const NONE: readonly DecoderName[] = []

/** One reader a configuration, kept as long as the lists in it. */
const readers = new WeakMap<readonly string[], WeakMap<readonly string[], ValueReader>>()

/** null: values are compared byte by byte. */
export function valueReaderOf(options: ValueOptions): ValueReader | null {
  const { ignoreJson, decode = NONE } = options
  if (ignoreJson.length === 0 && decode.length === 0) return null
  let of = readers.get(ignoreJson)
  if (of === undefined) readers.set(ignoreJson, (of = new WeakMap()))
  let reader = of.get(decode)
  if (reader === undefined) of.set(decode, (reader = new ValueReader(options)))
  return reader
}
