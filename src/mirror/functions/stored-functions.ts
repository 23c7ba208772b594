import { analyseLibrary, type LibraryFacts } from '../../command/scripts/library-analysis.ts'
import { JSON_IS_CHANGED } from '../../command/scripts/script-book.ts'
import { type ScriptFacts, UNREADABLE } from '../../command/scripts/script-facts.ts'
import type { CommandTable } from '../../command/table.ts'
import type { KnownFunction } from '../../routing/plan-script.ts'
import { digestOf, type Library } from './function-list.ts'

/** A function as a store has it. */
export class StoredFunction implements KnownFunction {
  readonly name: string
  readonly facts: ScriptFacts
  /** The server itself sees to it that it writes nothing. */
  readonly readOnly: boolean
  readonly library: string
  /** Of the library's source. */
  readonly digest: string
  /** When it was last asked for, by the coarse clock. */
  calledMs = 0
  /** Routes for whose keys it was. */
  readonly calledFor: Set<string> = new Set()
  /** A shadow has this library, so that a call may have been run again there. */
  isRunAgain = false
  readonly #usesJson: boolean
  #unsent: ScriptFacts | null = null
  #ofChangedJson: ScriptFacts | null = null

  constructor(name: string, facts: ScriptFacts, readOnly: boolean, library: string, digest: string, usesJson: boolean) {
    this.name = name
    this.facts = readOnly ? { ...facts, writes: false } : facts
    this.readOnly = readOnly
    this.library = library
    this.digest = digest
    this.#usesJson = usesJson
  }

  /** Nothing that it does could meet keys under other names, or at another store. */
  get isHarmless(): boolean {
    const { declaresKeys, asksForAllKeys, publishesTo } = this.facts
    return declaresKeys && !asksForAllKeys && publishesTo.length === 0
  }

  /** The same where the shadow may have another library of that name, or none. */
  get factsUnsent(): ScriptFacts {
    if (this.facts.varies !== null) return this.facts
    this.#unsent ??= { ...this.facts, varies: 'its library has not passed by' }
    return this.#unsent
  }

  /** The same where a library may have changed how cjson writes and reads. */
  get factsOfChangedJson(): ScriptFacts {
    if (this.facts.varies !== null || !this.#usesJson) return this.facts
    this.#ofChangedJson ??= { ...this.facts, varies: JSON_IS_CHANGED }
    return this.#ofChangedJson
  }
}

/** By source (`digestOf`): what can be told of libraries. Most are at both ends of a route. */
export type ReadSources = Map<string, LibraryFacts>

/** The functions of the libraries of one server, by lower-case name. `before`, `sources`: as far as they are the same. */
export function readLibraries(
  libraries: readonly Library[],
  commands: CommandTable,
  before: ReadonlyMap<string, StoredFunction> = new Map(),
  sources: ReadSources = new Map(),
): Map<string, StoredFunction> {
  const functions = new Map<string, StoredFunction>()
  let bytes = 0
  for (const { name, engine, code, functions: list } of libraries) {
    bytes += code.length
    const digest = digestOf(code)
    let read: LibraryFacts | null = null
    for (const { name: of, flags } of list) {
      const at = of.toLowerCase()
      const known = before.get(at)
      if (known?.library === name && known.digest === digest) {
        functions.set(at, known)
        continue
      }
      read ??= engine === 'LUA' && bytes <= MAX_BYTES ? readSource(code, digest, commands, sources) : NOT_READ
      const facts = read.functions.get(of) ?? read.others
      functions.set(at, new StoredFunction(of, facts, flags.has('no-writes'), name, digest, code.includes('cjson')))
    }
  }
  return functions
}

function readSource(code: Buffer, digest: string, commands: CommandTable, sources: ReadSources): LibraryFacts {
  const known = sources.get(digest)
  if (known !== undefined) return known
  if (sources.size >= MAX_SOURCES) sources.clear()
  const facts = analyseLibrary(code.toString('latin1'), commands)
  sources.set(digest, facts)
  return facts
}

const NOT_READ: LibraryFacts = { functions: new Map(), others: UNREADABLE }

/** Of a store; libraries beyond it are not read. All clients wait while one is: half a millisecond for each kilobyte. */
const MAX_BYTES = 1024 * 1024
/** Forgotten all at once: then they are read once more. */
const MAX_SOURCES = 1_000
