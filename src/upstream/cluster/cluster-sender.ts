import { frameForTheRest } from '../../command/block-time.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { encodeCommand, errorFrame, FRAME } from '../../resp/encode.ts'
import type { InFlight, Loss, ReplyOwner } from '../pipeline/in-flight.ts'
import type { PipelineOptions } from '../pipeline/pipeline-options.ts'
import type { Cluster } from './cluster.ts'
import type { NodeLinks } from './node-links.ts'
import type { Place } from './reply-places.ts'
import { type Footprint, Sent, SlotFlow } from './slot-flow.ts'
import { isSameNode, type NodeAddress, type Redirect, readRedirect } from './topology.ts'
import { WatchedNode } from './watched-node.ts'

/**
 * What one pipeline sends to the nodes of a cluster, and the order of what is sent to a slot:
 *
 *   MOVED, ASK             the node has not executed the command: it is sent to the one that was named
 *   TRYAGAIN, CLUSTERDOWN  sent again every 50 ms, for half the store's `timeout` from the first of them on; then it is the answer
 *
 * What is sent again goes when nothing else of its slot is under way, in the order in which it was sent before; what comes for that slot meanwhile waits behind it. Where a node has executed a
 * later command before it knew that (keys of one slot move one by one, and a slot can move away and back within one round trip), the earlier one is given up if their order makes a
 * difference: `TRYAGAIN`, not executed. So commands on one key never overtake each other. A blocking command that is sent again waits for what is left of its time.
 *
 * What is published has a place among the slots, `MESSAGES`, whose owner is the node that speaks (`NodeLinks.speaker`): when another one takes over, messages wait until all before them are answered, lost, or told as not
 * answered in time.
 */
export class ClusterSender {
  readonly #cluster: Cluster
  readonly #options: PipelineOptions
  readonly #links: NodeLinks
  readonly #slots = new Map<number, SlotFlow>()
  readonly #watched = new WatchedNode()
  #seq = 0

  constructor(cluster: Cluster, options: PipelineOptions, links: NodeLinks) {
    this.#cluster = cluster
    this.#options = options
    this.#links = links
  }

  /** A command, or several (`replies`, of which the last counts), for the node of a slot. The bytes are copied. */
  send(slot: number, footprint: Footprint, bytes: Buffer, replies: number, place: Place, part = 0): void {
    const { nowMs } = this.#options.clock
    this.#enter(new Sent(this.#seq++, slot, footprint, bytes, replies, place, part, nowMs))
  }

  /** WATCH: where it is executed, its transaction has to be executed, too. Dedicated connections only. */
  watch(slot: number, bytes: Buffer, place: Place): void {
    this.#enter(new Sent(this.#seq++, slot, EVERYTHING, bytes, 1, place, 0, this.#options.clock.nowMs, 'watches'))
  }

  /** The transaction of what is watched: answered nil where it cannot be known whether that has changed. */
  sendWatched(slot: number, bytes: Buffer, replies: number, place: Place): void {
    this.#enter(new Sent(this.#seq++, slot, EVERYTHING, bytes, replies, place, 0, this.#options.clock.nowMs, 'needs'))
  }

  /** Nothing is watched any more, at no node. */
  unwatch(): void {
    for (const pipeline of this.#watched.clear()) {
      if (pipeline.state !== 'closed') pipeline.push(NOBODY, UNWATCH, 0, UNWATCH.length)
    }
  }

  /** For a node that does not matter. */
  sendAny(bytes: Buffer, replies: number, place: Place): void {
    const command = new Sent(this.#seq++, ANY, EVERYTHING, bytes, replies, place, 0, this.#options.clock.nowMs)
    this.#pushTo(this.#links.any(), command, null)
  }

  /** What is published, in the order in which it comes. */
  sendMessages(bytes: Buffer, replies: number, place: Place): void {
    this.send(MESSAGES, EVERYTHING, bytes, replies, place)
  }

  sendTo(node: NodeAddress, bytes: Buffer, replies: number, place: Place, part: number): void {
    const command = new Sent(this.#seq++, -1, EVERYTHING, bytes, replies, place, part, this.#options.clock.nowMs)
    this.#pushTo(node, command, null)
  }

  /** Nothing is sent again any more: the connections are about to be closed. */
  reset(): void {
    this.#watched.clear()
    for (const { timer } of this.#slots.values()) if (timer !== null) clearTimeout(timer)
    this.#slots.clear()
  }

  #enter(command: Sent): void {
    const { slot, place, part } = command
    let flow = this.#slots.get(slot)
    if (flow === undefined) this.#slots.set(slot, (flow = new SlotFlow()))
    const owner = this.#ownerOf(slot)
    const isElsewhere = flow.underWay > 0 && (flow.redirected > 0 || !isSameNode(flow.node, owner))
    if (flow.again.length > 0 || flow.waiting.length > 0 || isElsewhere) {
      command.keep()
      place.owedBy(part, flow)
      flow.waiting.push(command)
    } else this.#push(flow, command)
  }

  /** The master that serves the slot, if there is one; of messages, the node that speaks. */
  #ownerOf(slot: number): NodeAddress | undefined {
    if (slot === MESSAGES) return this.#links.speaker()
    const { masters, owners } = this.#cluster.topology!
    return masters[owners[slot]!]
  }

  #push(flow: SlotFlow, command: Sent): void {
    const owner = this.#ownerOf(command.slot)
    const to = command.redirect ?? owner
    if (command.role === 'needs' && this.#watched.isAny) {
      command.redirect = this.#watched.place
      if (command.redirect === null) return this.#notExecuted(command)
      flow.node = owner
      return this.#pushTo(command.redirect, command, flow)
    }
    if (to === undefined) {
      this.#cluster.ask()
      if (!this.#again(flow, command, null, UNSERVED)) command.place.settle(command.part, UNSERVED, 0, UNSERVED.length)
      return
    }
    flow.node = owner
    this.#pushTo(to, command, flow)
  }

  #pushTo(node: NodeAddress, command: Sent, flow: SlotFlow | null): void {
    const link = this.#links.to(node)
    const { bytes, place, part, redirect } = command
    const asking = redirect?.kind === 'ASK'
    const whole = asking ? Buffer.concat([ASKING, bytes]) : bytes
    let owed = command.replies + (asking ? 1 : 0)
    let refusal: string | null = null
    if (flow !== null) {
      flow.underWay++
      if (redirect !== null) flow.redirected++
    }
    /** Null: nothing of the slot waits for it any more. */
    let line = flow
    const ended = (): void => {
      if (line === null) return
      const of = line
      line = null
      of.underWay--
      if (redirect !== null) of.redirected--
      this.#goOn(command.slot, of)
    }
    const { role } = command
    const watched = this.#watched
    if (role === 'watches')
      watched.sent(link.pipeline, {
        kind: redirect?.kind ?? 'MOVED',
        slot: command.slot,
        host: node.host,
        port: node.port,
      })
    const owner: ReplyOwner = {
      settle: (slot: InFlight, buf: Buffer, start: number, end: number) => {
        owed--
        if (buf[start] === MINUS && flow !== null && RETRIED.test(buf.toString('latin1', start, start + 14))) {
          refusal ??= buf.toString('latin1', start, end)
        }
        if (owed > 0) return
        if (role === 'watches' && buf[start] === MINUS) watched.refused(link.pipeline)
        if (role === 'needs') {
          // Executed or given up, the node watches nothing any more.
          watched.clear()
          if (refusal === null) place.settle(part, buf, start, end)
          else this.#notExecuted(command)
        } else if (refusal !== null && line !== null) {
          command.bytes = Buffer.from(slot.chunk!.buf.subarray(slot.start + (asking ? ASKING.length : 0), slot.end))
          const redirect = readRedirect(refusal, node.host)
          this.#cluster.ask(redirect?.kind === 'MOVED' ? redirect : null)
          if (this.#again(line, command, redirect, buf.subarray(start, end))) return ended()
          if (redirect === null) place.settle(part, buf, start, end)
          else place.settle(part, DISAGREEMENT, 0, DISAGREEMENT.length)
        } else {
          if (flow !== null) this.#giveUp(flow.overtakenBy(command))
          place.settle(part, buf, start, end)
        }
        ended()
      },
      lost: (slot: InFlight, loss: Loss) => {
        if (this.#links.closed) return
        const other = command.slot === ANY && link.pipeline.generation === 0 ? this.#links.another() : null
        if (other !== null) {
          command.bytes = Buffer.from(slot.chunk!.buf.subarray(slot.start, slot.end))
          return this.#pushTo(other, command, null)
        }
        place.lost(loss)
        ended()
      },
      timedOut: () => {
        // Who has published it is told now: newer messages need not wait for it any more.
        if (command.slot === MESSAGES) ended()
      },
    }
    place.owedBy(part, link)
    const slot = link.pipeline.push(owner, whole, 0, whole.length)
    slot.replies = owed
  }

  /** What was watched may have changed where nobody has seen it. */
  #notExecuted({ place, part }: Sent): void {
    this.unwatch()
    this.#answerNil(place, part)
  }

  #answerNil(place: Place, part: number): void {
    const frame = this.#links.identity.protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY
    place.settle(part, frame, 0, frame.length)
  }

  /** `refusal`: a view. False: it has been tried for long enough. */
  #again(flow: SlotFlow, command: Sent, redirect: Redirect | null, refusal: Buffer): boolean {
    const forMs = command.refused(this.#options.clock.nowMs)
    if (forMs > (this.#options.store.timeoutMs / 2 || PATIENCE_MS)) return false
    command.keep()
    command.redirect = redirect
    command.refusal = redirect === null ? Buffer.from(refusal) : OVERTAKEN
    command.place.owedBy(command.part, flow)
    flow.again.push(command)
    this.#goOn(command.slot, flow)
    return true
  }

  /** What was kept leaves. */
  #pushLater(flow: SlotFlow, command: Sent): void {
    const { nowMs } = this.#options.clock
    const rest = this.#options.dedicated ? this.#rest(command, nowMs) : command.bytes
    if (rest === null) return this.#answerNil(command.place, command.part)
    command.bytes = rest
    command.sentMs = nowMs
    this.#push(flow, command)
  }

  /** The command with what is left of its time, if it blocks; null: nothing is left. */
  #rest({ bytes, sentMs }: Sent, nowMs: number): Buffer | null {
    parser.parse(bytes, 0, bytes.length)
    const spec = this.#cluster.options.commands().lookup(parser)
    return spec === undefined ? bytes : frameForTheRest(spec, bytes, nowMs - sentMs)
  }

  /** They have not been executed, and their time is over. */
  #giveUp(commands: readonly Sent[]): void {
    for (const { place, part, refusal } of commands) place.settle(part, refusal!, 0, refusal!.length)
  }

  /** When nothing of the slot is under way any more, what is to be sent again leaves, and what waited behind it. */
  #goOn(slot: number, flow: SlotFlow): void {
    if (flow.underWay > 0 || flow.timer !== null || this.#links.closed) return
    if (flow.again.length === 0 && flow.waiting.length === 0) {
      this.#slots.delete(slot)
      return
    }
    const isPatient = flow.again.some(({ redirect, refusals }) => redirect === null || refusals > HASTY_REDIRECTS)
    flow.timer = setTimeout(
      () => {
        flow.timer = null
        for (const command of flow.take()) {
          // What one is answered can be the end of the connection.
          if (this.#links.closed) return
          this.#pushLater(flow, command)
        }
        this.#goOn(slot, flow)
      },
      isPatient ? AGAIN_MS : 0,
    )
  }
}

/** No slot: any node. */
const ANY = -2
/** No slot. */
const MESSAGES = 16_384
const parser = new CommandParser()
const UNWATCH = encodeCommand(['UNWATCH'])
const NOBODY: ReplyOwner = { settle: () => {}, lost: () => {}, timedOut: () => {} }
const ASKING = Buffer.from('*1\r\n$6\r\nASKING\r\n')
const RETRIED = /^-(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /
const UNSERVED = errorFrame('CLUSTERDOWN Hash slot not served')
const OVERTAKEN = errorFrame(
  'TRYAGAIN Understudy: the slot of its keys is moving, and a command that came later was executed first; this one was not executed',
)
const EVERYTHING: Footprint = { keyHash: 0, writes: true }
const DISAGREEMENT = errorFrame(
  'CLUSTERDOWN Understudy: the nodes send each other the commands of the slot; not executed',
)
/** One after the other without a pause: more of them say that the nodes do not agree yet. */
const HASTY_REDIRECTS = 4
const AGAIN_MS = 50
const PATIENCE_MS = 5_000
