import { z } from 'zod'
import type { ConfigDocument } from './document.ts'
import type { ConfigPath } from './problems.ts'
import { didYouMean, shownIfClose } from './suggest.ts'

type Issue = z.core.$ZodIssue

/**
 * Checks `raw` (what stands at `path`) against an object schema and reports every problem in words. Gives the fields that are fine, so that
 * one bad field does not hide what is wrong with the others; null when `raw` is not a map at all. Fields named in `apart` are
 * left to the caller.
 */
export function readFields<S extends z.ZodObject>(
  document: ConfigDocument,
  schema: S,
  raw: unknown,
  path: ConfigPath,
  apart: readonly string[] = [],
): Partial<z.output<S>> | null {
  if (!isRecord(raw)) {
    document.refuse(path, `must be a map with ${listOf(Object.keys(schema.shape))}, not ${kindOf(raw)}`)
    return null
  }
  for (const key of Object.keys(raw)) {
    if (!Object.hasOwn(schema.shape, key)) refuseKey(document, [...path, key], Object.keys(schema.shape))
  }
  const fields: Record<string, unknown> = {}
  for (const [key, type] of Object.entries(schema.shape)) {
    if (apart.includes(key)) continue
    const result = (type as z.ZodType).safeParse(raw[key])
    if (result.success) fields[key] = result.data
    else
      for (const issue of result.error.issues) report(document, type as z.ZodType, issue, raw[key], [...path, key], [])
  }
  return fields as Partial<z.output<S>>
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value's kind in the words of the file. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  return typeof value === 'string' ? 'a text' : typeof value === 'number' ? 'a number' : 'true or false'
}

/** `base` is where `schema` and `raw` stand; `within` and then the issue's own path lead from there. */
function report(
  document: ConfigDocument,
  schema: z.ZodType,
  issue: Issue,
  raw: unknown,
  base: ConfigPath,
  within: ConfigPath,
): void {
  const inside = [...within, ...(issue.path as (string | number)[])]
  const value = valueAt(raw, inside)
  const path = [...base, ...inside]
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) refuseKey(document, [...path, key], keysAt(schema, inside))
  } else if (issue.code === 'invalid_key') {
    for (const inner of issue.issues) document.refuse(path, inner.message, 'key')
  } else if (issue.code === 'invalid_union') {
    const branch = closestBranch(issue.errors)
    if (branch === null) document.refuse(path, mustBe(issue.errors.flat().flatMap(expectationsOf), value))
    else for (const inner of branch) report(document, schema, inner, raw, base, inside)
  } else {
    document.refuse(path, messageFor(issue, value))
  }
}

function messageFor(issue: Issue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return value === undefined ? 'is missing' : mustBe(expectationsOf(issue), value)
    case 'invalid_value': {
      const allowed = issue.values.map(String)
      const written = typeof value === 'string' ? `${shownIfClose(value, allowed)} is not ` : 'must be '
      return `${written}${allowed.length > 1 ? 'one of ' : ''}${allowed.join(', ')}${didYouMean(String(value), allowed)}`
    }
    case 'too_small':
      return issue.message.startsWith('Too small') ? `must be at least ${issue.minimum}` : issue.message
    case 'too_big':
      return issue.message.startsWith('Too big') ? `must be at most ${issue.maximum}` : issue.message
    default:
      return issue.message
  }
}

/** The keys that the map at `path` may have, in any of its forms. */
function keysAt(schema: unknown, path: ConfigPath): string[] {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) return keysAt(schema.unwrap(), path)
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => keysAt(option, path))
  const [step, ...rest] = path
  if (schema instanceof z.ZodObject)
    return step === undefined ? Object.keys(schema.shape) : keysAt(schema.shape[step], rest)
  if (schema instanceof z.ZodArray) return keysAt(schema.element, rest)
  if (schema instanceof z.ZodRecord) return keysAt(schema.valueType, rest)
  return []
}

/** The form of a union that was meant: the one whose own kind fits. Null when none does. */
function closestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const fitting = branches.filter((issues) => issues.every((issue) => issue.path.length > 0 || !isMismatch(issue)))
  return fitting.toSorted((a, b) => a.length - b.length)[0] ?? null
}

function isMismatch(issue: Issue): boolean {
  if (issue.code === 'invalid_union') return closestBranch(issue.errors) === null
  return issue.code === 'invalid_type' || issue.code === 'invalid_value'
}

function expectationsOf(issue: Issue): string[] {
  if (issue.code === 'invalid_union') return issue.errors.flat().flatMap(expectationsOf)
  if (issue.code === 'invalid_value') return [issue.values.map(String).join(' or ')]
  if (issue.code !== 'invalid_type') return []
  const expected: Readonly<Record<string, string>> = {
    string: 'a text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    object: 'a map',
    record: 'a map',
    array: 'a list',
  }
  return [expected[issue.expected] ?? issue.expected]
}

function mustBe(expectations: readonly string[], value: unknown): string {
  const kinds = [...new Set(expectations)]
  if (kinds.includes('a whole number') && typeof value === 'number') return 'must be a whole number'
  // `.nan` and `.inf`
  if (kinds.includes('a number') && typeof value === 'number') return 'must be a finite number'
  return `must be ${kinds.join(' or ')}, not ${kindOf(value)}${hintFor(kinds, value)}`
}

function hintFor(kinds: readonly string[], value: unknown): string {
  if (value === null) return '; write a value, or leave it out'
  if (!kinds.includes('a text')) return ''
  if (typeof value === 'number') return '; put quotes around it'
  const isNumber = kinds.includes('a number') || kinds.includes('a whole number')
  return isRecord(value) && !isNumber ? '; put quotes around a pattern with braces, as in "job:{rest}"' : ''
}

function refuseKey(document: ConfigDocument, path: ConfigPath, known: readonly string[]): void {
  const key = String(path.at(-1))
  const close = didYouMean(key, known)
  // `password: { hunter2 }`
  if (close === '' && known.includes('env'))
    return document.refuse(path.slice(0, -1), 'must be a text, { env: NAME } or { file: PATH }')
  const meant = close || (known.length > 0 ? `; known here: ${known.join(', ')}` : '')
  // The path shows what stands before the colon, which may well be one that is known.
  const offer = key.includes(':') ? '; a key ends at a colon with a space behind it' : meant
  document.refuse(path, `is not a key that is known here${offer}`, 'key')
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value
  for (const step of path)
    at = typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[step] : undefined
  return at
}

function listOf(words: readonly string[]): string {
  return words.map((word) => `"${word}"`).join(', ')
}
