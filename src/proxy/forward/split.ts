import { hashBytes } from '../../base/hash.ts'
import { wrongArity } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { type Merge, mergeOf } from '../../command/split-commands.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'
import { encodeCommand, errorFrame, FRAME } from '../../resp/encode.ts'
import { planCommand } from '../../routing/plan.ts'
import { bytesArg } from '../session/arguments.ts'
import { isMalformed } from '../session/malformed.ts'
import type { Session } from '../session/session.ts'
import { areHeldBack } from '../switch/hold.ts'
import { sendPlanned } from './send-planned.ts'

/**
 * A command whose keys are on several stores: what is said of each key by itself is sent to each store for its keys, and the replies are merged.
 *
 *   MGET a far:1 b  ─▶  MGET a b   at one ─▶ [A, B] ─┐
 *                   ─▶  MGET far:1 at two ─▶ [F]    ─┴─▶ [A, F, B]
 *
 * It is not one moment any more: another client may see one part of an MSET before the other, and when a store fails the client gets its error although the other
 * parts may have been done. Every other command would need one store, and is refused as Redis Cluster refuses CROSSSLOT.
 */
/** Call for a command whose plan is a refusal. False: has to wait. */
export function splitOrRefuse(session: Session, view: CommandView, spec: CommandSpec | null): boolean {
  const { path } = session
  const merge = spec === null ? null : mergeOf(spec.name)
  if (spec === null || merge === null) {
    session.answerError(path.plan.refusal!)
    return true
  }
  const step = merge === 'ok' ? 2 : 1
  if ((view.argc - 1) % step !== 0) {
    session.answerError(wrongArity(spec))
    return true
  }
  const parts = new Map<number, Part>()
  for (let i = 1; i < view.argc; i += step) {
    const { route } = path.routes.find(view.buf, view.start[i]!, view.end[i]!)
    if (route.state.held && areHeldBack([route.state], spec.write ? [hashOf(view, i)] : []))
      return session.waitFor('hold')
    let part = parts.get(route.primary.store)
    if (part === undefined) parts.set(route.primary.store, (part = { args: [spec.name], places: [] }))
    part.places.push(i - 1)
    for (let arg = i; arg < i + step; arg++) part.args.push(bytesArg(view, arg))
  }
  const { database, protocol, user, own } = session
  const stores = [...parts.keys()].map((store) => path.stores[store]!)
  own?.carryCaching(stores)
  const pipelines = stores.map((store) => own?.to(store) ?? store.shared(database, protocol, user))
  const full = pipelines.find((pipeline) => pipeline.full)
  if (full !== undefined) return session.noRoom(full)
  const whole = new Whole(session, merge, [...parts.values()], view.argc - 1)
  for (const [i, { args }] of [...parts.values()].entries()) {
    const bytes = encodeCommand(args)
    parser.parse(bytes, 0, bytes.length)
    planCommand(path.routes, spec, parser, path.plan)
    sendPlanned(session, pipelines[i]!, parser, spec, session.parts.expect(whole, i))
  }
  return true
}

/**
 * Replies that are a part of a reply: the session's numbers for them are negative, so that they need no place in the order of its replies.
 */
export class PartReplies {
  readonly #expected = new Map<number, { readonly whole: TakesParts; readonly part: number }>()
  #last = 0

  expect(whole: TakesParts, part: number): number {
    this.#expected.set(--this.#last, { whole, part })
    return this.#last
  }

  /** The bytes are a view. */
  reply(seq: number, buf: Buffer, start: number, end: number): void {
    const expected = this.#expected.get(seq)
    if (expected === undefined) return
    this.#expected.delete(seq)
    expected.whole.settle(expected.part, Buffer.from(buf.subarray(start, end)))
  }
}

/** Takes replies that are not the client's, by the number of the part: copies. */
interface TakesParts {
  settle(part: number, frame: Buffer): void
}

interface Part {
  readonly args: (string | Buffer)[]
  /** Where its keys stood in the command, from 0. */
  readonly places: number[]
}

/** One command that was split, until the last part is answered. */
class Whole {
  readonly #session: Session
  readonly #merge: Merge
  readonly #parts: readonly Part[]
  readonly #count: number
  readonly #seq: number
  readonly #frames: Buffer[] = []
  #missing: number

  constructor(session: Session, merge: Merge, parts: readonly Part[], count: number) {
    this.#session = session
    this.#merge = merge
    this.#parts = parts
    this.#count = count
    this.#seq = session.order.assign()
    this.#missing = parts.length
  }

  /** The client gets its answer when every part has one, also when one failed: nothing of it is under way then. */
  settle(part: number, frame: Buffer): void {
    this.#frames[part] = frame
    if (--this.#missing > 0) return
    const answer = this.#frames.find((one) => one[0] === MINUS) ?? this.#merged()
    this.#session.reply(this.#seq, answer, 0, answer.length)
  }

  #merged(): Buffer {
    try {
      switch (this.#merge) {
        case 'ok':
          return FRAME.OK
        case 'sum': {
          const numbers = this.#frames.map((frame) => Number(frame.toString('latin1', 1, frame.length - 2)))
          return Buffer.from(`:${numbers.reduce((sum, number) => sum + number, 0)}\r\n`)
        }
        case 'values':
          return this.#values()
      }
    } catch (error) {
      if (!isMalformed(error)) throw error
      return errorFrame('ERR Understudy: a store answered with something that is no reply to this command')
    }
  }

  #values(): Buffer {
    const values: Buffer[] = []
    for (const [i, frame] of this.#frames.entries()) {
      const offsets = elementOffsets(frame, 0, frame.length)!
      for (const [j, place] of this.#parts[i]!.places.entries()) {
        values[place] = frame.subarray(offsets[j]!, offsets[j + 1]!)
      }
    }
    return Buffer.concat([Buffer.from(`*${this.#count}\r\n`), ...values])
  }
}

function hashOf({ buf, start, end }: CommandView, arg: number): number {
  return hashBytes(buf, start[arg]!, end[arg]!)
}

const parser = new CommandParser()
