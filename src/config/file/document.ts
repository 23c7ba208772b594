import {
  type Alias,
  type Document,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml'
import { withoutCredentials } from '../../base/credentials.ts'
import { expandVariables } from './expand.ts'
import { type ConfigPath, formatPath, type Problem } from './problems.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Anchors may repeat a part; beyond this many values a file is an attack or a mistake. */
const MAX_VALUES = 100_000

/** What may stand alone as a key that somebody has yet to give a value. */
const NAME = /^[\w-]+$/

/** Their keys are those of the application. */
const MAPS_OF_PATTERNS: ReadonlySet<unknown> = new Set(['keys', 'channels'])

/**
 * A YAML file as plain values, that knows where each of them stands. Variables are expanded in every text (also in the keys of a map)
 * after YAML is parsed, so that no value of the environment can change the structure.
 */
export class ConfigDocument {
  /** The whole file as plain objects, arrays, strings, numbers, booleans and nulls; null when it is not usable YAML. */
  readonly value: unknown
  readonly #env: Environment
  readonly #text: string
  readonly #document: Document
  readonly #lines = new LineCounter()
  /** By all that they say: what is found twice is said once. */
  readonly #problems = new Map<string, Problem>()
  readonly #warnings = new Map<string, Problem>()
  /** Offsets in the text by path. */
  readonly #values = new Map<string, number>()
  readonly #keys = new Map<string, number>()
  /** Values that came out of the environment, and what stands in the file instead. */
  readonly #expanded: { readonly value: string; readonly source: string }[] = []
  /** Paths whose text refers to a variable. */
  readonly #variable = new Set<string>()
  /** Paths of texts, numbers and other values that contain nothing. */
  readonly #leaves = new Set<string>()
  /** Paths whose value could not be read: what else is wrong there follows from that. */
  readonly #broken = new Set<string>()
  #count = 0

  constructor(text: string, env: Environment) {
    this.#text = text
    this.#env = env
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
      resolveKnownTags: false,
    })
    this.#document = document
    for (const error of [...untilLost(document.errors), ...document.warnings]) {
      this.#addAt(this.#problems, error.pos[0], '', describeYamlError(error.code, error.message))
    }
    const structureIsSound = document.errors.every((error) => error.code === 'DUPLICATE_KEY')
    // `---` alone, `null` and `~` are a document that holds nothing.
    const empty = document.contents === null || (isScalar(document.contents) && document.contents.value === null)
    if (empty && structureIsSound) {
      this.#addAt(this.#problems, 0, '', 'the file is empty; it needs at least "stores" and "routes"')
    }
    const usable = !empty && structureIsSound
    this.value = usable ? this.#read(document.contents as Node, [], new Set()) : null
  }

  /** In the order of the file, each once. */
  get problems(): readonly Problem[] {
    return inOrder(this.#problems)
  }

  get warnings(): readonly Problem[] {
    return inOrder(this.#warnings)
  }

  /** Reports a problem with the value at `path` (or with its key); where there is none, at the closest thing around it. */
  refuse(path: ConfigPath, message: string, at: 'value' | 'key' = 'value'): void {
    for (let length = 0; length <= path.length; length++) {
      if (this.#broken.has(JSON.stringify(path.slice(0, length)))) return
    }
    this.#addAt(this.#problems, this.#offsetOf(path, at), shownPath(path), message)
  }

  warn(path: ConfigPath, message: string): void {
    this.#addAt(this.#warnings, this.#offsetOf(path, 'value'), shownPath(path), message)
  }

  /** Whether the text at `path` refers to a variable. */
  isVariable(path: ConfigPath): boolean {
    return this.#variable.has(JSON.stringify(path))
  }

  #read(node: Node | null, path: ConfigPath, within: ReadonlySet<Node>): unknown {
    if (node === null) return null
    const where = JSON.stringify(path)
    if (!this.#values.has(where)) this.#values.set(where, node.range?.[0] ?? 0)
    if (++this.#count > MAX_VALUES) {
      if (this.#count === MAX_VALUES + 1)
        this.refuse(path, `the file has more than ${MAX_VALUES} values; anchors repeat too much`)
      return null
    }
    if (isAlias(node)) return this.#readAlias(node, path, within)
    if (isScalar(node)) {
      this.#leaves.add(where)
      return typeof node.value === 'string' ? this.#expand(node, node.value, path) : node.value
    }
    const around = new Set(within).add(node)
    if (isSeq(node)) return node.items.map((item, i) => this.#read(item as Node | null, [...path, i], around))
    if (!isMap(node)) return null
    const map: Record<string, unknown> = {}
    // A key that stands alone may be the rest of a text with a comma: `{ password: hun,ter2 }`. The texts at the root are no secrets.
    let mayBeRest = false
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const isUnparted: boolean = pair.value === null && (mayBeRest || !NAME.test(writtenIn(pair.key)))
      if (isUnparted) this.#refuseUnparted(pair.key, path)
      else this.#readPair(map, pair, path, around)
      mayBeRest ||= isUnparted || (path.length > 0 && isScalar(pair.value) && pair.value.type === 'PLAIN')
    }
    return map
  }

  #readPair(
    map: Record<string, unknown>,
    pair: Pair<Node, Node | null>,
    path: ConfigPath,
    within: ReadonlySet<Node>,
  ): void {
    const written = writtenIn(pair.key)
    const key = this.#expand(pair.key, written, [...path, written])
    const where = JSON.stringify([...path, key])
    const offset = pair.key.range?.[0] ?? 0
    if (key === '__proto__') {
      this.#addAt(this.#problems, offset, shownPath(path), 'this name cannot be used; choose another')
      return
    }
    // Two keys that are the same as written are reported by the parser.
    const duplicate = Object.hasOwn(map, key)
    if (duplicate && key !== written)
      this.#addAt(this.#problems, offset, shownPath([...path, key]), 'this key stands here twice')
    if (duplicate) return
    this.#keys.set(where, offset)
    // An empty value has its place behind the colon, often on the next line: its key is the better place to point to.
    if (pair.value === null || (isScalar(pair.value) && pair.value.source === '')) this.#values.set(where, offset)
    map[key] = this.#read(pair.value, [...path, key], within)
  }

  /** `{ password:hunter2 }`, say: the value has become a part of the key, and keys are shown in messages. */
  #refuseUnparted(key: Node, path: ConfigPath): void {
    const message =
      'this entry has no value; write it like { key: value }, with a space behind the colon, and quotes around a text with a comma'
    this.#addAt(this.#problems, key.range?.[0] ?? 0, shownPath(path), message)
    const meant = /^[\w-]*/.exec(writtenIn(key))![0]
    this.#broken.add(JSON.stringify([...path, meant]))
  }

  #readAlias(node: Alias, path: ConfigPath, within: ReadonlySet<Node>): unknown {
    const target = node.resolve(this.#document)
    if (target === undefined) {
      this.refuse(path, 'no anchor of this name stands above; put quotes around a text that begins with "*"')
      this.#broken.add(JSON.stringify(path))
      return null
    }
    if (within.has(target)) {
      this.refuse(path, 'the anchor contains itself')
      this.#broken.add(JSON.stringify(path))
      return null
    }
    return this.#read(target, path, within)
  }

  #expand(node: Node, text: string, path: ConfigPath): string {
    if (!text.includes('${')) return text
    const expansion = expandVariables(text, this.#env)
    this.#variable.add(JSON.stringify(path))
    if (expansion.fromEnvironment) this.#expanded.push({ value: expansion.text, source: text })
    const start = node.range?.[0] ?? 0
    if (expansion.problems.length > 0) this.#broken.add(JSON.stringify(path))
    for (const { index, message } of expansion.problems) {
      // Quotes and escapes move the reference; its own text finds it again.
      const reference = text.slice(index, index + 2 + (/^[A-Za-z0-9_]*/.exec(text.slice(index + 2))?.[0].length ?? 0))
      const found = this.#text.indexOf(reference, start)
      this.#addAt(
        this.#problems,
        found >= 0 && found < (node.range?.[1] ?? 0) ? found : start,
        shownPath(path),
        message,
      )
    }
    return expansion.text
  }

  /** A value of the environment may be a secret in the wrong place: messages show what stands in the file. */
  #withoutEnvironment(message: string): string {
    let safe = message
    for (const { value, source } of this.#expanded) {
      if (value !== '')
        safe = safe
          .replaceAll(JSON.stringify(value), () => JSON.stringify(source))
          .replaceAll(`"${value}"`, () => `"${source}"`)
    }
    return safe
  }

  #offsetOf(path: ConfigPath, at: 'value' | 'key'): number {
    const own = JSON.stringify(path)
    const exact = at === 'key' ? (this.#keys.get(own) ?? this.#values.get(own)) : this.#values.get(own)
    if (exact !== undefined) return exact
    for (let length = path.length - 1; length > 0; length--) {
      const around = JSON.stringify(path.slice(0, length))
      const key = this.#leaves.has(around) ? undefined : this.#keys.get(around)
      const offset = key ?? this.#values.get(around)
      if (offset !== undefined) return offset
    }
    return this.#values.get('[]') ?? 0
  }

  #addAt(list: Map<string, Problem>, offset: number, path: string, text: string): void {
    const { line, col } = this.#lines.linePos(offset)
    // A URL may stand where none is expected.
    const message = withoutCredentials(this.#withoutEnvironment(text))
    const problem = { line: Math.max(line, 1), column: Math.max(col, 1), path: withoutCredentials(path), message }
    // Those found first stay where they are.
    list.set(JSON.stringify(problem), problem)
  }
}

function writtenIn(key: Node): string {
  return isScalar(key) ? String(key.value) : ''
}

/** Patterns are shown as they are; behind the colon of another key may stand a value that has become a part of it: `{ password:hunter2: }`. */
function shownPath(path: ConfigPath): string {
  return formatPath(
    path.map((step, i) =>
      typeof step === 'string' && !MAPS_OF_PATTERNS.has(path[i - 1]) ? step.replace(/:.*/s, '') : step,
    ),
  )
}

function inOrder(problems: ReadonlyMap<string, Problem>): Problem[] {
  return [...problems.values()].sort((a, b) => a.line - b.line || a.column - b.column)
}

/** The errors up to the first after which the parser no longer knows where it is: what it says from there on is noise. */
function untilLost(errors: readonly YAMLError[]): readonly YAMLError[] {
  const lost = errors.findIndex(({ code }) => code === 'UNEXPECTED_TOKEN')
  return lost < 0 ? errors : errors.slice(0, lost + 1)
}

/** In words for someone who does not know the YAML specification; never with a part of the file, which may be a secret. */
function describeYamlError(code: ErrorCode, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'this key stands here twice; remove one'
    case 'BAD_ALIAS':
      return 'a text that begins with "*" needs quotes, as in "*"'
    case 'BAD_SCALAR_START':
      return 'a text that begins with this character needs quotes'
    case 'TAG_RESOLVE_FAILED':
      return 'a text that begins with "!" needs quotes; tags are not used here'
    case 'NON_STRING_KEY':
    case 'BLOCK_IN_FLOW':
      return 'this is not a text; put quotes around a pattern with braces, as in "job:{rest}"'
    case 'MULTIPLE_DOCS':
      return 'a second document begins here ("---"); a configuration is one document'
    case 'UNEXPECTED_TOKEN':
      if (!message.includes('flow-map-start')) break
      return 'a text with braces needs quotes here, as in "job:{rest}"; so does a variable'
  }
  // What the parser found stands behind a colon.
  const what = message.slice(1).replace(/(?<! ): [\s\S]*$/, '')
  return `this is not YAML: ${message.charAt(0).toLowerCase()}${what}`
}
