import type { KeyPattern } from '../config/patterns/pattern.ts'
import type { Occupant } from './occupant.ts'
import { ownNamesScript } from './own-names-script.ts'
import type { KeyRule } from './route.ts'
import { candidates, type RuleTree, ruleTree } from './rule-tree.ts'
import { isStagingKey } from './staging-key.ts'

/**
 * The keyspace of one store (server and database) as the application has to see it:
 *
 *   name in the store            the application sees
 *   step:1   job:{id} renamed    job:1, where this end is the primary; nothing, where it is the other side
 *   job:1    renamed elsewhere   nothing: the application's job:1 is another key of this store, or of another store
 *   user:1   under its own name  user:1, if its route's primary is here
 *   understudy:copy:...          nothing: a copy that is being built
 *
 * So every key of the application has one name in one store, and whatever else is there is hidden: the other side's copies, what a former phase has left, and on a
 * shared server what belongs to a neighbour that another route is named for.
 *
 * Exact: a name is shown as k if and only if the route table sends a command for k to this very name.
 */
export class KeyspaceView {
  /** Every key is seen, under its own name: replies can go out as they came. */
  readonly whole: boolean
  readonly #rules: readonly KeyRule[]
  readonly #find: (buf: Buffer, start: number, end: number) => KeyRule
  readonly #isPlainHere: (rule: KeyRule) => boolean
  readonly #occupants: readonly Occupant[]
  /** By the names that they give keys. */
  readonly #byName: RuleTree<{ readonly pattern: KeyPattern; readonly occupant: Occupant }>
  #script: string | null = null

  /**
   * @param rules of all routes
   * @param occupants of this keyspace
   * @param isPlainHere whether the rule's keys are the application's here, under the names that it gives them
   */
  constructor(
    rules: readonly KeyRule[],
    occupants: readonly Occupant[],
    isPlainHere: (rule: KeyRule) => boolean,
    find: (buf: Buffer, start: number, end: number) => KeyRule,
  ) {
    this.#rules = rules
    this.#occupants = occupants
    this.#byName = ruleTree(
      occupants.map((occupant) => ({ pattern: occupant.rename.to, occupant })),
      0,
    )
    this.#isPlainHere = isPlainHere
    this.#find = find
    this.whole = occupants.length === 0 && rules.every(isPlainHere)
  }

  /** Lua source of `local function isOwn(name)`: whether the application sees the key that is called `name` here. */
  get script(): string {
    this.#script ??= ownNamesScript(this.#rules, this.#occupants, this.#isPlainHere)
    return this.#script
  }

  /** The application's name of the key that is called `buf[start .. end)` here; null: the application does not see it. */
  nameOf(buf: Buffer, start: number, end: number): Buffer | null {
    let hidden = isStagingKey(buf, start, end)
    for (const { occupant } of candidates(this.#byName, buf, start, end)) {
      const { rule, rename, live } = occupant
      const key = rename.undo(buf, start, end)
      if (key === null || this.#find(key, 0, key.length) !== rule) continue
      if (live) return key
      hidden = true
    }
    if (hidden) return null
    return this.#isPlainHere(this.#find(buf, start, end)) ? Buffer.from(buf.subarray(start, end)) : null
  }
}
