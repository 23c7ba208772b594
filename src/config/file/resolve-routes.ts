import type { z } from 'zod'
import type { Phase, RouteConfig } from '../config.ts'
import { KeyIndex } from '../patterns/key-index.ts'
import { commonKey } from '../patterns/key-language.ts'
import { comparePatterns, KeyPattern } from '../patterns/pattern.ts'
import { segmentsOf } from '../patterns/pattern-overlap.ts'
import type { ConfigDocument } from './document.ts'
import { phaseFromVariable, phaseOverride, phaseVariable, strayOverrides } from './phase-override.ts'
import { type ConfigPath, shown } from './problems.ts'
import { type EndDraft, finishEnd, readEnd } from './resolve-ends.ts'
import { isRecord, readFields } from './schema-issues.ts'
import { RouteFile } from './schema-routes.ts'

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

function tryParse(text: string): KeyPattern | null {
  try {
    return KeyPattern.parse(text)
  } catch {
    return null
  }
}
