import { analyseLibrary, type LibraryFacts } from '../command/library-analysis.ts'
import { type ScriptFacts, UNREADABLE } from '../command/script-analysis.ts'
import type { CommandTable } from '../command/table.ts'
import type { FoundFunction, KnownFunction } from '../routing/plan-script.ts'
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
  #unsent: ScriptFacts | null = null

  constructor(name: string, facts: ScriptFacts, readOnly: boolean, library: string, digest: string) {
    this.name = name
    this.facts = readOnly ? { ...facts, writes: false } : facts
    this.readOnly = readOnly
    this.library = library
    this.digest = digest
  }

  /** The same where the shadow may have another library of that name, or none. */
  get factsUnsent(): ScriptFacts {
    if (this.facts.varies !== null) return this.facts
    this.#unsent ??= { ...this.facts, varies: 'its library has not passed by' }
    return this.#unsent
  }
}

/** What is known of the functions of one store, and until when. Reading them is its owner's business. */
export class FunctionShelf {
  #functions: ReadonlyMap<string, StoredFunction> = new Map()
  /** By library. */
  #digests: ReadonlyMap<string, string> = new Map()
  #state: 'unread' | 'read' | 'refused' = 'unread'
  /** Counts changes that have passed by, and servers that have answered; and how many of them the reading under way knows, and the last one. */
  #changes = 0
  #changesAsked = 0
  #changesRead = 0
  /** Changes under way. */
  #changing = 0
  #asking = false
  /** When the last reading began, and the one before it. */
  #askedMs = Number.NEGATIVE_INFINITY
  #askedBeforeMs = Number.NEGATIVE_INFINITY
  #usedMs = Number.NEGATIVE_INFINITY
  /** Since when somebody has been waiting; 0: nobody is. */
  #waitingSinceMs = 0
  #bytes = 0
  /** What the reading under way finds changed has not passed by. */
  #isUnseen = false
  /** Somebody waits for a reading. */
  wanted = false

  /** Somebody has asked for a function since it was read, and may have been told what is not true any more. */
  get isUsed(): boolean {
    return this.#usedMs >= this.#askedMs - SLACK_MS
  }

  /** Asking now is of use: nothing is on its way that would be asked about again. */
  get mayBeAsked(): boolean {
    return !this.#asking && this.#changing === 0
  }

  find(name: string, nowMs: number): FoundFunction<StoredFunction> {
    this.#usedMs = nowMs
    const known = this.#functions.get(name)
    if (known === undefined || !this.#isCertain) return this.#missing(nowMs)
    known.calledMs = nowMs
    return known
  }

  /** A function of that name, as it was when the store was last read. */
  last(name: string): StoredFunction | undefined {
    return this.#isCertain ? this.#functions.get(name) : undefined
  }

  get #isCertain(): boolean {
    return this.#state === 'read' && !this.#isStale
  }

  get #isStale(): boolean {
    return this.#changesRead !== this.#changes || this.#changing > 0
  }

  #missing(nowMs: number): FoundFunction<StoredFunction> {
    const age = nowMs - this.#askedMs
    if (this.#state === 'refused' && !this.#isStale && age < REFUSED_MS) return 'unreadable'
    if (this.#isCertain && !this.#asking && age < this.#stretched(ABSENT_MS)) return 'absent'
    this.wanted = true
    if (this.#waitingSinceMs === 0) this.#waitingSinceMs = nowMs
    return nowMs - this.#waitingSinceMs > PATIENCE_MS ? 'unreadable' : 'unread'
  }

  /** A change is about to be sent. `changed` follows. */
  changing(): void {
    this.#changing++
  }

  /** It has been answered, or lost. */
  changed(): void {
    this.#changing--
    this.#changes++
  }

  /** It may be another server that answers next. */
  reconnected(): void {
    this.#changes++
    this.#waitingSinceMs = 0
  }

  /** It is time to look whether somebody else has changed something. */
  isDue(nowMs: number): boolean {
    const age = nowMs - this.#askedMs
    if (this.#state === 'unread' || this.#isStale) return age > RETRY_MS
    return age > (this.#state === 'refused' ? REFUSED_MS : this.#stretched(RECHECK_MS))
  }

  asked(nowMs: number): void {
    this.#asking = true
    this.wanted = false
    this.#askedBeforeMs = this.#askedMs
    this.#askedMs = nowMs
    this.#isUnseen = this.#isCertain
    this.#changesAsked = this.#changes
  }

  /** The reading has come to nothing. `refused`: and will again. */
  failed(refused: boolean): void {
    this.#asking = false
    if (!refused) return
    this.#waitingSinceMs = 0
    this.#state = 'refused'
    this.#changesRead = this.#changesAsked
    this.#functions = new Map()
    this.#digests = new Map()
  }

  /** The store has these. Gives those of the libraries that somebody else has changed or deleted since the last time, past Understudy, and of them those that have been called meanwhile. */
  learn(libraries: readonly Library[], commands: CommandTable): Changes {
    this.#asking = false
    this.#waitingSinceMs = 0
    this.#changesRead = this.#changesAsked
    const [before, digestsBefore] = [this.#functions, this.#digests]
    const functions = readLibraries(libraries, commands, before)
    const digests = new Map(libraries.map(({ name, code }) => [name, digestOf(code)]))
    this.#bytes = libraries.reduce((sum, { code }) => sum + code.length, 0)
    this.#functions = functions
    this.#digests = digests
    this.#state = 'read'
    const changed = [...digestsBefore].filter(([name, digest]) => digests.get(name) !== digest).map(([name]) => name)
    const others = [...before.values()].filter((known) => functions.get(known.name) !== known)
    return {
      libraries: this.#isUnseen ? changed : [],
      functions: others.map(({ name }) => name),
      misjudged:
        this.#isUnseen &&
        others.some(
          (known) => known.calledMs >= this.#askedBeforeMs - SLACK_MS && isWorse(known, functions.get(known.name)),
        ),
    }
  }

  #stretched(ms: number): number {
    return ms * (1 + this.#bytes / CHEAP_BYTES)
  }
}

export interface Changes {
  /** That somebody else has changed. */
  readonly libraries: readonly string[]
  /** That are others now, or gone, whoever has changed them. */
  readonly functions: readonly string[]
  /** One that somebody else has changed was called meanwhile, and does more than was known of it. */
  readonly misjudged: boolean
}

/** Something that the new one may have done has not been seen to: run again on the shadow it would have been the old one there. */
function isWorse({ facts }: StoredFunction, now: StoredFunction | undefined): boolean {
  if (now === undefined || !now.facts.writes) return false
  return !facts.writes || facts.varies === null || (facts.declaresKeys && !now.facts.declaresKeys)
}

/** The functions of the libraries of one server, by name. `before`: as far as they are the same. */
export function readLibraries(
  libraries: readonly Library[],
  commands: CommandTable,
  before: ReadonlyMap<string, StoredFunction> = new Map(),
): Map<string, StoredFunction> {
  const functions = new Map<string, StoredFunction>()
  let bytes = 0
  for (const { name, engine, code, functions: list } of libraries) {
    bytes += code.length
    const digest = digestOf(code)
    let read: LibraryFacts | null = null
    for (const { name: of, flags } of list) {
      const known = before.get(of)
      if (known?.library === name && known.digest === digest) {
        functions.set(of, known)
        continue
      }
      read ??= engine === 'LUA' && bytes <= MAX_BYTES ? analyseLibrary(code.toString('latin1'), commands) : NOT_READ
      const facts = read.functions.get(of) ?? read.others
      functions.set(of, new StoredFunction(of, facts, flags.has('no-writes'), name, digest))
    }
  }
  return functions
}

const NOT_READ: LibraryFacts = { functions: new Map(), others: UNREADABLE }

/** A store is asked again so often, while its functions are called, whether somebody else has changed them. */
const RECHECK_MS = 5_000
/** A function that it does not have may have come since. */
const ABSENT_MS = 100
/** With so many bytes of source half as often. */
const CHEAP_BYTES = 64 * 1024
/** Whoever does not let itself be asked. */
const REFUSED_MS = 60_000
/** Whoever could not be asked. */
const RETRY_MS = 100
/** A call waits for so long at most. */
const PATIENCE_MS = 500
/** Ticks of the coarse clock. */
const SLACK_MS = 100
/** Of a store; libraries beyond it are not read. */
const MAX_BYTES = 4 * 1024 * 1024
