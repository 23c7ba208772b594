/**
 * JSON values compared without some of their paths.
 *
 *   path = "$" ( "." name | ".." name | ".*" | "[" index "]" | "[*]" | "['" name "']" )*
 */
type Part =
  | { readonly kind: 'name' | 'deep'; readonly name: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'index'; readonly index: number }

const PART = /^(?:\.\.([^.[\]*]+)|\.(\*)|\.([^.[\]*]+)|\[(\*)\]|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\])/

/** The parts of a path; null when it is none. */
function parsePath(text: string): Part[] | null {
  if (!text.startsWith('$')) return null
  const parts: Part[] = []
  let rest = text.slice(1)
  while (rest !== '') {
    const match = PART.exec(rest)
    if (match === null) return null
    const [whole, deep, anyName, name, anyIndex, index, quoted, doubleQuoted] = match
    if (deep !== undefined) parts.push({ kind: 'deep', name: deep })
    else if (anyName !== undefined || anyIndex !== undefined) parts.push({ kind: 'any' })
    else if (index !== undefined) parts.push({ kind: 'index', index: Number(index) })
    else parts.push({ kind: 'name', name: (name ?? quoted ?? doubleQuoted)! })
    rest = rest.slice(whole.length)
  }
  return parts
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** Takes paths out of JSON texts. Made once for a route's list of paths. */
export class JsonFilter {
  readonly #paths: readonly Part[][]

  constructor(paths: readonly string[]) {
    this.#paths = paths.flatMap((path) => {
      const parts = parsePath(path)
      return parts === null || parts.length === 0 ? [] : [parts]
    })
  }

  /** The text without the paths, its objects' names in order. Anything but a JSON object or array is given back as it is. */
  apply(text: Buffer): Buffer {
    const value = this.parse(text)
    return value === undefined ? text : Buffer.from(JSON.stringify(value))
  }

  /** The same as a value; undefined when the text is no JSON object or array. */
  parse(text: Buffer): Json | undefined {
    const first = firstInk(text)
    if (first !== 0x7b && first !== 0x5b) return undefined
    try {
      const value = JSON.parse(text.toString(), exactNumbers) as Json
      for (const path of this.#paths) remove(value, path, 0)
      return ordered(value)
    } catch {
      // No JSON after all, or nested deeper than the thread's stack: compared as bytes.
      return undefined
    }
  }
}

function firstInk(text: Buffer): number | undefined {
  return text.find((byte) => byte > 0x20)
}

/** A number that a double cannot hold keeps its digits, as a text that no other value has: else 9007199254740993 would equal ...992. */
function exactNumbers(_name: string, value: Json, context?: { source?: string }): Json {
  if (typeof value !== 'number' || context?.source === undefined) return value
  if (/^-?\d+$/.test(context.source) && !Number.isSafeInteger(value)) return `\u0000${context.source}`
  return value
}

function remove(value: Json, path: readonly Part[], at: number): void {
  if (value === null || typeof value !== 'object') return
  const part = path[at]!
  const last = at === path.length - 1
  for (const name of Object.keys(value)) {
    const child = (value as Record<string, Json>)[name]!
    if (part.kind === 'deep') remove(child, path, at)
    if (!matches(part, name, Array.isArray(value))) continue
    if (!last) remove(child, path, at + 1)
    // An element that is taken out leaves its place, so that those behind it keep theirs.
    else if (Array.isArray(value)) value[Number(name)] = null
    else delete value[name]
  }
}

function matches(part: Part, name: string, inArray: boolean): boolean {
  if (part.kind === 'any') return true
  if (part.kind === 'index') return inArray && Number(name) === part.index
  return !inArray && part.name === name
}

function ordered(value: Json): Json {
  if (Array.isArray(value)) return value.map(ordered)
  if (value === null || typeof value !== 'object') return value
  // From entries, so that a name like `__proto__` is only a name.
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => [name, ordered(value[name]!)]),
  )
}

/** Up to `limit` paths at which two values differ, the topmost of each kind: `$.items[0].price`. */
export function differingPaths(a: Json, b: Json, limit: number): string[] {
  const found: string[] = []
  compareAt('$', a, b, found, limit)
  return found
}

function compareAt(path: string, a: Json | undefined, b: Json | undefined, found: string[], limit: number): void {
  if (found.length >= limit || JSON.stringify(a) === JSON.stringify(b)) return
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) {
    found.push(path)
    return
  }
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const step = Array.isArray(a) ? `[${name}]` : `.${name}`
    compareAt(path + step, (a as Record<string, Json>)[name], (b as Record<string, Json>)[name], found, limit)
  }
}

function isContainer(value: Json | undefined): value is Json[] | { [name: string]: Json } {
  return typeof value === 'object' && value !== null
}
