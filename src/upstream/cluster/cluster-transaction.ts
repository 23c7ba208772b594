import { arityFits, wrongArity } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand, errorFrame, FRAME } from '../../resp/encode.ts'
import { isOwnWord } from '../../resp/own-words.ts'
import type { ClusterSender } from './cluster-sender.ts'
import { keylessWay } from './keyless.ts'
import type { ReplyPlaces } from './reply-places.ts'

/**
 * MULTI ... EXEC on one slot of a cluster. Its commands are kept until EXEC and then go to the node of their slot in one piece, so that they can be sent once more, whole, when the slot has moved.
 * A script that Understudy loads goes ahead of them. A command of another slot is refused, and EXEC with it, as a node does it. Keys that are watched lie in the same slot; WATCH goes to its node at once, over the connection that the transaction will take.
 */
export class ClusterTransaction {
  readonly #sender: ClusterSender
  readonly #places: ReplyPlaces
  #commands: Buffer[] | null = null
  #slot = -1
  /** Of the keys under WATCH; -1: there are none. */
  #watchedSlot = -1
  #refused = false

  constructor(sender: ClusterSender, places: ReplyPlaces) {
    this.#sender = sender
    this.#places = places
  }

  reset(): void {
    this.#leave()
    this.#watchedSlot = -1
  }

  #leave(): void {
    this.#commands = null
    this.#slot = -1
    this.#refused = false
  }

  #unwatch(): void {
    if (this.#watchedSlot < 0) return
    this.#watchedSlot = -1
    this.#sender.unwatch()
  }

  /** True: the command is a part of a transaction and has been dealt with. `slot`: of its keys; -1: it has none, -2: of several slots. */
  takes(spec: CommandSpec | undefined, view: CommandView, slot: number): boolean {
    const commands = this.#commands
    switch (spec?.name) {
      case 'WATCH':
        this.#watch(view, slot)
        return true
      case 'UNWATCH':
        if (commands !== null) return this.#queue(commands, spec, view, slot)
        this.#unwatch()
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
        this.#leave()
        this.#unwatch()
        return true
      case 'EXEC':
        this.#exec(commands)
        return true
      default:
        if (commands === null) return false
        return this.#queue(commands, spec, view, slot)
    }
  }

  /** Keys of one slot are watched at its node, whose transaction it has to be. */
  #watch(view: CommandView, slot: number): void {
    if (slot < 0 || (this.#watchedSlot >= 0 && slot !== this.#watchedSlot)) return this.#places.refuse(CROSSSLOT)
    this.#watchedSlot = slot
    this.#sender.watch(slot, view.buf.subarray(view.frameStart, view.frameEnd), this.#places.add())
  }

  #queue(commands: Buffer[], spec: CommandSpec | undefined, view: CommandView, slot: number): true {
    const { name } = spec ?? { name: '' }
    const bound = this.#watchedSlot >= 0 ? this.#watchedSlot : this.#slot
    if (name === 'SCRIPT LOAD' && isOwnWord(view.buf.toString('latin1', view.start[0], view.end[0])))
      return this.#ahead(view, bound)
    if (spec !== undefined && !arityFits(spec, view.argc)) return this.#refuse(wrongArity(spec))
    if (slot === -2 || (slot >= 0 && bound >= 0 && slot !== bound)) return this.#refuse(CROSSSLOT)
    if (slot === -1 && spec !== undefined && name !== 'UNWATCH' && !isAnsweredByOne(name)) {
      return this.#refuse(`ERR Understudy: ${name} concerns a whole cluster, and a transaction is on one of its nodes`)
    }
    if (slot >= 0) this.#slot = slot
    commands.push(Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd)))
    this.#places.answer(FRAME.QUEUED)
    return true
  }

  /** To the node that the transaction goes to. */
  #ahead(view: CommandView, slot: number): true {
    const bytes = view.buf.subarray(view.frameStart, view.frameEnd)
    if (slot >= 0) this.#sender.send(slot, { keyHash: 0, writes: false }, bytes, 1, this.#places.add())
    else this.#sender.sendMessages(bytes, 1, this.#places.add())
    return true
  }

  #refuse(text: string): true {
    this.#refused = true
    this.#places.answer(errorFrame(text))
    return true
  }

  #exec(commands: Buffer[] | null): void {
    const slot = this.#slot
    const refused = this.#refused
    const watched = this.#watchedSlot
    this.#leave()
    if (commands === null) return this.#places.refuse('ERR EXEC without MULTI')
    if (refused) {
      this.#unwatch()
      return this.#places.refuse('EXECABORT Transaction discarded because of previous errors.')
    }
    this.#watchedSlot = -1
    const bytes = Buffer.concat([MULTI, ...commands, EXEC])
    const replies = commands.length + 2
    if (watched >= 0) this.#sender.sendWatched(watched, bytes, replies, this.#places.add())
    else if (slot >= 0) this.#sender.send(slot, { keyHash: 0, writes: true }, bytes, replies, this.#places.add())
    else this.#sender.sendMessages(bytes, replies, this.#places.add())
  }
}

/** One node's answer is as good as all of theirs, as far as a transaction goes. */
function isAnsweredByOne(name: string): boolean {
  const way = keylessWay(name)
  return way === 'any' || way === 'speaker' || way === 'every' || way === 'common'
}

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])
const CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"
