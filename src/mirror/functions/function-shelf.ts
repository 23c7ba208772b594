import type { CommandTable } from '../../command/table.ts'
import type { FoundFunction } from '../../routing/plan-script.ts'
import { leaves, type PassedChange } from './function-changes.ts'
import { digestOf, type Library } from './function-list.ts'
import { type ReadSources, readLibraries, type StoredFunction } from './stored-functions.ts'

/** One reading of a store's functions. */
interface Reading {
  /** When it began. */
  readonly atMs: number
  /** How many changes it knows that have passed by, or servers that have answered. */
  readonly changes: number
}

/** What is known of the functions of one store, and until when. Reading them is its owner's business. */
export class FunctionShelf {
  readonly #sources: ReadSources
  /** By lower-case name: servers know no case. */
  #functions: ReadonlyMap<string, StoredFunction> = new Map()
  /** By library. */
  #digests: ReadonlyMap<string, string> = new Map()
  #state: 'unread' | 'read' | 'refused' = 'unread'
  /** Changes that have passed by since the last reading. */
  #passed: PassedChange[] = []
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
  /** A reading is of use now. */
  wanted = false

  constructor(sources: ReadSources) {
    this.#sources = sources
  }

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
    if (known === undefined || !this.#isCertain) return this.#missing(name, nowMs)
    known.calledMs = nowMs
    return known
  }

  /** A function of that name, as it was when the store was last read. Where that is not certain it is read again, and nobody waits for it. */
  last(name: string, nowMs: number): StoredFunction | undefined {
    if (this.#isCertain) return this.#functions.get(name.toLowerCase())
    if (!this.#isRefusing(nowMs)) this.wanted = true
    return undefined
  }

  /** Names of functions that have been called for keys of the route since then. */
  calledFor(route: string, sinceMs: number): string[] {
    return [...this.#functions].flatMap(([name, known]) =>
      known.calledMs >= sinceMs && known.calledFor.has(route) ? [name] : [],
    )
  }

  /** The store had no function of that name when it was last read. Somebody may have loaded it by hand since, for that is what people do who are told so: it is read again. */
  lacks(name: string, nowMs: number): boolean {
    if (this.#state !== 'read' || this.#functions.has(name)) return false
    if (nowMs - this.#askedMs > this.#stretched(LACKING_MS)) this.wanted = true
    return true
  }

  get #isCertain(): boolean {
    return this.#state === 'read' && !this.#isStale
  }

  get #isStale(): boolean {
    return this.#last?.changes !== this.#changes || this.#changing > 0
  }

  /** It has said no, and is not asked again so soon. */
  #isRefusing(nowMs: number): boolean {
    return this.#state === 'refused' && !this.#isStale && nowMs - this.#askedMs < REFUSED_MS
  }

  #missing(name: string, nowMs: number): FoundFunction<StoredFunction> {
    if (!FUNCTION_NAME.test(name)) return 'absent'
    if (this.#isRefusing(nowMs)) return 'unreadable'
    const age = nowMs - this.#askedMs
    if (this.#isCertain && this.#reading === null && age < this.#stretched(ABSENT_MS)) return 'absent'
    this.wanted = true
    if (this.#waitingSinceMs === 0) this.#waitingSinceMs = nowMs
    return nowMs - this.#waitingSinceMs > PATIENCE_MS ? 'unreadable' : 'unread'
  }

  /** A change is about to be sent. `changed` follows. */
  changing(): void {
    this.#changing++
  }

  /** It has been answered, or lost. `passed`: what it may have done. */
  changed(passed: readonly PassedChange[]): void {
    this.#changing--
    this.#changes++
    this.#passed = this.#passed.length < MAX_PASSED ? [...this.#passed, ...passed] : ['anything']
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
    this.#reading = { atMs: nowMs, changes: this.#changes }
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

  /** The store has these. Gives what is different since it was last read. */
  learn(libraries: readonly Library[], commands: CommandTable): Changes {
    // Nobody knows what of a change meanwhile it has seen: the next one sees it all.
    if (this.#reading?.changes !== this.#changes || this.#changing > 0) {
      this.#reading = null
      return NO_CHANGES
    }
    const since = this.#state === 'read' ? this.#last : null
    const passed = this.#passed
    this.#passed = []
    this.#ended('read')
    const [before, digestsBefore] = [this.#functions, this.#digests]
    const functions = readLibraries(libraries, commands, before, this.#sources)
    const digests = new Map(libraries.map(({ name, code }) => [name, digestOf(code)]))
    this.#bytes = libraries.reduce((sum, { code }) => sum + code.length, 0)
    this.#functions = functions
    this.#digests = digests
    const byOthers = new Set<string>()
    if (since !== null)
      for (const [name, digest] of digestsBefore) {
        const now = digests.get(name)
        if (now !== digest && !passed.some((change) => leaves(change, name, now))) byOthers.add(name)
      }
    const different = [...before].filter(([name, known]) => functions.get(name) !== known)
    return {
      libraries: [...byOthers],
      harmless: different.flatMap(([name]) => (functions.get(name)?.isHarmless === false ? [] : [name])),
      misjudged:
        since !== null &&
        different.some(
          ([name, known]) =>
            byOthers.has(known.library) &&
            known.calledMs >= since.atMs - SLACK_MS &&
            isWorse(known, functions.get(name)),
        ),
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

/** What differs from one reading to the next. */
export interface Changes {
  /** Libraries that somebody else has changed or deleted, past Understudy. */
  readonly libraries: readonly string[]
  /** Functions that are gone, or others now that can do no harm, whoever has changed them. */
  readonly harmless: readonly string[]
  /** One that somebody else has changed was called meanwhile, and does more than was known of it. */
  readonly misjudged: boolean
}

const NO_CHANGES: Changes = { libraries: [], harmless: [], misjudged: false }

/** Something that the new one may have done has not been seen to: run again on the shadow it would have been the old one there. */
function isWorse({ facts, isRunAgain }: StoredFunction, now: StoredFunction | undefined): boolean {
  if (now === undefined) return false
  if (isRunAgain && facts.writes) return true
  return now.facts.writes && (!facts.writes || (facts.declaresKeys && !now.facts.declaresKeys))
}

/** A store is asked again so often, while its functions are called, whether somebody else has changed them. */
const RECHECK_MS = 5_000
/** A function that it does not have may have come since. */
const ABSENT_MS = 100
/** One that it lacks, and is asked about, may have come since. */
const LACKING_MS = 500
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
/** Until they are read. */
const MAX_PASSED = 1_000
/** What a server takes for one; a store has no other. */
const FUNCTION_NAME = /^\w+$/
