import { isDeepStrictEqual } from 'node:util'
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Pair,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml'
import { UnderstudyError } from '../../base/errors.ts'
import { PHASES, type Phase } from '../config.ts'
import { expandVariables } from './expand.ts'
import { phaseOverride } from './phase-override.ts'
import { didYouMean } from './suggest.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The text of a configuration file with another phase for one route, and not a byte changed besides: comments, quotes, order and line
 * ends stay. Where the route has no `phase`, one is added behind its name.
 *
 * Throws UnderstudyError NOT_FOUND when there is no such route, ADMIN_REFUSED when an edit would have no effect or a wider one (the phase comes
 * from the environment, or from a part that other routes share), CONFIG_INVALID when the file is not YAML, or empty.
 */
export function editPhase(text: string, route: string, phase: Phase, env: Environment = {}): string {
  if (!PHASES.includes(phase)) {
    throw new UnderstudyError(
      'USAGE',
      `"${phase}" is not a phase${didYouMean(phase, PHASES)}; there are ${PHASES.join(', ')}`,
    )
  }
  const document = parse(text)
  const { map, index } = findRoute(document, route, env)
  const variable = phaseOverride(env, route, map.has('target'))
  if (variable !== null) {
    throw refused(
      `the phase of route "${route}" comes from the environment variable ${variable}; change it there, or unset it`,
    )
  }
  const pair = map.items.find((item) => isScalar(item.key) && item.key.value === 'phase')
  const edited = pair === undefined ? addPhase(text, map, phase) : replacePhase(text, document, pair, route, phase)
  assertOnlyPhaseChanged(text, edited, index, phase)
  return edited
}

const YAML = { prettyErrors: false, stringKeys: true } as const

function parse(text: string): Document {
  const document = parseDocument(text, YAML)
  if (document.errors.length > 0) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      'the configuration file is not valid YAML, so it is not edited; see `understudy check`',
    )
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null))
    throw new UnderstudyError('CONFIG_INVALID', 'the configuration file is empty, so it is not edited')
  return document
}

function findRoute(document: Document, route: string, env: Environment): { map: YAMLMap; index: number } {
  const routes = document.get('routes')
  const names: string[] = []
  if (isSeq(routes)) {
    for (const [index, item] of routes.items.entries()) {
      const map = isAlias(item) ? item.resolve(document) : item
      const name = isMap(map) ? map.get('name') : undefined
      if (typeof name !== 'string') continue
      const expanded = expandVariables(name, env).text
      names.push(expanded)
      if (expanded !== route) continue
      if (isAlias(item) || !isMap(map)) throw refused(`route "${route}" is written as an alias; edit the file by hand`)
      return { map, index }
    }
  }
  throw new UnderstudyError(
    'NOT_FOUND',
    `there is no route "${route}" in the file${didYouMean(route, names) || (names.length === 0 ? '' : `; there are ${names.join(', ')}`)}`,
  )
}

function replacePhase(text: string, document: Document, pair: Pair, route: string, phase: Phase): string {
  const { key, value } = pair
  if (value === null || (isScalar(value) && value.source === '')) return fillEmptyPhase(text, key as Scalar, phase)
  if (!isAlias(value) && !isScalar(value))
    throw refused(`the phase of route "${route}" is not a text; see \`understudy check\``)
  const [start, end] = value.range!
  if (isScalar(value)) {
    if (String(value.value).includes('${')) {
      throw refused(
        `the phase of route "${route}" is ${JSON.stringify(value.value)} in the file; change the variable, or write the phase there`,
      )
    }
    if (value.anchor !== undefined && isReferredTo(document, value.anchor)) {
      throw refused(
        `the phase of route "${route}" has the anchor &${value.anchor}, which other places use; edit the file by hand`,
      )
    }
  }
  const written = text.slice(start, end)
  const quote = written.startsWith('"') ? '"' : written.startsWith("'") ? "'" : ''
  // A block scalar (`phase: |`) owns the comment behind its mark, and the line end behind it.
  const comment = /^[|>][^\s#]*([ \t]+#[^\r\n]*)/.exec(written)?.[1] ?? ''
  const lineEnd = /\r?\n$/.exec(written)?.[0] ?? ''
  return text.slice(0, start) + quote + phase + quote + comment + lineEnd + text.slice(end)
}

/** `phase:` with nothing behind it; in a flow map even the colon may be missing. */
function fillEmptyPhase(text: string, key: Scalar, phase: Phase): string {
  const keyEnd = key.range![1]
  const colon = /^\s*:/.exec(text.slice(keyEnd))
  const at = keyEnd + (colon?.[0].length ?? 0)
  return `${text.slice(0, at)}${colon === null ? ':' : ''} ${phase}${text.slice(at)}`
}

function addPhase(text: string, map: YAMLMap, phase: Phase): string {
  const name = map.items.find((item) => isScalar(item.key) && item.key.value === 'name')!
  const [, valueEnd] = (name.value as Scalar).range!
  if (map.flow === true) return `${text.slice(0, valueEnd)}, phase: ${phase}${text.slice(valueEnd)}`
  // Before a key may stand its anchor, or a "?": so one of them alone does not tell.
  const columns = map.items.map(({ key }) => columnOf(text, (key as Scalar).range![0]))
  const found = text.indexOf('\n', valueEnd)
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const lineEnd = found < 0 ? text.length : found > 0 && text[found - 1] === '\r' ? found - 1 : found
  return `${text.slice(0, lineEnd)}${newline}${' '.repeat(Math.min(...columns))}phase: ${phase}${text.slice(lineEnd)}`
}

function columnOf(text: string, at: number): number {
  return at - (text.lastIndexOf('\n', at - 1) + 1)
}

function isReferredTo(document: Document, anchor: string): boolean {
  let found = false
  visit(document, {
    Alias(_, alias) {
      found ||= alias.source === anchor
    },
  })
  return found
}

/** The edit is made on the text, so the text is asked what it became. */
function assertOnlyPhaseChanged(before: string, after: string, index: number, phase: Phase): void {
  const old = parse(before).toJS({ maxAliasCount: -1 }) as { routes: Record<string, unknown>[] }
  const next = parseDocument(after, YAML)
  const wanted = old.routes.map((route, i) => (i === index ? { ...route, phase } : route))
  const isWanted =
    next.errors.length === 0 && isDeepStrictEqual(next.toJS({ maxAliasCount: -1 }), { ...old, routes: wanted })
  if (!isWanted) {
    throw new UnderstudyError(
      'INTERNAL',
      'editing the phase would have changed more than the phase; the file is as it was, edit it by hand',
    )
  }
}

function refused(message: string): UnderstudyError {
  return new UnderstudyError('ADMIN_REFUSED', message)
}
