import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyReason } from '../dirty/dirty-key.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { markKey } from '../dirty/mark-key.ts'
import { keysMadeOfOthers } from '../effects/keys-made-of-others.ts'
import { runsScript, type ScriptEffects } from '../effects/script-effects.ts'
import { doubtFunctionsOf } from '../functions/function-changes.ts'
import type { SentFunctions } from '../functions/sent-functions.ts'
import { AwaitedKeys } from '../keys/awaited-keys.ts'
import type { KeyRef, KeyRefs } from '../keys/key-refs.ts'
import { SwappedDatabases } from '../keys/swapped-databases.ts'
import { doubtUndeclaredKeys } from '../keys/undeclared-keys.ts'
import { isTooLong, LEAST_BULK_LIMIT, textOf } from '../stores/store-errors.ts'
import type { AckWaiter } from './ack-waiter.ts'
import { LateWrites } from './late-writes.ts'
import { isReadOnly } from './shadow-answers.ts'
import { strandedBecause } from './stranded.ts'

/**
 * What the shadow may not have as the primary has it, as far as commands on their way tell: a key that can be named becomes dirty, of what cannot be named its routes are to be verified.
 *
 *   refused, lost, no room, another answer ─▶ the command's keys
 *   made of keys that it may lack ──────────▶ the command's keys that are made so
 *   SWAPDB between ─────────────────────────▶ the key in either database
 *   a script, a library of functions ───────▶ the routes that it may concern
 */
export class ShadowDoubts {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #refs: KeyRefs
  readonly #scripts: ScriptEffects
  readonly #functions: SentFunctions
  readonly swapped = new SwappedDatabases()
  readonly awaited = new AwaitedKeys()
  readonly lateWrites: LateWrites

  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    refs: KeyRefs,
    scripts: ScriptEffects,
    functions: SentFunctions,
  ) {
    this.#context = context
    this.#dirty = dirty
    this.#refs = refs
    this.#scripts = scripts
    this.#functions = functions
    this.lateWrites = new LateWrites(context, refs, (ref) => this.mark(ref, 'shadow-late', null))
  }

  /** `waiter`: told when the key is clean again. */
  mark(ref: KeyRef, reason: DirtyReason, waiter: AckWaiter | null): void {
    const { route } = ref.rule
    if (route.shadow === null) return
    const { stores, clock } = this.#context
    const { nowMs } = clock
    // The shadow is there, and has no such database.
    if (reason === 'shadow-down' && strandedBecause(stores[route.shadow.store]!, ref.database) !== null)
      reason = 'shadow-error'
    markKey(this.#context, this.#dirty, ref.rule, ref.database, ref.key, reason, nowMs, waiter)
    if (reason !== 'overlap' && reason !== 'primary-lost') return
    for (const database of this.swapped.others(ref.database))
      markKey(this.#context, this.#dirty, ref.rule, database, ref.key, reason, nowMs, waiter)
  }

  /** Marks every key of a command that is, or was, to go to the shadow of `route`, and what it may have done to functions. `bytes`: the application's. */
  markAll(
    spec: CommandSpec | null,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    reason: DirtyReason,
    waiter: AckWaiter | null,
  ): void {
    doubtFunctionsOf(this.#context, this.#dirty, spec, route, bytes, start, end)
    if (spec?.name === 'FUNCTION LOAD') this.#functions.failed(storeOf(route), sourceIn(bytes, start, end))
    this.script(spec, bytes, start, end)
    for (const ref of this.#refs.in(spec, database, bytes, start, end)) this.mark(ref, reason, waiter)
  }

  /** The shadow of `route` has executed a command without keys. `bytes`: the application's. */
  keylessDone(spec: CommandSpec, route: Route, bytes: Buffer, start: number, end: number): void {
    if (spec.name === 'FUNCTION LOAD') this.#functions.confirmed(storeOf(route), sourceIn(bytes, start, end))
  }

  /** The shadow may not have what a script has done to keys that it does not declare: nobody can name them, and they may be any route's. Nothing, if it is no such script. */
  script(spec: CommandSpec | null, bytes: Buffer, start: number, end: number): void {
    if (!this.#scripts.writesOtherKeys(spec, bytes, start, end)) return
    this.undeclared(this.#refs.in(spec, 0, bytes, start, end))
  }

  /** The same of a script that declares these keys, and is such a one. */
  undeclared(declared: readonly KeyRef[]): void {
    const [own = null, ...others] = new Set(declared.map(({ rule }) => rule.route))
    doubtUndeclaredKeys(this.#context, this.#dirty, others.length === 0 ? own : null)
  }

  /** The shadow has answered a command with an error, which may tell more than that its keys are dirty. */
  refused(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const route = slot.route as Route
    route.state.shadowError++
    if (buf[start + 1] === 78) this.scriptsMayBeGone() // NOSCRIPT, and what else begins so
    if (isReadOnly(buf, start)) this.replaced(route)
    if (isTooLong(textOf(buf, start, end))) this.#context.stores[route.shadow!.store]!.maxBulkBytes = LEAST_BULK_LIMIT
  }

  /** The connection was lost, or the shadow knows a script no more: it may be another process that answers next. */
  scriptsMayBeGone(): void {
    this.#scripts.forgetLoaded()
  }

  /** The shadow is another server's replica: what it had acknowledged gives way to what that one has. */
  replaced({ shadow }: Route): void {
    this.#context.lookFor(shadow!.storeName)
    for (const route of this.#context.routes.routes)
      if (route.shadow?.store === shadow!.store) this.#dirty.toVerify.mark(route.name, 'shadow-replica')
  }

  /** Some key is in doubt, or not on its shadow yet. */
  get areAny(): boolean {
    if (this.#dirty.size > 0 || this.awaited.size > 0 || this.lateWrites.size > 0) return true
    for (const route of this.#context.routes.routes) if (route.shadow !== null && !this.#hasAll(route)) return true
    return false
  }

  /** What the route's shadow makes of keys is what its primary makes of them, unless they are dirty. Where the primary may be the side that lacks something nothing is to be copied for that. */
  #hasAll({ name, state }: Route): boolean {
    const { toVerify } = this.#dirty
    return state.shadowComplete && (!toVerify.ofKeys(name) || toVerify.mayPrimaryLack(name))
  }

  /**
   * The shadow has executed a command of these keys, and nothing speaks against what it made of them but that it may lack some, or that a verify is needed: such as come of others are copied, for a listing need not give a name that has come behind its place. Where the primary may be the side that lacks something, a key that differs
   * may be the last copy, and rests (`mannerOf`). `waiter`: as for `mark`.
   */
  executed(spec: CommandSpec, keys: readonly KeyRef[], waiter: AckWaiter | null): void {
    if (keys.every(({ rule }) => this.#hasAll(rule.route))) return
    for (const ref of keysMadeOfOthers(spec, keys)) {
      const mayBeLast = this.#dirty.toVerify.mayPrimaryLack(ref.rule.route.name)
      this.mark(ref, mayBeLast ? 'shadow-differs' : 'state-copy', waiter)
    }
  }

  /** What the command has done to one of its keys may come from another that the shadow does not have as the primary had it. `bytes`: the application's. */
  areIn(spec: CommandSpec, keys: readonly KeyRef[], bytes: Buffer, start: number, end: number): boolean {
    if (keysMadeOfOthers(spec, keys).length === 0) return false
    if (keys.some((ref) => this.#dirty.has(ref.rule.route.name, ref.database, ref.key))) return true
    if (this.lateWrites.size > 0 && keys.some((ref) => this.lateWrites.has(ref))) return true
    if (this.awaited.size === 0 || !keys.some((ref) => this.awaited.has(ref))) return false
    // Queues are made of scripts that name keys on which consumers wait in every call, and most only add to them.
    return !runsScript(spec) || this.#scripts.looksIntoQueues(bytes, start, end)
  }
}

/** The one that the command was sent to: by now another may be the shadow. */
function storeOf({ shadow }: Route): string {
  return shadow?.storeName ?? ''
}

/** What a FUNCTION LOAD loads. A view of `bytes`. */
function sourceIn(bytes: Buffer, start: number, end: number): Buffer {
  parser.parse(bytes, start, end)
  const last = parser.argc - 1
  return parser.buf.subarray(parser.start[last]!, parser.end[last]!)
}

const parser = new CommandParser()
