import type { KeyRule } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import { nameOnPrimary } from '../copy/copied-key.ts'
import type { ServerSpan } from '../copy/copy-state.ts'
import type { IntentLog } from '../crash/intent-log.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'

interface Writing {
  /** Their primary, whatever it is called. */
  readonly keyspace: string
  /** Who that was. */
  readonly server: ServerSpan
  readonly database: number
  /** The application's names. */
  readonly keys: readonly Buffer[]
  /** What each of them is called at the store. */
  readonly names: readonly Buffer[]
  /** Whose they are now. */
  routes: ReadonlySet<string>
}

/**
 * Keys that a job writes on their primary by a connection of its own (an import, a restore), of which the mirror sees nothing.
 *
 *   begin ─▶ in the intent log, in each of its segments ─▶ the job writes, and has them copied ─▶ end: dirty, those that have not been copied
 *
 * So whatever becomes of the job between its write and its copy, nobody has to look for these keys: after a crash they are dirty as those are that clients were writing.
 *
 * A copy goes from whatever is the primary then. So a switch waits for the end, and nothing begins meanwhile. Where one did not wait (it was forced) none of the keys is copied, as none is that it has left behind (`left-behind.ts`): their routes need a verify, and the job hears that what it has written is not on the primary.
 * A store that is only called otherwise now is the same primary.
 */
export class JobWrites {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  /** Null: nothing is noted. */
  readonly #log: () => IntentLog | null
  readonly #underWay = new Map<number, Writing>()
  #last = 0

  constructor(context: DataPathContext, dirty: DirtySet, log: () => IntentLog | null) {
    this.#context = context
    this.#dirty = dirty
    this.#log = log
  }

  /** A switch of a route of theirs is under way: they are not to begin now. */
  mustWait(keys: readonly Buffer[]): boolean {
    return keys.some((key) => this.#ruleOf(key).route.state.switching)
  }

  /** The keys may be written to `store` from the moment that this returns; gives the number for `end`, they are kept until then. Null: it is not their primary any more. */
  begin(store: string, database: number, keys: readonly Buffer[]): number | null {
    const rules = keys.map((key) => this.#ruleOf(key))
    if (rules.some(({ route }) => route.primary.storeName !== store)) return null
    const names = keys.map((key, i) => nameOnPrimary(rules[i]!, key))
    const keyspace = rules[0]?.route.primary.keyspace ?? ''
    const server = this.#context.copies.serverOf(store)
    const writing: Writing = { keyspace, server, database, keys, names, routes: namesOf(rules) }
    this.#underWay.set(++this.#last, writing)
    const log = this.#log()
    if (log !== null) {
      note(log, writing)
      log.flush()
    }
    return this.#last
  }

  /**
   * Nobody writes them any more. `doubtful`: those of which it is not known that they are as they were, or have been copied since: dirty from now on. Gives whether each of all still is where it was at the beginning; of what is
   * not, `routesChanged` has said what is to be said.
   */
  end(number: number, doubtful: readonly Buffer[]): boolean {
    const writing = this.#underWay.get(number)
    if (writing === undefined) return true
    this.#underWay.delete(number)
    const stayed = this.#hasStayed(writing)
    if (stayed) this.#mark(writing, doubtful)
    return stayed
  }

  /** Another table is in force. Copying a key that has another primary now would put what that has over what only the other side may have: its route needs a verify. */
  routesChanged(): void {
    for (const writing of this.#underWay.values()) {
      const rules = writing.keys.map((key) => this.#ruleOf(key))
      writing.routes = namesOf(rules)
      if (this.#hasStayed(writing)) continue
      for (const { route } of rules) if (route.shadow !== null) this.#dirty.toVerify.mark(route.name, 'turned')
    }
  }

  /** Keys of the route are being written. */
  areUnderWay(route: string): boolean {
    return [...this.#underWay.values()].some(({ routes }) => routes.has(route))
  }

  /** A new segment of the log begins. */
  noteAgain(log: IntentLog): void {
    for (const writing of this.#underWay.values()) if (this.#hasStayed(writing)) note(log, writing)
  }

  /** The process ends, and with it the log. */
  stop(): void {
    for (const [number, { keys }] of [...this.#underWay]) this.end(number, keys)
  }

  /** Each of its keys still is where it was at the beginning. */
  #hasStayed({ keyspace, keys, names }: Writing): boolean {
    return keys.every((key, i) => {
      const rule = this.#ruleOf(key)
      return rule.route.primary.keyspace === keyspace && nameOnPrimary(rule, key).equals(names[i]!)
    })
  }

  #mark({ server, database }: Writing, keys: readonly Buffer[]): void {
    const { clock, copies } = this.#context
    for (const key of keys) {
      const { route } = this.#ruleOf(key)
      // A server that has come in its place may have lost what was written.
      const reason = copies.serverOf(route.primary.storeName) === server ? 'state-copy' : 'primary-lost'
      if (route.shadow !== null) this.#dirty.mark(route, database, key, reason, clock.nowMs)
    }
  }

  #ruleOf(key: Buffer): KeyRule {
    return this.#context.routes.find(key, 0, key.length)
  }
}

function namesOf(rules: readonly KeyRule[]): Set<string> {
  return new Set(rules.map(({ route }) => route.name))
}

function note(log: IntentLog, { database, keys }: Writing): void {
  for (const key of keys) log.noteKey(database, key, 0, key.length)
}
