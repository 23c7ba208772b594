import { MINUS } from '../../resp/bytes.ts'
import { encodeCommand, errorFrame, FRAME } from '../../resp/encode.ts'
import type { InFlight, Loss, ReplyOwner } from '../in-flight.ts'
import type { Pipeline } from '../pipeline.ts'
import type { PipelineOptions } from '../pipeline-options.ts'
import type { Cluster } from './cluster.ts'
import { NodeLink } from './node-link.ts'
import type { Place } from './reply-places.ts'
import { type Footprint, Sent, SlotFlow } from './slot-flow.ts'
import { type ClusterNode, type Redirect, readRedirect } from './topology.ts'
import { WatchedNode } from './watched-node.ts'

type Address = Pick<ClusterNode, 'host' | 'port'>

export interface NodeLinksOwner {
  /** A node can be spoken to. */
  up(): void
  /** The same of one that could not be, or was not known, when the others could already. */
  renewed(): void
  /** No node can. */
  down(reason: string): void
  /** A node's own words: it will never serve this identity. */
  refused(text: string): void
  /** A dedicated connection has lost a node, and with it what it stood for there. */
  ended(reason: string): void
}

/**
 * One pipeline's connections to the nodes of a cluster, and the order of what is sent to a slot:
 *
 *   MOVED, ASK             the node has not executed the command: it is sent to the one that was named
 *   TRYAGAIN, CLUSTERDOWN  sent again every 50 ms, for half the store's `timeout`; then it is the answer
 *
 * What is sent again goes when nothing else of its slot is under way, in the order in which it was sent before; what comes for that slot meanwhile waits behind it. Where a node has executed a
 * later command before it knew that (keys of one slot move one by one, and a slot can move away and back within one round trip), the earlier one is given up if their order makes a
 * difference: `TRYAGAIN`, not executed. So commands on one key never overtake each other.
 */
export class NodeLinks {
  readonly #cluster: Cluster
  readonly #options: PipelineOptions
  readonly #owner: NodeLinksOwner
  /** By address. */
  readonly #links = new Map<string, NodeLink>()
  readonly #slots = new Map<number, SlotFlow>()
  #relaying: Pipeline | null = null
  readonly #watched = new WatchedNode()
  /** Connections of the beginning that have not come up yet. */
  readonly #first = new Set<Pipeline>()
  #begun = false
  #closed = false
  #seq = 0

  constructor(cluster: Cluster, options: PipelineOptions, owner: NodeLinksOwner) {
    this.#cluster = cluster
    this.#options = options
    this.#owner = owner
  }

  get writableLength(): number {
    let sum = 0
    for (const { pipeline } of this.#links.values()) sum += pipeline.writableLength
    return sum
  }

  /** Opens what is needed first. */
  begin(): void {
    this.#closed = false
    const { masters } = this.#cluster.topology!
    const { dedicated, identity } = this.#options
    if (dedicated && identity.user === null) queueMicrotask(() => this.#closed || this.#owner.up())
    else {
      for (const node of dedicated ? masters.slice(0, 1) : masters) {
        const { pipeline } = this.#to(node)
        if (!this.#begun) this.#first.add(pipeline)
        pipeline.connect()
      }
      this.#begun = true
    }
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

  #enter(command: Sent): void {
    const { slot, place, part } = command
    let flow = this.#slots.get(slot)
    if (flow === undefined) this.#slots.set(slot, (flow = new SlotFlow()))
    const owner = this.#cluster.topology!.owners[slot]!
    const isElsewhere = flow.underWay > 0 && (flow.redirected > 0 || flow.node !== owner)
    if (flow.again.length > 0 || flow.waiting.length > 0 || isElsewhere) {
      command.keep()
      place.owedBy(part, flow)
      flow.waiting.push(command)
    } else this.#push(flow, command)
  }

  /** For a node that does not matter. */
  sendAny(bytes: Buffer, replies: number, place: Place): void {
    this.sendTo(this.#anyNode(), bytes, replies, place, 0)
  }

  sendTo(node: Address, bytes: Buffer, replies: number, place: Place, part: number): void {
    const command = new Sent(this.#seq++, -1, EVERYTHING, bytes, replies, place, part, this.#options.clock.nowMs)
    this.#pushTo(node, command, null)
  }

  /** What comes from now on is a subscriber's: one node's messages, as they come. */
  relay(bytes: Buffer, onMessage: (buf: Buffer, start: number, end: number) => void): void {
    let pipeline = this.#relaying
    if (pipeline === null) {
      pipeline = this.#to(this.#anyNode()).pipeline
      pipeline.relay = true
      pipeline.onPush = onMessage
      this.#relaying = pipeline
    }
    pipeline.pushRelayed(bytes, 0, bytes.length)
  }

  pause(): void {
    for (const { pipeline } of this.#links.values()) pipeline.pauseReading()
  }

  resume(): void {
    for (const { pipeline } of this.#links.values()) pipeline.resumeReading()
  }

  tick(nowMs: number): void {
    const { topology } = this.#cluster
    for (const [address, link] of this.#links) {
      const { pipeline } = link
      pipeline.tick(nowMs)
      const isKnown = topology === null || topology.masters.some((node) => addressOf(node) === address)
      if (pipeline === this.#relaying || !link.isOver(isKnown, nowMs)) continue
      if (pipeline.quiet || !this.#options.dedicated) this.#links.delete(address)
      pipeline.close('the node is no master of the cluster any more')
    }
  }

  close(): void {
    this.#closed = true
    this.#begun = false
    this.#first.clear()
    this.#relaying = null
    this.#watched.clear()
    for (const { timer } of this.#slots.values()) if (timer !== null) clearTimeout(timer)
    this.#slots.clear()
    const links = [...this.#links.values()]
    this.#links.clear()
    for (const { pipeline } of links) pipeline.close('the connection to the cluster is closed')
  }

  /** One that answers, if there is one. */
  #anyNode(): Address {
    const { masters } = this.#cluster.topology!
    const links = masters.map((node) => this.#links.get(addressOf(node)))
    const best = links.findIndex((link) => link?.pipeline.state === 'up' && !link.lags())
    return masters[Math.max(0, best)]!
  }

  #push(flow: SlotFlow, command: Sent): void {
    const { masters, owners } = this.#cluster.topology!
    const owner = owners[command.slot]!
    const to = command.redirect ?? masters[owner]
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

  #pushTo(node: Address, command: Sent, flow: SlotFlow | null): void {
    const link = this.#to(node)
    const { bytes, place, part, redirect } = command
    const asking = redirect?.kind === 'ASK'
    const whole = asking ? Buffer.concat([ASKING, bytes]) : bytes
    let owed = command.replies + (asking ? 1 : 0)
    let refusal: string | null = null
    if (flow !== null) {
      flow.underWay++
      if (redirect !== null) flow.redirected++
    }
    const ended = (): void => {
      if (flow === null) return
      flow.underWay--
      if (redirect !== null) flow.redirected--
      this.#goOn(command.slot, flow)
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
        } else if (refusal !== null && flow !== null) {
          command.bytes = Buffer.from(slot.chunk!.buf.subarray(slot.start + (asking ? ASKING.length : 0), slot.end))
          const redirect = readRedirect(refusal, node.host)
          this.#cluster.ask(redirect?.kind === 'MOVED' ? redirect : null)
          if (this.#again(flow, command, redirect, buf.subarray(start, end))) return ended()
          if (redirect === null) place.settle(part, buf, start, end)
          else place.settle(part, DISAGREEMENT, 0, DISAGREEMENT.length)
        } else {
          if (flow !== null) this.#giveUp(flow.overtakenBy(command))
          place.settle(part, buf, start, end)
        }
        ended()
      },
      lost: (_slot: InFlight, loss: Loss) => {
        if (this.#closed) return
        place.lost(loss)
        ended()
      },
      timedOut: () => {},
    }
    place.owedBy(part, link)
    const slot = link.pipeline.push(owner, whole, 0, whole.length)
    slot.replies = owed
  }

  /** What was watched may have changed where nobody has seen it. */
  #notExecuted({ place, part }: Sent): void {
    this.unwatch()
    const frame = this.#options.identity.protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY
    place.settle(part, frame, 0, frame.length)
  }

  /** `refusal`: a view. False: it has been tried for long enough. */
  #again(flow: SlotFlow, command: Sent, redirect: Redirect | null, refusal: Buffer): boolean {
    const { nowMs } = this.#options.clock
    if (nowMs - command.sinceMs > (this.#options.store.timeoutMs / 2 || PATIENCE_MS)) return false
    command.refusals++
    command.keep()
    command.redirect = redirect
    command.refusal = redirect === null ? Buffer.from(refusal) : OVERTAKEN
    command.place.owedBy(command.part, flow)
    flow.again.push(command)
    this.#goOn(command.slot, flow)
    return true
  }

  /** They have not been executed, and their time is over. */
  #giveUp(commands: readonly Sent[]): void {
    for (const { place, part, refusal } of commands) place.settle(part, refusal!, 0, refusal!.length)
  }

  /** When nothing of the slot is under way any more, what is to be sent again leaves, and what waited behind it. */
  #goOn(slot: number, flow: SlotFlow): void {
    if (flow.underWay > 0 || flow.timer !== null || this.#closed) return
    if (flow.again.length === 0 && flow.waiting.length === 0) {
      this.#slots.delete(slot)
      return
    }
    const isPatient = flow.again.some(({ redirect, refusals }) => redirect === null || refusals > HASTY_REDIRECTS)
    flow.timer = setTimeout(
      () => {
        flow.timer = null
        for (const command of flow.take()) this.#push(flow, command)
        this.#goOn(slot, flow)
      },
      isPatient ? AGAIN_MS : 0,
    )
  }

  #to(node: Address): NodeLink {
    const address = addressOf(node)
    const known = this.#links.get(address)
    if (known !== undefined && known.pipeline.state !== 'closed') return known
    const link = new NodeLink({
      ...this.#cluster.node(node, this.#options),
      onState: (changed, error) => this.#stateOf(changed, error),
    })
    this.#links.set(address, link)
    return link
  }

  #stateOf(pipeline: Pipeline, error: string | null): void {
    if (this.#closed) return
    if (pipeline.state === 'up') {
      this.#owner.up()
      if (this.#begun && !this.#first.delete(pipeline)) this.#owner.renewed()
      return
    }
    this.#first.delete(pipeline)
    if (pipeline.state === 'down') {
      this.#cluster.ask()
      const all = [...this.#links.values()]
      if (all.every((link) => link.pipeline.state === 'down')) this.#owner.down(error ?? 'no node answers')
      return
    }
    if (pipeline.state !== 'closed' || ![...this.#links.values()].some((link) => link.pipeline === pipeline)) return
    if (this.#options.identity.user !== null && error !== null) this.#owner.refused(error)
    else if (this.#options.dedicated) queueMicrotask(() => this.#closed || this.#owner.ended(error ?? 'closed'))
  }
}

function addressOf({ host, port }: Address): string {
  return `${host}:${port}`
}

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
