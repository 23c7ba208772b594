import { hashBytes, mix } from '../../base/hash.ts'
import type { Effect, FollowUp } from '../../command/effects.ts'
import { findKeys, KeyPositions, rewriteKeys } from '../../command/keys.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { DataPathContext } from '../context.ts'
import { primaryPipeline } from '../copy/primary-pipeline.ts'
import type { KeyRef, KeyRefs } from '../keys/key-refs.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { type AckWaiter, acknowledge } from './ack-waiter.ts'

/** What becomes of a follow-up's answer. */
export interface FollowUpOutcome {
  perform(effect: Effect, database: number, waiter: AckWaiter | null): void
  /** Nothing can be made of it: the keys are to be copied. */
  markDirty(keys: readonly KeyRef[], waiter: AckWaiter | null): void
}

/**
 * Asks the primary what the reply to a write did not tell (`FollowUp`).
 *
 *   primary pipeline:  ... XADD key MAXLEN ~ 20   XRANGE key - + COUNT 1   w ...
 *   shadow pipeline:   ... XADD key               XTRIM key MINID = first  w' ...
 *
 * The question goes down the pipeline in which the key's writes are, and what follows from its answer is queued where that answer arrives. Should another connection write to
 * the key meanwhile, or the answer be lost, the key is copied.
 */
export class FollowUps {
  readonly #context: DataPathContext
  readonly #overlap: OverlapTable
  readonly #refs: KeyRefs
  readonly #outcome: FollowUpOutcome
  /** Under way, by database and key. */
  readonly #pending = new Map<string, number>()
  readonly #parser = new CommandParser()
  readonly #positions = new KeyPositions()

  constructor(context: DataPathContext, overlap: OverlapTable, refs: KeyRefs, outcome: FollowUpOutcome) {
    this.#context = context
    this.#overlap = overlap
    this.#refs = refs
    this.#outcome = outcome
  }

  /** Keys of which something is asked. */
  get size(): number {
    return this.#pending.size
  }

  /** Whether the shadow's state of the key waits for an answer. */
  has(database: number, key: Buffer): boolean {
    return this.#pending.size > 0 && this.#pending.has(nameOf(database, key))
  }

  ask(followUp: FollowUp, database: number, waiter: AckWaiter | null): void {
    const keys = followUp.keys.map((key) => this.#refs.of(key, database))
    const route = keys[0]!.rule.route
    if (route.shadow === null) return
    const hashes = followUp.keys.map((key) => hashBytes(key, 0, key.length))
    const pipeline = primaryPipeline(this.#context, this.#overlap, route, database, hashes[0]!)
    if (pipeline.state !== 'up') return this.#outcome.markDirty(keys, waiter)
    const { lane } = pipeline
    const looks = hashes.map((hash) => this.#overlap.look(hash, lane))
    const ticket = looks.includes(-1) ? -1 : looks.reduce(mix, 0)
    const bytes = this.#onPrimary(followUp)
    for (const ref of keys) this.#count(ref, 1)
    route.state.backlogCommands++
    if (waiter !== null) waiter.pending++
    const end = (): void => {
      for (const ref of keys) this.#count(ref, -1)
      route.state.backlogCommands--
    }
    const owner: ReplyOwner = {
      settle: (_slot: InFlight, buf: Buffer, from: number, to: number) => {
        end()
        const now = hashes.reduce((joined, hash) => mix(joined, this.#overlap.traffic(hash, lane)), 0)
        if (buf[from] === MINUS || now !== ticket || !this.#isPrimary(keys[0]!, route))
          this.#outcome.markDirty(keys, waiter)
        else this.#outcome.perform(followUp.effect(decodeReply(buf, from, to)), database, waiter)
        acknowledge(waiter, true)
      },
      lost: () => {
        end()
        this.#outcome.markDirty(keys, waiter)
        acknowledge(waiter, true)
      },
      timedOut: () => {},
    }
    pipeline.push(owner, bytes, 0, bytes.length).route = route
  }

  /** The read with the primary's names. */
  #onPrimary({ read }: FollowUp): Buffer {
    const { commands, routes } = this.#context
    const bytes = encodeOwn(read)
    if (routes.trivial !== null) return bytes
    this.#parser.parse(bytes, 0, bytes.length)
    const spec = commands.lookup(this.#parser)
    if (spec === undefined) return bytes
    findKeys(spec, this.#parser, this.#positions)
    const rename = (buf: Buffer, from: number, to: number): Buffer | null =>
      routes.find(buf, from, to).primary?.apply(buf, from, to) ?? null
    return rewriteKeys(this.#parser, this.#positions, rename)
  }

  /** The key's primary may have changed hands since it was asked. */
  #isPrimary({ key }: KeyRef, asked: Route): boolean {
    const { route } = this.#context.routes.find(key, 0, key.length)
    return route.primary.store === asked.primary.store && route.shadow?.store === asked.shadow?.store
  }

  #count({ database, key }: KeyRef, change: 1 | -1): void {
    const name = nameOf(database, key)
    const count = (this.#pending.get(name) ?? 0) + change
    if (count === 0) this.#pending.delete(name)
    else this.#pending.set(name, count)
  }
}

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.toString('latin1')}`
}
