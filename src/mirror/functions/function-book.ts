import { mayChangeJson } from '../../command/scripts/script-book.ts'
import type { FoundFunction, Functions } from '../../routing/plan-script.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from '../context.ts'
import { isUnknownCommand, refusedCommand } from '../stores/store-errors.ts'
import type { PassedChange } from './function-changes.ts'
import { askAboutFunctions, LIST_FUNCTIONS, librariesOf } from './function-list.ts'
import { type Changes, FunctionShelf } from './function-shelf.ts'
import type { ReadSources, StoredFunction } from './stored-functions.ts'

export interface FunctionBookOutcome {
  /** The store has told its functions. */
  told(store: string): void
  /** A reading has ended: whoever waits may look again. */
  read(): void
  /** Functions of the store are others now. */
  changed(store: string, changes: Changes): void
}

/**
 * What functions do, by the sources that the stores have (`FUNCTION LIST WITHCODE`): each library is read once, and kept as long as the store has it.
 *
 *   FCALL f ─▶ unread ─▶ FUNCTION LIST ─▶ known ──(a change passes by, another server answers)──▶ unread
 *                 │                         └──(every five seconds, while it is called)──▶ FUNCTION LIST: changed past Understudy?
 *                 └─ half a second, or no right to ask: unreadable
 *
 * A call waits while it is unread. Nothing is asked before the first call that it matters to, nor of a store whose functions nobody calls.
 */
export class FunctionBook implements Functions {
  readonly #context: DataPathContext
  readonly #outcome: FunctionBookOutcome
  readonly #shelves = new Map<string, FunctionShelf>()
  readonly #sources: ReadSources = new Map()
  readonly #said = new Set<string>()
  #jsonIsChanged = false

  constructor(context: DataPathContext, outcome: FunctionBookOutcome) {
    this.#context = context
    this.#outcome = outcome
  }

  /** A library has been seen that may change how cjson writes and reads in functions: the server keeps that for as long as it runs. */
  get jsonIsChanged(): boolean {
    return this.#jsonIsChanged
  }

  find(store: string, name: string): FoundFunction<StoredFunction> {
    return this.#shelfOf(store).find(name, this.#context.clock.nowMs)
  }

  /** Wherever a function of that name is known, the server sees to it that it writes nothing; and it is known somewhere. */
  isReadOnly(name: string): boolean {
    let known = false
    for (const shelf of this.#shelves.values()) {
      const found = shelf.last(name, this.#context.clock.nowMs)
      if (found === undefined) continue
      if (!found.readOnly) return false
      known = true
    }
    return known
  }

  /** Names of functions that one store has and that were called for keys of the route in the last hour, and that another is known not to have. */
  missingAt(other: string, store: string, route: string): string[] {
    const { nowMs } = this.#context.clock
    const [shelf, others] = [this.#shelves.get(store), this.#shelves.get(other)]
    if (shelf === undefined || others === undefined) return []
    return shelf.calledFor(route, nowMs - RECENT_MS).filter((name) => others.lacks(name, nowMs))
  }

  /** FUNCTION LOAD or its like is about to be sent to the store. `changed` follows. */
  changing(store: string): void {
    this.#shelfOf(store).changing()
  }

  /** It has been answered, or lost. `passed`: what it may have done. */
  changed(store: string, passed: readonly PassedChange[]): void {
    const shelf = this.#shelfOf(store)
    shelf.changed(passed)
    if (shelf.isCalled) this.#ask(store, shelf)
  }

  /** A connection of Understudy's own user to the store, for many clients, is up. */
  connected(store: string): void {
    this.#shelves.get(store)?.reconnected()
  }

  tick(nowMs: number): void {
    if (this.#shelves.size === 0) return
    let used = false
    for (const [store, shelf] of this.#shelves) {
      if (shelf.isUsed) used = true
      if (shelf.wanted) this.#ask(store, shelf)
    }
    if (!used) return
    // Also of those that may answer next: a transaction that moves with a switch cannot wait.
    for (const { primary, shadow } of this.#context.routes.routes)
      for (const end of [primary, shadow]) {
        if (end === null) continue
        const shelf = this.#shelfOf(end.storeName)
        if (shelf.isDue(nowMs)) this.#ask(end.storeName, shelf)
      }
  }

  #ask(store: string, shelf: FunctionShelf): void {
    const pipeline = this.#pipelineTo(store)
    if (!shelf.mayBeAsked || pipeline === null) return
    shelf.asked(this.#context.clock.nowMs)
    if (pipeline.state !== 'up') {
      pipeline.connect()
      shelf.failed(false)
      return
    }
    // One that comes late is good as well: the shelf knows what has changed since.
    askAboutFunctions(pipeline, LIST_FUNCTIONS, (reply) => {
      if (typeof reply !== 'string') {
        const libraries = librariesOf(reply)
        this.#jsonIsChanged ||= libraries.some(({ code }) => mayChangeJson(code))
        const changes = shelf.learn(libraries, this.#context.commands)
        if (changes.harmless.length > 0 || changes.libraries.length > 0) this.#outcome.changed(store, changes)
        this.#outcome.told(store)
      } else if (refusedCommand(reply)?.absent) {
        shelf.learn([], this.#context.commands)
        this.#outcome.told(store)
      } else {
        const refused = isUnknownCommand(reply)
        shelf.failed(refused)
        if (refused) this.#say(store, reply)
      }
      this.#outcome.read()
    })
  }

  /** Null: it is nobody's any more. */
  #pipelineTo(name: string): Pipeline | null {
    const { routes, stores } = this.#context
    const index = routes.stores.indexOf(name)
    const store = stores[index]
    if (store === undefined) return null
    return routes.routes.some(({ primary }) => primary.store === index) ? store.shared(0, 2) : store.shadows.to(0)
  }

  #say(store: string, reason: string): void {
    if (this.#said.has(store)) return
    this.#said.add(store)
    this.#context.log({
      level: 'warn',
      msg: 'a store does not tell its functions (FUNCTION LIST): what they do is not known, and the worse is taken for true',
      fields: { store, reason },
    })
  }

  #shelfOf(store: string): FunctionShelf {
    let shelf = this.#shelves.get(store)
    if (shelf === undefined) this.#shelves.set(store, (shelf = new FunctionShelf(this.#sources)))
    return shelf
  }
}

/** What the application has not called for so long it is taken not to call any more. */
const RECENT_MS = 3_600_000
