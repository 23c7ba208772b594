import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import { argsOf, type CommandView } from '../resp/command-view.ts'
import { decodeReply } from '../resp/decode.ts'
import type { Route } from '../routing/route.ts'
import { isServerWide } from '../routing/server-wide.ts'
import type { InFlight } from '../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from './context.ts'
import { NOBODY } from './copy/sweeps.ts'
import type { DirtyReason } from './dirty/dirty-key.ts'
import type { DirtySet } from './dirty/dirty-set.ts'
import { UnknownWrites } from './dirty/unknown-writes.ts'
import { EffectContexts } from './effects/effect-contexts.ts'
import { EffectSender } from './effects/effect-sender.ts'
import { MissingExpiries } from './effects/missing-expiries.ts'
import { underApplicationNames } from './effects/reply-names.ts'
import { runsScript, ScriptEffects } from './effects/script-effects.ts'
import { answerOf, applicationBytes, argcOf, changedNothing, mayWriteBeforeError } from './effects/settled-command.ts'
import { doubtFunctionsOf } from './functions/function-changes.ts'
import { SentFunctions } from './functions/sent-functions.ts'
import type { AwaitedKeys } from './keys/awaited-keys.ts'
import { type KeyRef, KeyRefs } from './keys/key-refs.ts'
import type { OverlapTable } from './keys/overlap.ts'
import { UndeclaredKeys } from './keys/undeclared-keys.ts'
import type { AckWaiter } from './shadow/ack-waiter.ts'
import { frameHash, NO_ANSWER } from './shadow/shadow-answers.ts'
import { ShadowDoubts } from './shadow/shadow-doubts.ts'
import { ShadowQueue } from './shadow/shadow-queue.ts'
import { ShadowRuns } from './shadow/shadow-runs.ts'

/**
 * Brings the effects of writes to the shadow, in the order of the primary's replies.
 *
 *   settled(write) ─▶ effect rule ─▶ as sent: the very bytes ──────────────┐
 *                               ├─▶ commands computed from the reply ──────┼─▶ renamed ─▶ ShadowQueue
 *                               ├─▶ ... and a question to the primary ─────┘
 *                               ├─▶ state copy: the key is marked dirty
 *                               └─▶ nothing
 *
 * What fails here never reaches the client (invariant 3): it becomes a dirty key, which the repairer settles by a state copy.
 */
export class Mirror {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #refs: KeyRefs
  readonly #doubts: ShadowDoubts
  readonly #queue: ShadowQueue
  /** Writes that go to the shadow together. */
  readonly runs: ShadowRuns
  readonly #sender: EffectSender
  readonly #expiries: MissingExpiries
  readonly #scripts: ScriptEffects
  readonly functions = new SentFunctions()
  /** Of scripts. */
  readonly undeclared: UndeclaredKeys
  /** Parser for bytes that are whole and were parsed before. */
  readonly #parser = new CommandParser()
  readonly #unknown: UnknownWrites
  readonly #contexts: EffectContexts
  /** When the command at hand left, by the coarse clock. A time to live that is counted from the reply is wrong by what has passed since it was executed: after a long wait the key is copied as well. */
  #sentMs = Number.POSITIVE_INFINITY
  /** The command at hand met others' writes to its keys: the shadow need not give the same answer. */
  #outOfOrder = false

  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable) {
    this.#context = context
    this.#dirty = dirty
    this.#refs = new KeyRefs(context)
    this.#scripts = new ScriptEffects(context, dirty, this.functions)
    this.undeclared = new UndeclaredKeys(context, dirty, this.#scripts)
    this.#contexts = new EffectContexts(context, this.#scripts, this.undeclared)
    this.#unknown = new UnknownWrites(context.log)
    this.#doubts = new ShadowDoubts(context, dirty, this.#refs, this.#scripts, this.functions)
    this.#queue = new ShadowQueue(context, this.#doubts, this.#refs, (ref) =>
      ref === null ? this.#sender.asks : this.#sender.asksFor(ref.database, ref.key),
    )
    const parts = { refs: this.#refs, queue: this.#queue, doubts: this.#doubts, unknown: this.#unknown }
    this.#sender = new EffectSender(context, dirty, overlap, parts)
    this.#expiries = new MissingExpiries(context, {
      dirty,
      overlap,
      refs: this.#refs,
      ask: (followUp, database) => this.#sender.ask(followUp, database),
      mark: (ref) => this.#doubts.mark(ref, 'state-copy', null),
    })
    this.runs = new ShadowRuns(context, this.#doubts, this.#expiries)
  }

  /** Writes of which it is not known for certain what they have done, by command name. */
  get unknownWrites(): ReadonlyMap<string, number> {
    return this.#unknown.counts
  }

  /** Keys that blocking commands wait for. */
  get awaited(): AwaitedKeys {
    return this.#doubts.awaited
  }

  /** Whether the shadow does not hold what the primary holds of the key, as far as is known. */
  has(route: string, database: number, key: Buffer): boolean {
    return (
      this.#dirty.has(route, database, key) ||
      this.#sender.asksFor(database, key) ||
      this.#context.copies.rebuildsOf(database, key).length > 0
    )
  }

  /** A read is about to be pushed on a shadow's pipeline: the script that it calls goes ahead of it. */
  loadForRead(spec: CommandSpec, view: CommandView, route: Route, pipeline: Pipeline): void {
    this.#scripts.loadForRead(spec, view, route, pipeline)
  }

  // --- the primary's replies

  /**
   * A mirrored write's reply has come: `command` holds its bytes, `reply[from .. to)` is the answer. Its ticket has been taken back (`WriteTickets`).
   * `contested`: another connection wrote to one of its keys meanwhile.
   */
  settled(
    command: InFlight,
    reply: Buffer,
    from: number,
    to: number,
    contested: boolean,
    waiter: AckWaiter | null,
  ): void {
    const { spec, database } = command
    const { bytes, start, end } = applicationBytes(command)
    // An error has written nothing that overlaps (and may name a database that there is not, in which no copy would ever end).
    if (contested && (reply[from] !== MINUS || mayWriteBeforeError(spec)))
      this.contested(spec, command.route as Route, database, bytes, start, end, reply, from, to, waiter)
    else {
      this.#sentMs = command.queuedAtMs
      this.#sender.lane = command.lane
      this.apply(spec, command.route as Route, database, bytes, start, end, reply, from, to, waiter)
      this.#sentMs = Number.POSITIVE_INFINITY
      this.#sender.lane = NOBODY
    }
  }

  /**
   * A write whose place among those of other connections to its keys is not known: they are copied. What a script does to keys that it does not declare has no other way to the
   * shadow than the script itself; nor has a command without keys (FLUSHALL on a cluster of which a node lagged), beside which every write is copied.
   */
  contested(
    spec: CommandSpec | null,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    reply: Buffer,
    from: number,
    to: number,
    waiter: AckWaiter | null,
  ): void {
    const keys = this.#refs.in(spec, database, bytes, start, end)
    if (reply[from] !== MINUS && (keys.length === 0 || this.#scripts.writesOtherKeys(spec, bytes, start, end))) {
      this.#outOfOrder = true
      try {
        this.apply(spec, route, database, bytes, start, end, reply, from, to, waiter)
      } finally {
        this.#outOfOrder = false
      }
    }
    for (const ref of keys) this.#doubts.mark(ref, 'overlap', waiter)
  }

  /**
   * A write of a transaction that also changed every key at once: only its keys' states can tell what is left of it. What is about no keys (functions, scripts, messages) is as it would be
   * anywhere.
   */
  besideServerWide(
    spec: CommandSpec,
    route: Route,
    database: number,
    bytes: Buffer,
    reply: Buffer,
    from: number,
    to: number,
    waiter: AckWaiter | null,
  ): void {
    const keys = this.#refs.in(spec, database, bytes, 0, bytes.length)
    if (keys.length === 0 && !runsScript(spec))
      this.apply(spec, route, database, bytes, 0, bytes.length, reply, from, to, waiter)
    for (const ref of keys) this.#doubts.mark(ref, 'overlap', waiter)
    this.#doubts.script(spec, bytes, 0, bytes.length)
  }

  /** FUNCTION LOAD or its like is about to be sent to this primary, which may be a shadow as well. */
  functionsChanging(store: number): void {
    this.#queue.functionsChanging(this.#context.stores[store]!)
  }

  /** As `settled`, for bytes that are not a pipeline's slot: a command of a transaction, with its part of EXEC's reply. */
  apply(
    spec: CommandSpec | null,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    reply: Buffer,
    from: number,
    to: number,
    waiter: AckWaiter | null,
  ): void {
    const rule = spec?.effect ?? null
    if (reply[from] === MINUS) {
      if (mayWriteBeforeError(spec)) this.#markBytes(spec, database, bytes, start, end, 'unknown-effect', waiter)
      return
    }
    if (rule === null) {
      this.#unknown.count(spec)
      this.#markBytes(spec, database, bytes, start, end, 'unknown-effect', waiter)
      return
    }
    switch (rule.kind) {
      case 'never':
        return
      case 'as-sent-if-changed':
        if (changedNothing(reply, from)) return
        this.#sender.send(spec!, route, database, bytes, start, end, answerOf(reply, from), waiter)
        break
      case 'as-sent':
        if (spec!.firstKey === 0) this.#scripts.note(spec!.name, argsOf(this.#parse(bytes, start, end)))
        this.#sender.send(spec!, route, database, bytes, start, end, answerOf(reply, from), waiter)
        break
      case 'compute': {
        if (rule.plainArgc !== undefined && argcOf(bytes, start) === rule.plainArgc) {
          this.#sender.send(spec!, route, database, bytes, start, end, answerOf(reply, from), waiter)
          return
        }
        const view = this.#parse(bytes, start, end)
        const args = argsOf(view)
        const answer = underApplicationNames(this.#context.routes, spec!, view, decodeReply(reply, from, to))
        const effect = rule.effect(args, answer, this.#contexts.of(route, database))
        if (this.#contexts.guessedMoment(route, this.#sentMs))
          this.#markBytes(spec, database, bytes, start, end, 'state-copy', waiter)
        // EVAL brings its source along.
        if (effect.kind === 'replay' && spec!.name === 'EVALSHA') this.#scripts.load(args, route, database)
        if (effect.kind === 'as-sent') {
          this.#sender.send(spec!, route, database, bytes, start, end, answerOf(reply, from), waiter)
        } else if (effect.kind === 'replay') {
          const { doubt, copies } = effect
          const expected = this.#outOfOrder ? NO_ANSWER : frameHash(reply, from, to)
          this.#sender.send(spec!, route, database, bytes, start, end, expected, waiter)
          if (doubt !== null) {
            this.#unknown.count(spec, doubt)
            this.#doubts.script(spec, bytes, start, end)
          }
          this.#sender.markKeys(copies, database, 'state-copy', waiter)
        } else this.#sender.perform(spec, effect, database, waiter, route)
        if (effect.kind === 'none') return
      }
    }
    this.#expiries.look(spec!, route, database, bytes, start, end)
  }

  /** Marks every key of a command whose fate on the primary is unknown. */
  lostOnPrimary(command: InFlight): void {
    const { bytes, start, end } = applicationBytes(command)
    this.lost(command.spec, command.route as Route, command.database, bytes, start, end)
  }

  /** The same for bytes that are not a pipeline's slot. */
  lost(spec: CommandSpec | null, route: Route, database: number, bytes: Buffer, start: number, end: number): void {
    this.#markBytes(spec, database, bytes, start, end, 'primary-lost', null)
    this.#doubts.script(spec, bytes, start, end)
    doubtFunctionsOf(this.#context, this.#dirty, spec, this.#context.routes.fallback, bytes, start, end)
    if (!isServerWide(spec)) return
    for (const { name, primary, shadow } of this.#context.routes.routes) {
      if (primary.store === route.primary.store && shadow !== null) this.#dirty.toVerify.mark(name, 'server-wide')
    }
  }

  /**
   * What `effects` sends leaves as one MULTI ... EXEC per shadow, so that the shadow too shows all of a transaction or nothing of it. `sentMs`: when EXEC left, by the
   * coarse clock.
   */
  asOneUnit(effects: () => void, waiter: AckWaiter | null, sentMs: number): void {
    this.#sentMs = sentMs
    this.#queue.asOneUnit(effects, waiter)
    this.#sentMs = Number.POSITIVE_INFINITY
  }

  // --- dirty keys

  refOf(key: Buffer, database: number): KeyRef {
    return this.#refs.of(key, database)
  }

  /** The application's keys in a command's bytes. */
  keysIn(spec: CommandSpec | null, database: number, bytes: Buffer, start: number, end: number): KeyRef[] {
    return this.#refs.in(spec, database, bytes, start, end)
  }

  /** `waiter`: told when the key is clean again. */
  mark(ref: KeyRef, reason: DirtyReason, waiter: AckWaiter | null = null): void {
    this.#doubts.mark(ref, reason, waiter)
  }

  #markBytes(
    spec: CommandSpec | null,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    reason: DirtyReason,
    waiter: AckWaiter | null,
  ): void {
    for (const ref of this.#refs.in(spec, database, bytes, start, end)) this.#doubts.mark(ref, reason, waiter)
  }

  #parse(bytes: Buffer, start: number, end: number): CommandView {
    this.#parser.parse(bytes, start, end)
    return this.#parser
  }
}
