import type { Args, Effect, FollowUp } from '../../command/effects.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand } from '../../resp/encode.ts'
import { publishFrame } from '../../routing/publish.ts'
import type { Route } from '../../routing/route.ts'
import { changesFunctions, isServerWide } from '../../routing/server-wide.ts'
import type { DataPathContext } from '../context.ts'
import { NOBODY } from '../copy/sweeps.ts'
import type { DirtyReason } from '../dirty/dirty-key.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import type { UnknownWrites } from '../dirty/unknown-writes.ts'
import type { KeyRefs } from '../keys/key-refs.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import type { AckWaiter } from '../shadow/ack-waiter.ts'
import { FollowUps } from '../shadow/follow-ups.ts'
import { answerToComputed, NO_ANSWER } from '../shadow/shadow-answers.ts'
import type { ShadowDoubts } from '../shadow/shadow-doubts.ts'
import { shadowForm } from '../shadow/shadow-form.ts'
import type { ShadowQueue } from '../shadow/shadow-queue.ts'
import { runsScript } from './script-effects.ts'
import { ServerWideEffects } from './server-wide-effect.ts'

export interface EffectSenderParts {
  readonly refs: KeyRefs
  readonly queue: ShadowQueue
  readonly doubts: ShadowDoubts
  readonly unknown: UnknownWrites
}

/**
 * Carries effects out: a command goes to the shadow of its keys' route, under the names that keys have there, or its keys become dirty; what the primary has to be asked for first is asked
 * (`FollowUps`).
 */
export class EffectSender {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #serverWide: ServerWideEffects
  readonly #refs: KeyRefs
  readonly #queue: ShadowQueue
  readonly #doubts: ShadowDoubts
  readonly #unknown: UnknownWrites
  readonly #followUps: FollowUps
  /** Parser for bytes that are whole and were parsed before. */
  readonly #parser = new CommandParser()
  /** On which connection the command at hand was answered; NOBODY: within a transaction. */
  lane = NOBODY

  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable, parts: EffectSenderParts) {
    this.#context = context
    this.#dirty = dirty
    this.#refs = parts.refs
    this.#queue = parts.queue
    this.#doubts = parts.doubts
    this.#unknown = parts.unknown
    this.#serverWide = new ServerWideEffects(context, dirty, overlap, parts.doubts.swapped)
    this.#followUps = new FollowUps(context, overlap, parts.refs, {
      perform: (effect, database, waiter) => this.perform(null, effect, database, waiter),
      markDirty: (keys, waiter) => {
        for (const ref of keys) this.#doubts.mark(ref, 'overlap', waiter)
      },
    })
  }

  /** The primary is being asked what some write has left. */
  get asks(): boolean {
    return this.#followUps.size > 0
  }

  /** The primary is asked, and nobody waits for it. */
  ask(followUp: FollowUp, database: number): void {
    this.#followUps.ask(followUp, database, null)
  }

  /** It is asked what a write has left of this key. */
  asksFor(database: number, key: Buffer): boolean {
    return this.#followUps.has(database, key)
  }

  /** `spec`: of the command at hand; null: of a question's answer. */
  perform(
    spec: CommandSpec | null,
    effect: Effect,
    database: number,
    waiter: AckWaiter | null,
    route: Route | null = null,
  ): void {
    switch (effect.kind) {
      case 'none':
      case 'as-sent':
      case 'replay':
        return
      case 'unknown':
        this.#unknown.count(spec, effect.reason)
        this.markKeys(effect.keys, database, 'unknown-effect', waiter)
        // Keys that nobody can name.
        if (effect.keysMissing && route !== null && route.shadow !== null) {
          if (spec === null || !runsScript(spec)) this.#dirty.toVerify.mark(route.name, 'server-wide')
          else this.#doubts.undeclared(effect.keys.map((key) => this.#refs.of(key, database)))
        }
        return
      case 'copy':
        this.markKeys(effect.keys, database, 'state-copy', waiter)
        if (effect.elsewhere !== undefined) {
          this.markKeys(effect.elsewhere.keys, effect.elsewhere.database, 'state-copy', waiter)
        }
        return
      case 'commands':
        for (const args of effect.commands) this.#sendComputed(args, database, waiter)
        if (effect.followUp !== undefined) this.#followUps.ask(effect.followUp, database, waiter)
    }
  }

  markKeys(keys: readonly Buffer[], database: number, reason: DirtyReason, waiter: AckWaiter | null): void {
    for (const key of keys) this.#doubts.mark(this.#refs.of(key, database), reason, waiter)
  }

  #sendComputed(args: Args, database: number, waiter: AckWaiter | null): void {
    const bytes = encodeCommand(args)
    const { commands, routes } = this.#context
    const spec = commands.lookup(this.#parse(bytes, 0, bytes.length))
    // The table knows every command that an effect is made of: it is built on our own list.
    if (spec !== undefined) {
      this.send(spec, routes.fallback, database, bytes, 0, bytes.length, answerToComputed(spec, args), waiter)
    }
  }

  /** Queues one command for the shadow of its keys' route, renamed for it. */
  send(
    spec: CommandSpec,
    route: Route,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    answer: number,
    waiter: AckWaiter | null,
  ): void {
    const { routes } = this.#context
    if (spec.handling === 'publish') {
      this.#publish(spec, database, bytes, start, end, waiter)
      return
    }
    if (routes.trivial !== null && spec.firstKey > 0) {
      this.#queue.push(spec, routes.trivial, database, bytes, start, end, null, answer, waiter)
      return
    }
    const view = this.#parse(bytes, start, end)
    const form = shadowForm(routes, spec, view)
    switch (form.kind) {
      case 'keyless':
        this.#sendKeyless(spec, route, database, Buffer.from(bytes.subarray(start, end)), waiter)
        return
      case 'same':
        this.#queue.push(spec, form.route, database, bytes, start, end, null, answer, waiter)
        return
      case 'renamed': {
        const original = Buffer.from(bytes.subarray(start, end))
        this.#queue.push(spec, form.route, database, form.bytes, 0, form.bytes.length, original, answer, waiter)
        return
      }
      case 'unmirrored':
        return
      case 'mixed':
        // Several routes with several shadows: no one command can do it, so each mirrored key gets its state by copy.
        for (const ref of this.#refs.in(spec, database, bytes, start, end)) this.#doubts.mark(ref, 'state-copy', waiter)
    }
  }

  /** Who listens on the other side hears it under the name that the channel has there, behind the writes that came before it. */
  #publish(
    spec: CommandSpec,
    database: number,
    bytes: Buffer,
    start: number,
    end: number,
    waiter: AckWaiter | null,
  ): void {
    const { channels } = this.#context.routes
    if (channels.rules.length === 0) return
    const view = this.#parse(bytes, start, end)
    const other = channels.atShadow(Buffer.from(view.buf.subarray(view.start[1]!, view.end[1]!)))
    if (other === null) return
    const frame = publishFrame(channels, view, other.name)
    this.#queue.push(spec, other.route, database, frame, 0, frame.length, null, NO_ANSWER, waiter)
  }

  /** Scripts, functions; and what concerns whole databases. */
  #sendKeyless(spec: CommandSpec, route: Route, database: number, bytes: Buffer, waiter: AckWaiter | null): void {
    // One server has it already, and its subscribers have got the message.
    if (route.shadow === null || route.shadow.store === route.primary.store) return
    if (isServerWide(spec)) {
      this.#serverWide.apply({ spec, route, database, bytes, lane: this.lane }, waiter)
    } else {
      // One order for all changes of functions.
      const on = changesFunctions(spec) ? 0 : database
      this.#queue.push(spec, route, on, bytes, 0, bytes.length, null, NO_ANSWER, waiter)
    }
  }

  #parse(bytes: Buffer, start: number, end: number): CommandView {
    this.#parser.parse(bytes, start, end)
    return this.#parser
  }
}
