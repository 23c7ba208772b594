import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand, errorFrame, FRAME } from '../../resp/encode.ts'
import { keylessWay } from './keyless.ts'
import type { NodeLinks } from './node-links.ts'
import type { ReplyPlaces } from './reply-places.ts'

/**
 * MULTI ... EXEC on one slot of a cluster. Its commands are kept until EXEC and then go to the node of their slot in one piece, so that they can be sent once more, whole, when the slot has moved.
 * A command of another slot is refused, and EXEC with it, as a node does it.
 */
export class ClusterTransaction {
  readonly #links: NodeLinks
  readonly #places: ReplyPlaces
  #commands: Buffer[] | null = null
  #slot = -1
  #refused = false

  constructor(links: NodeLinks, places: ReplyPlaces) {
    this.#links = links
    this.#places = places
  }

  reset(): void {
    this.#commands = null
    this.#slot = -1
    this.#refused = false
  }

  /** True: the command is a part of a transaction and has been dealt with. `slot`: of its keys; -1: it has none, -2: of several slots. */
  takes(spec: CommandSpec | undefined, view: CommandView, slot: number): boolean {
    const commands = this.#commands
    switch (spec?.name) {
      case 'WATCH':
        this.#places.refuse('ERR Understudy: WATCH is not supported with a cluster yet')
        return true
      case 'UNWATCH':
        this.#places.answer(FRAME.OK)
        return true
      case 'MULTI':
        if (commands === null) this.#commands = []
        if (commands === null) this.#places.answer(FRAME.OK)
        else this.#places.refuse('ERR MULTI calls can not be nested')
        return true
      case 'DISCARD':
        if (commands === null) this.#places.refuse('ERR DISCARD without MULTI')
        else this.#places.answer(FRAME.OK)
        this.reset()
        return true
      case 'EXEC':
        this.#exec(commands)
        return true
      default:
        if (commands === null) return false
        this.#queue(commands, spec, view, slot)
        return true
    }
  }

  #queue(commands: Buffer[], spec: CommandSpec | undefined, view: CommandView, slot: number): void {
    const { name } = spec ?? { name: '' }
    if (slot === -2 || (slot >= 0 && this.#slot >= 0 && slot !== this.#slot)) {
      return this.#refuse("CROSSSLOT Keys in request don't hash to the same slot")
    }
    if (slot === -1 && spec !== undefined && keylessWay(name) !== 'any') {
      return this.#refuse(`ERR Understudy: ${name} concerns a whole cluster, and a transaction is on one of its nodes`)
    }
    if (slot >= 0) this.#slot = slot
    commands.push(Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd)))
    this.#places.answer(FRAME.QUEUED)
  }

  #refuse(text: string): void {
    this.#refused = true
    this.#places.answer(errorFrame(text))
  }

  #exec(commands: Buffer[] | null): void {
    const slot = this.#slot
    const refused = this.#refused
    this.reset()
    if (commands === null) return this.#places.refuse('ERR EXEC without MULTI')
    if (refused) return this.#places.refuse('EXECABORT Transaction discarded because of previous errors.')
    const bytes = Buffer.concat([MULTI, ...commands, EXEC])
    if (slot >= 0) this.#links.send(slot, { keyHash: 0, writes: true }, bytes, commands.length + 2, this.#places.add())
    else this.#links.sendAny(bytes, commands.length + 2, this.#places.add())
  }
}

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])
