import { hashBytes } from '../base/hash.ts'
import type { Args, Effect, EffectContext } from '../command/effects.ts'
import { findKeys, KeyPositions, rewriteKeys } from '../command/keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import { COLON, MINUS } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import type { CommandView } from '../resp/command-view.ts'
import { decodeReply, elementOffsets } from '../resp/decode.ts'
import { encodeCommand } from '../resp/encode.ts'
import type { KeyRule, Route } from '../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { DataPathContext } from './context.ts'
import type { DirtyReason, DirtySet } from './dirty-set.ts'
import { addTickets, type OverlapTable } from './overlap.ts'

/** Somebody waits for the shadow's acknowledgement of what a write caused (`mirror.mode: sync`). */
export interface AckWaiter {
  /** Records that are on their way. */
  pending: number
  failed: boolean
  acknowledged(): void
}

/** A key by its application's name, with what the table says about it. */
export interface KeyRef {
  readonly rule: KeyRule
  readonly database: number
  readonly key: Buffer
}

/**
 * Brings the effects of writes to the shadow, in the order of the primary's replies.
 *
 *   settle(write) ─▶ effect rule ─▶ as sent: the very bytes ─────────────┐
 *                              ├─▶ commands computed from the reply ─────┼─▶ shadow pipeline ─▶ acknowledged | error: key is dirty
 *                              ├─▶ state copy: the key is marked dirty   │       │
 *                              └─▶ nothing                      renamed ─┘       └ lost, backlog full: key is dirty
 *
 * What fails here never reaches the client (invariant 3): it becomes a dirty key, which the repairer settles by a state copy.
 */
export class Mirror implements ReplyOwner {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  /** Parser for bytes that are whole and were parsed before. */
  readonly #parser = new CommandParser()
  readonly #positions = new KeyPositions()
  readonly #effectContext: { nowMs: number; shadowHasAbsoluteExpiry: boolean } = {
    nowMs: 0,
    shadowHasAbsoluteExpiry: true,
  }
  /** While a transaction's effects are gathered: they leave as one unit. */
  #gathered: Gathered[] | null = null
  /** Clock of the primary minus ours, ms, by store index. */
  readonly clockOffsetMs = new Map<string, number>()
  /** Writes whose effect the table does not know, by command name: said once each. */
  readonly unknownWrites = new Map<string, number>()

  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
  }

  /**
   * A mirrored write's reply has come: `command` holds its bytes, `reply[from .. to)` is the answer. Call `left` first for the overlap.
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
    if (reply[from] === MINUS) {
      // A script can fail half-way and leave what it had written by then; most errors mean that nothing was written.
      const rule = command.spec?.effect
      if (rule?.kind === 'compute' && rule.writesBeforeError) this.#markAll(command, 'unknown-effect')
      else if (contested) this.#markAll(command, 'overlap')
      return
    }
    if (contested) {
      this.#markAll(command, 'overlap')
      return
    }
    const bytes = command.original ?? command.chunk!.buf
    const start = command.original === null ? command.start : 0
    const end = command.original === null ? command.end : command.original.length
    this.apply(command.spec, command.route as Route, command.database, bytes, start, end, reply, from, to, waiter)
  }

  /** The same for bytes that are not a pipeline's slot: a command of a transaction, with its part of EXEC's reply. */
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
    if (rule === null) {
      this.#countUnknown(spec)
      this.#markBytes(spec, database, bytes, start, end, 'unknown-effect')
      return
    }
    switch (rule.kind) {
      case 'never':
        return
      case 'as-sent-if-changed':
        if (changedNothing(reply, from)) return
        this.#sendBytes(spec!, route, database, bytes, start, end, waiter)
        return
      case 'as-sent':
        this.#sendBytes(spec!, route, database, bytes, start, end, waiter)
        return
      case 'compute': {
        if (rule.plainArgc !== undefined && argcOf(bytes, start) === rule.plainArgc) {
          this.#sendBytes(spec!, route, database, bytes, start, end, waiter)
          return
        }
        const view = this.#parse(bytes, start, end)
        const context = this.#contextOf(route)
        const effect = rule.effect(argsOf(view), decodeReply(reply, from, to), context)
        this.#perform(spec!, route, database, effect, bytes, start, end, waiter)
      }
    }
  }

  /** Marks every key of a command whose fate on the primary is unknown. */
  lostOnPrimary(command: InFlight): void {
    this.#markAll(command, 'primary-lost')
  }

  /** A write leaves on `lane`: takes a ticket for all its keys. `left` takes it back. */
  enter(view: CommandView, positions: KeyPositions, lane: number): number {
    let ticket = 0
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      ticket = addTickets(ticket, this.#overlap.enter(hashBytes(view.buf, view.start[arg]!, view.end[arg]!), lane))
    }
    return ticket
  }

  /** The same for hashes that are known. */
  enterAll(hashes: readonly number[], lane: number): number {
    let ticket = 0
    for (const hash of hashes) ticket = addTickets(ticket, this.#overlap.enter(hash, lane))
    return ticket
  }

  enterOne(hash: number, lane: number): number {
    return this.#overlap.enter(hash, lane)
  }

  /** The write's reply has come, or never will. True: another connection wrote to one of its keys meanwhile. */
  left(command: InFlight, lane: number): boolean {
    if (command.keyHash !== 0) return this.#overlap.leave(command.keyHash, lane) !== command.ticket
    const bytes = command.original ?? command.chunk!.buf
    const start = command.original === null ? command.start : 0
    const end = command.original === null ? command.end : command.original.length
    const view = this.#parse(bytes, start, end)
    if (command.spec === null) return false
    findKeys(command.spec, view, this.#positions)
    return this.leave(view, this.#positions, lane, command.ticket)
  }

  leave(view: CommandView, positions: KeyPositions, lane: number, ticket: number): boolean {
    let now = 0
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      now += this.#overlap.leave(hashBytes(view.buf, view.start[arg]!, view.end[arg]!), lane)
    }
    return now !== ticket
  }

  leaveAll(hashes: readonly number[], lane: number, ticket: number): boolean {
    let now = 0
    for (const hash of hashes) now += this.#overlap.leave(hash, lane)
    return now !== ticket
  }

  /** The lane on which writes of this hash are in flight; 0: none. */
  laneOf(hash: number): number {
    return this.#overlap.laneOf(hash)
  }

  // --- the shadow's answers

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const route = slot.route as Route
    const failed =
      buf[start] === MINUS || (slot.extra instanceof Compound && slot.replies === 0 && hasError(buf, start, end))
    if (failed) {
      route.state.shadowError++
      this.#failed(slot, 'shadow-error')
    } else route.state.shadowOk++
    if (slot.replies > 0) return
    this.#finish(slot, route, !failed)
  }

  lost(slot: InFlight, _loss: Loss): void {
    const route = slot.route as Route
    route.state.shadowLost++
    this.#failed(slot, 'shadow-down')
    this.#finish(slot, route, false)
  }

  timedOut(slot: InFlight): void {
    ;(slot.route as Route).state.shadowTimeout++
  }

  #finish(slot: InFlight, route: Route, applied: boolean): void {
    const { state } = route
    state.backlogCommands--
    state.backlogBytes -= slot.end - slot.start
    state.shadowTimes.record((this.#context.clock.nowMs - slot.queuedAtMs) / 1000)
    if (applied) state.applied++
    else state.failed++
    const waiter = slot.extra instanceof Compound ? slot.extra.waiter : (slot.extra as AckWaiter | null)
    if (waiter === null) return
    if (!applied) waiter.failed = true
    if (--waiter.pending === 0) waiter.acknowledged()
  }

  #failed(slot: InFlight, reason: DirtyReason): void {
    if (slot.extra instanceof Compound) {
      for (const ref of slot.extra.keys) this.mark(ref, reason)
      return
    }
    const bytes = slot.original ?? slot.chunk!.buf
    const start = slot.original === null ? slot.start : 0
    const end = slot.original === null ? slot.end : slot.original.length
    this.#markBytes(slot.spec, slot.database, bytes, start, end, reason)
  }

  // --- towards the shadow

  #perform(
    spec: CommandSpec,
    route: Route,
    database: number,
    effect: Effect,
    bytes: Buffer,
    start: number,
    end: number,
    waiter: AckWaiter | null,
  ): void {
    switch (effect.kind) {
      case 'none':
        return
      case 'as-sent':
        this.#sendBytes(spec, route, database, bytes, start, end, waiter)
        return
      case 'copy':
        for (const key of effect.keys) this.mark(this.refOf(key, database), 'state-copy')
        return
      case 'unknown':
        this.#countUnknown(spec)
        this.#markBytes(spec, database, bytes, start, end, 'unknown-effect')
        return
      case 'commands':
        this.#sendCommands(route, database, effect.commands, waiter)
    }
  }

  #sendCommands(route: Route, database: number, commands: readonly Args[], waiter: AckWaiter | null): void {
    for (const args of commands) {
      const bytes = encodeCommand(args)
      const spec = this.#context.commands.lookup(this.#parse(bytes, 0, bytes.length)) ?? null
      if (spec === null) continue
      this.#sendBytes(spec, route, database, bytes, 0, bytes.length, waiter)
    }
  }

  /** Queues one command for the shadow of the keys' route, renamed for it. */
  #sendBytes(
    spec: CommandSpec,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    waiter: AckWaiter | null,
  ): void {
    const { routes } = this.#context
    if (routes.trivial !== null) {
      this.#push(spec, routes.trivial, database, bytes, start, end, null, waiter)
      return
    }
    const view = this.#parse(bytes, start, end)
    const renamed = this.renameForShadow(spec, view)
    switch (renamed.kind) {
      case 'same':
        this.#push(spec, renamed.route ?? route, database, bytes, start, end, null, waiter)
        return
      case 'renamed':
        this.#push(
          spec,
          renamed.route,
          database,
          renamed.bytes,
          0,
          renamed.bytes.length,
          Buffer.from(bytes.subarray(start, end)),
          waiter,
        )
        return
      case 'unmirrored':
        return
      case 'mixed':
        // Several routes with several shadows: no one command can do it, so each mirrored key gets its state by copy.
        this.#markBytes(spec, database, bytes, start, end, 'state-copy')
    }
  }

  /** What a command has to look like on the shadow. */
  renameForShadow(spec: CommandSpec, view: CommandView): ShadowForm {
    const { routes } = this.#context
    const positions = this.#positions
    findKeys(spec, view, positions)
    if (positions.count === 0) return { kind: 'same', route: null }
    let first: Route | null = null
    let renames = false
    let mixed = false
    let mirrored = 0
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      const rule = routes.find(view.buf, view.start[arg]!, view.end[arg]!)
      if (rule.shadow !== null) renames = true
      if (rule.route.shadow !== null) mirrored++
      if (first === null) first = rule.route
      else if (rule.route.shadow?.store !== first.shadow?.store) mixed = true
    }
    if (mirrored === 0) return { kind: 'unmirrored' }
    if (mixed) return { kind: 'mixed' }
    if (!renames) return { kind: 'same', route: first }
    const bytes = rewriteKeys(view, positions, (buf, from, to) => {
      const rename = routes.find(buf, from, to).shadow
      return rename === null ? null : rename.apply(buf, from, to)
    })
    return { kind: 'renamed', route: first!, bytes }
  }

  #push(
    spec: CommandSpec,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    original: Buffer | null,
    waiter: AckWaiter | null,
  ): void {
    const { state, shadow, config } = route
    if (shadow === null) return
    if (this.#gathered !== null) {
      const keys = this.keysIn(
        spec,
        database,
        original ?? bytes,
        original === null ? start : 0,
        original?.length ?? end,
      )
      this.#gathered.push({ route, database, bytes: Buffer.from(bytes.subarray(start, end)), keys })
      return
    }
    if (state.backlogBytes + end - start > config.mirror.backlogBytes) {
      state.dropped++
      this.#markBytes(
        spec,
        database,
        original ?? bytes,
        original === null ? start : 0,
        original?.length ?? end,
        'backlog-full',
      )
      return
    }
    const pipeline = this.#context.stores[shadow.store]!.shadow(database)
    const slot = pipeline.push(this, bytes, start, end)
    if (waiter !== null) pipeline.hurry()
    slot.route = route
    slot.spec = spec
    slot.database = database
    slot.original = original
    slot.extra = waiter
    if (waiter !== null) waiter.pending++
    state.backlogCommands++
    state.backlogBytes += end - start
  }

  /**
   * What `effects` sends leaves as one MULTI ... EXEC per shadow, so that the shadow too shows all of a transaction or nothing of it.
   */
  asOneUnit(effects: () => void, waiter: AckWaiter | null): void {
    const gathered: Gathered[] = []
    this.#gathered = gathered
    try {
      effects()
    } finally {
      this.#gathered = null
    }
    const units = new Map<string, Gathered[]>()
    for (const item of gathered) {
      const unit = `${item.route.shadow!.store}/${item.database}`
      const items = units.get(unit)
      if (items === undefined) units.set(unit, [item])
      else items.push(item)
    }
    for (const items of units.values()) {
      const [first] = items as [Gathered, ...Gathered[]]
      const frames = items.map((item) => item.bytes)
      if (items.length > 1) {
        frames.unshift(MULTI)
        frames.push(EXEC)
      }
      this.pushCompound(
        first.route,
        first.database,
        Buffer.concat(frames),
        frames.length,
        items.flatMap((item) => item.keys),
        waiter,
      )
    }
  }

  /** Queues bytes that are several commands (MULTI ... EXEC, a copy in pieces): one unit with `replies` replies, whose keys are dirty if any fails. */
  pushCompound(
    route: Route,
    database: number,
    bytes: Buffer,
    replies: number,
    keys: readonly KeyRef[],
    waiter: AckWaiter | null,
  ): void {
    const { state, shadow, config } = route
    if (shadow === null) return
    if (state.backlogBytes + bytes.length > config.mirror.backlogBytes) {
      state.dropped++
      for (const ref of keys) this.mark(ref, 'backlog-full')
      return
    }
    const pipeline = this.#context.stores[shadow.store]!.shadow(database)
    const slot = pipeline.push(this, bytes, 0, bytes.length)
    if (waiter !== null) pipeline.hurry()
    slot.route = route
    slot.database = database
    slot.replies = replies
    slot.extra = new Compound(keys, waiter)
    if (waiter !== null) waiter.pending++
    state.backlogCommands++
    state.backlogBytes += bytes.length
  }

  // --- dirty keys

  refOf(key: Buffer, database: number): KeyRef {
    return { rule: this.#context.routes.find(key, 0, key.length), database, key }
  }

  mark(ref: KeyRef, reason: DirtyReason): void {
    const { route } = ref.rule
    if (route.shadow === null) return
    this.#dirty.mark(route, ref.database, ref.key, reason, this.#context.clock.nowMs)
  }

  /** The application's keys in a command's bytes. */
  keysIn(spec: CommandSpec | null, database: number, bytes: Buffer, start: number, end: number): KeyRef[] {
    if (spec === null) return []
    const view = this.#parse(bytes, start, end)
    const positions = this.#positions
    findKeys(spec, view, positions)
    const refs: KeyRef[] = []
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      refs.push(this.refOf(Buffer.from(view.buf.subarray(view.start[arg]!, view.end[arg]!)), database))
    }
    return refs
  }

  #markAll(command: InFlight, reason: DirtyReason): void {
    const bytes = command.original ?? command.chunk!.buf
    const start = command.original === null ? command.start : 0
    const end = command.original === null ? command.end : command.original.length
    this.#markBytes(command.spec, command.database, bytes, start, end, reason)
  }

  #markBytes(
    spec: CommandSpec | null,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    reason: DirtyReason,
  ): void {
    for (const ref of this.keysIn(spec, database, bytes, start, end)) this.mark(ref, reason)
  }

  #countUnknown(spec: CommandSpec | null): void {
    const name = spec?.name ?? 'unknown'
    const seen = this.unknownWrites.get(name) ?? 0
    this.unknownWrites.set(name, seen + 1)
    if (seen > 0) return
    this.#context.log({
      level: 'warn',
      msg: 'no effect is known for a write command; its keys are copied instead',
      fields: { command: name },
    })
  }

  #contextOf(route: Route): EffectContext {
    const context = this.#effectContext
    context.nowMs = Date.now() + (this.clockOffsetMs.get(route.primary.storeName) ?? 0)
    return context
  }

  #parse(bytes: Buffer, start: number, end: number): CommandView {
    this.#parser.parse(bytes, start, end)
    return this.#parser
  }
}

export type ShadowForm =
  | { readonly kind: 'same'; readonly route: Route | null }
  | { readonly kind: 'renamed'; readonly route: Route; readonly bytes: Buffer }
  | { readonly kind: 'unmirrored' }
  | { readonly kind: 'mixed' }

interface Gathered {
  readonly route: Route
  readonly database: number
  readonly bytes: Buffer
  readonly keys: readonly KeyRef[]
}

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])

class Compound {
  readonly keys: readonly KeyRef[]
  readonly waiter: AckWaiter | null
  constructor(keys: readonly KeyRef[], waiter: AckWaiter | null) {
    this.keys = keys
    this.waiter = waiter
  }
}

/** `:0`, a nil, or an empty array: the write found nothing to do. */
function changedNothing(reply: Buffer, from: number): boolean {
  switch (reply[from]) {
    case COLON:
      return reply[from + 1] === 48 && reply[from + 2] === 13
    case 36: // $-1
      return reply[from + 1] === MINUS
    case 42: // *-1 *0
      return reply[from + 1] === MINUS || (reply[from + 1] === 48 && reply[from + 2] === 13)
    case 95: // _
      return true
    case 35: // #f
      return reply[from + 1] === 102
    default:
      return false
  }
}

/** EXEC's reply holds the errors of its commands as elements; a nil instead of them cannot be, since nothing is watched. */
function hasError(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] !== 42) return false
  const offsets = elementOffsets(buf, start, end)
  if (offsets === null) return true
  for (let i = 0; i + 1 < offsets.length; i++) if (buf[offsets[i]!] === MINUS) return true
  return false
}

/** The count in a multibulk frame's header. */
function argcOf(bytes: Buffer, start: number): number {
  let at = start + 1
  let argc = 0
  while (bytes[at] !== 13) argc = argc * 10 + (bytes[at++]! - 48)
  return argc
}

function argsOf(view: CommandView): Buffer[] {
  const args: Buffer[] = []
  for (let i = 0; i < view.argc; i++) args.push(Buffer.from(view.buf.subarray(view.start[i]!, view.end[i]!)))
  return args
}
