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
  /** A shadow has this library, so that a call may have been run again there. */
  isRunAgain = false
  #unsent: ScriptFacts | null = null

  constructor(name: string, facts: ScriptFacts, readOnly: boolean, library: string, digest: string) {
    this.name = name
    this.facts = readOnly ? { ...facts, writes: false } : facts
    this.readOnly = readOnly
    this.library = library
    this.digest = digest
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
}

/** One reading of a store's functions. */
interface Reading {
  /** When it began. */
  readonly atMs: number
  /** How many changes it knows that have passed by, and how many of these or servers that have answered. */
  readonly passed: number
  readonly changes: number
}

/** What is known of the functions of one store, and until when. Reading them is its owner's business. */
export class FunctionShelf {
  /** By lower-case name: servers know no case. */
  #functions: ReadonlyMap<string, StoredFunction> = new Map()
  /** By library. */
  #digests: ReadonlyMap<string, string> = new Map()
  #state: 'unread' | 'read' | 'refused' = 'unread'
  /** Counts changes that have passed by. */
  #passed = 0
  /** Counts these, and servers that have answered. */
  #changes = 0
  /** Changes under way. */
  #changing = 0
  /** Under way. */
  #reading: Reading | null = null
  /** The last one that has come to something. */
  #last: Reading | null = null
  /** When one last began. */
  #askedMs = Number.NEGATIVE_INFINITY
  #usedMs = Number.NEGATIVE_INFINITY
  /** Since when somebody has been waiting; 0: nobody is. */
  #waitingSinceMs = 0
  #bytes = 0
  /** Somebody waits for a reading. */
  wanted = false

  /** Somebody has asked for a function since it was read, and may have been told what is not true any more. */
  get isUsed(): boolean {
    return this.isCalled && this.#usedMs >= this.#askedMs - SLACK_MS
  }

  /** Somebody has ever asked for a function. */
  get isCalled(): boolean {
    return this.#usedMs !== Number.NEGATIVE_INFINITY
  }

  /** Asking now is of use: nothing is on its way that would be asked about again. */
  get mayBeAsked(): boolean {
    return this.#reading === null && this.#changing === 0
  }

  find(name: string, nowMs: number): FoundFunction<StoredFunction> {
    this.#usedMs = nowMs
    const known = this.#functions.get(name.toLowerCase())
    if (known === undefined || !this.#isCertain) return this.#missing(nowMs)
    known.calledMs = nowMs
    return known
  }

  /** A function of that name, as it was when the store was last read; otherwise somebody waits until it is. */
  last(name: string): StoredFunction | undefined {
    if (this.#isCertain) return this.#functions.get(name.toLowerCase())
    this.wanted = true
    return undefined
  }

  get #isCertain(): boolean {
    return this.#state === 'read' && !this.#isStale
  }

  get #isStale(): boolean {
    return this.#last?.changes !== this.#changes || this.#changing > 0
  }

  #missing(nowMs: number): FoundFunction<StoredFunction> {
    const age = nowMs - this.#askedMs
    if (this.#state === 'refused' && !this.#isStale && age < REFUSED_MS) return 'unreadable'
    if (this.#isCertain && this.#reading === null && age < this.#stretched(ABSENT_MS)) return 'absent'
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
    this.#passed++
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
    this.#reading = { atMs: nowMs, passed: this.#passed, changes: this.#changes }
    this.#askedMs = nowMs
    this.wanted = false
  }

  /** The reading has come to nothing. `refused`: and will again. */
  failed(refused: boolean): void {
    if (refused) {
      this.#ended('refused')
      this.#functions = new Map()
      this.#digests = new Map()
    } else this.#reading = null
  }

  /** The store has these. Gives those of the libraries that somebody else has changed or deleted since the last time, past Understudy, and of them those that have been called meanwhile. */
  learn(libraries: readonly Library[], commands: CommandTable): Changes {
    const since = this.#state === 'read' ? this.#last : null
    // A change that has passed by, or is about to, is no other's. Another server need not have the same, either.
    const isUnseen = since?.passed === this.#passed && this.#changing === 0
    this.#ended('read')
    const [before, digestsBefore] = [this.#functions, this.#digests]
    const functions = readLibraries(libraries, commands, before)
    const digests = new Map(libraries.map(({ name, code }) => [name, digestOf(code)]))
    this.#bytes = libraries.reduce((sum, { code }) => sum + code.length, 0)
    this.#functions = functions
    this.#digests = digests
    const changed = [...digestsBefore].filter(([name, digest]) => digests.get(name) !== digest).map(([name]) => name)
    const others = [...before].filter(([name, known]) => functions.get(name) !== known)
    return {
      libraries: isUnseen ? changed : [],
      harmless: others.flatMap(([name]) => (functions.get(name)?.isHarmless === false ? [] : [name])),
      misjudged:
        isUnseen &&
        others.some(([name, known]) => known.calledMs >= since.atMs - SLACK_MS && isWorse(known, functions.get(name))),
    }
  }

  #ended(state: 'read' | 'refused'): void {
    this.#last = this.#reading
    this.#reading = null
    this.#waitingSinceMs = 0
    this.#state = state
  }

  #stretched(ms: number): number {
    return ms * (1 + this.#bytes / CHEAP_BYTES)
  }
}

export interface Changes {
  /** That somebody else has changed. */
  readonly libraries: readonly string[]
  /** Functions that are gone, or others now that can do no harm, whoever has changed them. */
  readonly harmless: readonly string[]
  /** One that somebody else has changed was called meanwhile, and does more than was known of it. */
  readonly misjudged: boolean
}

/** Something that the new one may have done has not been seen to: run again on the shadow it would have been the old one there. */
function isWorse({ facts, isRunAgain }: StoredFunction, now: StoredFunction | undefined): boolean {
  if (now === undefined) return false
  if (isRunAgain && facts.writes) return true
  return now.facts.writes && (!facts.writes || (facts.declaresKeys && !now.facts.declaresKeys))
}

/** The functions of the libraries of one server, by lower-case name. `before`: as far as they are the same. */
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
      const at = of.toLowerCase()
      const known = before.get(at)
      if (known?.library === name && known.digest === digest) {
        functions.set(at, known)
        continue
      }
      read ??= engine === 'LUA' && bytes <= MAX_BYTES ? analyseLibrary(code.toString('latin1'), commands) : NOT_READ
      const facts = read.functions.get(of) ?? read.others
      functions.set(at, new StoredFunction(of, facts, flags.has('no-writes'), name, digest))
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
