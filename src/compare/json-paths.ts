import type { Structured } from './structured.ts'

/**
 * Paths into structured values.
 *
 *   path = "$" ( "." name | ".." name | ".*" | "[" index "]" | "[*]" | "['" name "']" )*
 */
export type PathPart =
  | { readonly kind: 'name' | 'deep'; readonly name: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'index'; readonly index: number }

const PART = /^(?:\.\.([^.[\]*]+)|\.(\*)|\.([^.[\]*]+)|\[(\*)\]|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\])/

/** The parts of a path; null when it is none. */
export function parsePath(text: string): PathPart[] | null {
  if (!text.startsWith('$')) return null
  const parts: PathPart[] = []
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

/** Takes what is at the path from `path[at]` on out of the value. */
export function remove(value: Structured, path: readonly PathPart[], at: number): void {
  if (value === null || typeof value !== 'object') return
  const part = path[at]!
  const last = at === path.length - 1
  for (const name of Object.keys(value)) {
    const child = (value as Record<string, Structured>)[name]!
    if (part.kind === 'deep') remove(child, path, at)
    if (!matches(part, name, Array.isArray(value))) continue
    if (!last) remove(child, path, at + 1)
    // An element that is taken out leaves its place, so that those behind it keep theirs.
    else if (Array.isArray(value)) value[Number(name)] = null
    else delete value[name]
  }
}

function matches(part: PathPart, name: string, inArray: boolean): boolean {
  if (part.kind === 'any') return true
  if (part.kind === 'index') return inArray && Number(name) === part.index
  return !inArray && part.name === name
}

/** The value with the names of every object in order. */
export function ordered(value: Structured): Structured {
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
export function differingPaths(a: Structured, b: Structured, limit: number): string[] {
  const found: string[] = []
  compareAt('$', a, b, found, limit)
  return found
}

function compareAt(
  path: string,
  a: Structured | undefined,
  b: Structured | undefined,
  found: string[],
  limit: number,
): void {
  if (found.length >= limit || JSON.stringify(a) === JSON.stringify(b)) return
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) {
    found.push(path)
    return
  }
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const step = Array.isArray(a) ? `[${name}]` : `.${name}`
    compareAt(
      path + step,
      (a as Record<string, Structured>)[name],
      (b as Record<string, Structured>)[name],
      found,
      limit,
    )
  }
}

function isContainer(value: Structured | undefined): value is Structured[] | { [name: string]: Structured } {
  return typeof value === 'object' && value !== null
}
