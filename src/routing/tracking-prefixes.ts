import { escapeGlob, Glob } from './glob.ts'
import { storePatterns } from './keyspace-patterns.ts'
import type { RouteTable } from './route-table.ts'

/**
 * Prefixes of names at a store that together cover the name of every key there which begins, for the application, with one of `prefixes`. They may cover more: what the server tells of is filtered
 * by its application's name. None of them begins with another, which the server would refuse (redis.io, CLIENT TRACKING). Empty: no such key is there.
 */
export function storePrefixes(table: RouteTable, store: number, prefixes: readonly Buffer[]): Buffer[] {
  const found = prefixes.flatMap((prefix) => {
    const glob = new Glob(Buffer.concat([escapeGlob(prefix), STAR]))
    return storePatterns(glob, table.rules, (rule) => table.isOn(rule, store)).map((text) => new Glob(text).prefix)
  })
  const shortestFirst = found.sort((a, b) => a.length - b.length)
  return shortestFirst.filter((prefix, i) => !shortestFirst.some((other, j) => j < i && beginsWith(prefix, other)))
}

/** What a server says of prefixes that overlap, `before` being those that the client has already; null: they do not. */
export function overlapOf(prefixes: readonly Buffer[], before: readonly Buffer[]): string | null {
  for (const [i, prefix] of prefixes.entries()) {
    const existing = before.find((other) => overlaps(prefix, other))
    if (existing !== undefined) return overlapError(prefix, 'an existing', existing)
    const provided = prefixes.find((other, j) => j > i && overlaps(prefix, other))
    if (provided !== undefined) return overlapError(prefix, 'another provided', provided)
  }
  return null
}

function overlapError(one: Buffer, which: string, other: Buffer): string {
  const [a, b] = [one.toString('latin1'), other.toString('latin1')]
  return `ERR Prefix '${a}' overlaps with ${which} prefix '${b}'. Prefixes for a single client must not overlap.`
}

function overlaps(one: Buffer, other: Buffer): boolean {
  return beginsWith(one, other) || beginsWith(other, one)
}

function beginsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.length >= prefix.length && bytes.subarray(0, prefix.length).equals(prefix)
}

const STAR = Buffer.from('*')
