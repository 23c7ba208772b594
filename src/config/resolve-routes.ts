import type { z } from 'zod'
import type { EndConfig, Phase, RouteConfig } from './config.ts'
import type { ConfigDocument } from './document.ts'
import { KeyIndex } from './key-index.ts'
import { commonKey } from './key-language.ts'
import { comparePatterns, KeyPattern } from './pattern.ts'
import { segmentsOf } from './pattern-overlap.ts'
import { phaseFromVariable, phaseOverride, phaseVariable, strayOverrides } from './phase-override.ts'
import { type ConfigPath, messageOf } from './problems.ts'
import { KeyRename } from './rename.ts'
import { EndFile, RouteFile } from './schema.ts'
import { isRecord, kindOf, readFields } from './schema-issues.ts'
import { name as storeName } from './schema-types.ts'
import { didYouMean } from './suggest.ts'

/** A route on its way from the file to the configuration; what was wrong is missing (and reported). */
export interface RouteDraft {
  readonly name: string
  readonly path: ConfigPath
  readonly patterns: readonly { readonly pattern: KeyPattern; readonly path: ConfigPath }[]
  readonly source: EndDraft | null
  readonly target: EndDraft | null
  readonly phase: Phase
  /** The environment variable that the phase comes from; null: from the file. */
  readonly phaseVariable: string | null
  readonly fields: Partial<Omit<z.output<typeof RouteFile>, 'source' | 'target'>>
}

export interface EndDraft {
  readonly path: ConfigPath
  readonly store: string | null
  /** By the text of the application's pattern. Without those that change nothing. */
  readonly renames: ReadonlyMap<string, KeyRename>
  /** Patterns whose new names could not be read: what they will be is not known. */
  readonly unreadable: ReadonlySet<string>
  /** Those too that keep their names: to be named here makes a channel the route's. */
  readonly channels: ReadonlyMap<string, KeyRename>
}

/** The route's patterns that could be read, and whether those are all. */
interface KnownPatterns {
  readonly patterns: readonly KeyPattern[]
  readonly complete: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

/** Reads the routes and reports what is wrong with each, and with all of them together; not what their stores make of it. */
export function resolveRoutes(
  document: ConfigDocument,
  env: Environment,
  raw: readonly unknown[],
  stores: readonly string[],
): RouteDraft[] {
  const drafts = raw.flatMap((entry, i) => readRoute(document, env, entry, ['routes', i], stores) ?? [])
  refuseDuplicateNames(document, env, drafts)
  refuseAmbiguousPatterns(document, drafts)
  const allRead = drafts.length === raw.length && drafts.every((draft) => draft.fields.keys !== undefined)
  if (raw.length > 0 && allRead && !drafts.some((draft) => draft.patterns.some(({ pattern }) => pattern.isCatchAll))) {
    document.refuse(
      ['routes'],
      'no route has the pattern "*"; add one, so that it is plain where all other keys go',
      'key',
    )
  }
  for (const variable of strayOverrides(
    env,
    drafts.map(({ name }) => name),
  )) {
    document.warn(['routes'], `the environment variable ${variable} is set, and no route has this name`)
  }
  return drafts
}

/** The finished route; only for drafts of a document without problems. */
export function finishRoute({ name, source, target, phase, fields }: RouteDraft): RouteConfig {
  const { keys, mirror, compare, readTimeout, scripts } = fields as Required<RouteDraft['fields']>
  return {
    name,
    keys,
    source: finishEnd(source!),
    target: target === null ? null : finishEnd(target),
    phase,
    mirror: {
      mode: mirror.mode,
      backlogBytes: mirror.backlog,
      timeoutMs: mirror.timeout,
      onShadowError: mirror.onShadowError,
    },
    compare: {
      sample: compare.sample,
      ttlToleranceMs: compare.ttlTolerance,
      ignoreJson: compare.ignore.json,
      always: compare.always,
      never: compare.never,
      reveal: compare.reveal,
      repair: compare.repair,
      decode: compare.decode,
      baseline: compare.baseline,
      acknowledge: compare.acknowledge.map((known) => ({
        pattern: known.pattern ?? null,
        command: known.command ?? null,
        class: known.class ?? null,
        untilMs: known.until ?? null,
        reason: known.reason,
      })),
    },
    readTimeoutMs: readTimeout,
    scripts,
  }
}

function finishEnd({ store, renames, channels }: EndDraft): EndConfig {
  const texts = (map: ReadonlyMap<string, KeyRename>): Record<string, string> =>
    Object.fromEntries([...map].map(([from, rename]) => [from, rename.to.text]))
  return { store: store!, keys: texts(renames), channels: texts(channels) }
}

function readRoute(
  document: ConfigDocument,
  env: Environment,
  raw: unknown,
  path: ConfigPath,
  stores: readonly string[],
): RouteDraft | null {
  const fields = readFields(document, RouteFile, raw, path, ['source', 'target'])
  if (fields === null || !isRecord(raw)) return null
  const name = fields.name ?? ''
  // One bad pattern must not hide the others; it is reported by the schema.
  const texts = Array.isArray(raw.keys) ? raw.keys : []
  const patterns = texts.flatMap((text: unknown, i) => {
    const pattern = typeof text === 'string' ? tryParse(text) : null
    return pattern === null ? [] : [{ pattern, path: [...path, 'keys', i] }]
  })
  const known = { patterns: patterns.map(({ pattern }) => pattern), complete: fields.keys !== undefined }
  const source = readEnd(document, raw.source, [...path, 'source'], known, stores)
  if (raw.source === undefined) document.refuse([...path, 'source'], 'is missing; name the store where the data is')
  const target = raw.target === undefined ? null : readEnd(document, raw.target, [...path, 'target'], known, stores)

  const variable = name === '' ? null : phaseOverride(env, name, raw.target !== undefined)
  let phase = fields.phase ?? 'passthrough'
  if (variable !== null) {
    const overridden = phaseFromVariable(env, variable)
    if (typeof overridden === 'string') phase = overridden
    else document.refuse([...path, 'phase'], overridden.problem)
  }
  if (phase !== 'passthrough' && raw.target === undefined) {
    const why = variable === null ? '' : ` (from the environment variable ${variable})`
    document.refuse(
      [...path, 'phase'],
      `the phase ${phase}${why} needs a target; add target: { store: ... }, or stay in passthrough`,
    )
  }
  return { name, path, patterns, source, target, phase, phaseVariable: variable, fields }
}

function readEnd(
  document: ConfigDocument,
  raw: unknown,
  path: ConfigPath,
  known: KnownPatterns,
  stores: readonly string[],
): EndDraft | null {
  if (raw === undefined) return null
  if (typeof raw === 'string') {
    return {
      path,
      store: readStore(document, raw, path, stores),
      renames: new Map(),
      unreadable: NONE,
      channels: new Map(),
    }
  }
  if (!isRecord(raw)) {
    document.refuse(path, `must be the name of a store or a map with "store", not ${kindOf(raw)}`)
    return null
  }
  const fields = readFields(document, EndFile, raw, path)
  return {
    path,
    store: fields?.store === undefined ? null : readStore(document, fields.store, [...path, 'store'], stores),
    ...readRenames(document, textsIn(raw['keys']), [...path, 'keys'], known),
    channels: readChannels(document, textsIn(raw['channels']), [...path, 'channels']),
  }
}

const NONE: ReadonlySet<string> = new Set()

/** The entries that are texts; the others are reported by the schema. */
function textsIn(raw: unknown): [string, string][] {
  if (!isRecord(raw)) return []
  return Object.entries(raw).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
}

function readStore(document: ConfigDocument, name: string, path: ConfigPath, stores: readonly string[]): string | null {
  if (stores.includes(name)) return name
  const shown = storeName.safeParse(name).success ? `"${name}"` : 'this'
  document.refuse(path, `${shown} is not one of the stores${didYouMean(name, stores) || `: ${stores.join(', ')}`}`)
  return null
}

function readRenames(
  document: ConfigDocument,
  renames: readonly [string, string][],
  path: ConfigPath,
  { patterns, complete }: KnownPatterns,
): Pick<EndDraft, 'renames' | 'unreadable'> {
  const read = new Map<string, KeyRename>()
  const unreadable = new Set<string>()
  for (const [from, to] of renames) {
    const pattern = patterns.find(({ text }) => text === from)
    if (pattern === undefined) {
      if (!complete) continue
      const close = didYouMean(
        from,
        patterns.map(({ text }) => text),
      )
      document.refuse([...path, from], `is not one of the route's "keys", as they are written there${close}`, 'key')
      continue
    }
    if (!readRename(document, pattern, to, [...path, from], read)) unreadable.add(from)
  }
  return { renames: read, unreadable }
}

function readChannels(
  document: ConfigDocument,
  channels: readonly [string, string][],
  path: ConfigPath,
): Map<string, KeyRename> {
  const read = new Map<string, KeyRename>()
  for (const [from, to] of channels) {
    try {
      readRename(document, KeyPattern.parse(from), to, [...path, from], read, true)
    } catch (error) {
      document.refuse([...path, from], messageOf(error), 'key')
    }
  }
  const renames = [...read.values()]
  const index = new KeyIndex(renames, (rename) => rename.image())
  for (const a of renames) {
    for (const b of index.near(a.image())) {
      // The rest come after it, and are compared in their turn.
      if (a === b) break
      const shared = commonKey(a.image(), b.image())
      if (shared === null) continue
      document.refuse(
        [...path, a.from.text],
        `becomes the same as "${b.from.text}", for example ${shown(shared)}; choose another name`,
      )
    }
  }
  return read
}

function readRename(
  document: ConfigDocument,
  from: KeyPattern,
  to: string,
  path: ConfigPath,
  read: Map<string, KeyRename>,
  keepsNames = false,
): boolean {
  try {
    const rename = KeyRename.between(from, KeyPattern.parse(to))
    if (keepsNames || from.text !== to) read.set(from.text, rename)
    return true
  } catch (error) {
    document.refuse(path, messageOf(error))
    return false
  }
}

function refuseDuplicateNames(document: ConfigDocument, env: Environment, drafts: readonly RouteDraft[]): void {
  const variables = drafts.map(({ name }) => phaseVariable(name))
  drafts.forEach(({ name, path }, i) => {
    if (name === '') return
    const variable = variables[i]!
    for (const [at, other] of drafts.slice(0, i).entries()) {
      if (other.name === name) document.refuse([...path, 'name'], `another route is called "${name}" already`)
      else if (env[variable] && variables[at] === variable) {
        document.refuse(
          [...path, 'name'],
          `the environment variable ${variable} means this route and "${other.name}"; rename one of them`,
        )
      }
    }
  })
}

function refuseAmbiguousPatterns(document: ConfigDocument, drafts: readonly RouteDraft[]): void {
  const all = drafts.flatMap(({ name, patterns }) => patterns.map((of) => ({ ...of, route: name })))
  const index = new KeyIndex(all, ({ pattern }) => segmentsOf(pattern))
  for (const own of all) {
    const { pattern, path, route } = own
    for (const other of index.near(segmentsOf(pattern))) {
      // The rest come after it, and are compared in their turn.
      if (other === own) break
      if (comparePatterns(pattern, other.pattern) !== 0) continue
      const key = commonKey(segmentsOf(pattern), segmentsOf(other.pattern))
      if (key === null) continue
      const where = other.route === route ? 'this route' : `route "${other.route}"`
      document.refuse(
        path,
        pattern.text === other.pattern.text
          ? `stands in ${where} already; remove one`
          : `"${pattern.text}" and "${other.pattern.text}" of ${where} match the same keys, for example ${shown(key)}, and neither is more specific; change one of them`,
      )
      break
    }
  }
}

/** An example key in a message. It is made up, not a key of anyone's data. */
export function shown(key: Buffer): string {
  return JSON.stringify(key.toString('latin1'))
}

function tryParse(text: string): KeyPattern | null {
  try {
    return KeyPattern.parse(text)
  } catch {
    return null
  }
}
