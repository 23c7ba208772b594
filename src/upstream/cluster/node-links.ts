import { MINUS } from '../../resp/bytes.ts'
import type { InFlight, Loss, ReplyOwner } from '../in-flight.ts'
import { Pipeline } from '../pipeline.ts'
import type { PipelineOptions } from '../pipeline-options.ts'
import type { Cluster } from './cluster.ts'
import type { Place } from './reply-places.ts'
import { type ClusterNode, type Redirect, readRedirect } from './topology.ts'

type Address = Pick<ClusterNode, 'host' | 'port'>

export interface NodeLinksOwner {
  /** A node can be spoken to. */
  up(): void
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
 *   TRYAGAIN, CLUSTERDOWN  sent again every 50 ms, for as long as the store's `timeout`; then it is the answer
 *
 * What is sent again goes when nothing else of its slot is under way, in the order in which it was sent before; what comes for that slot meanwhile waits behind it. So commands of one slot
 * never overtake each other.
 */
export class NodeLinks {
  readonly #cluster: Cluster
  readonly #options: PipelineOptions
  readonly #owner: NodeLinksOwner
  readonly #pipelines = new Map<string, Pipeline>()
  readonly #slots = new Map<number, SlotFlow>()
  #relaying: Pipeline | null = null
  #closed = false

  constructor(cluster: Cluster, options: PipelineOptions, owner: NodeLinksOwner) {
    this.#cluster = cluster
    this.#options = options
    this.#owner = owner
  }

  get writableLength(): number {
    let sum = 0
    for (const pipeline of this.#pipelines.values()) sum += pipeline.writableLength
    return sum
  }

  /** Opens what is needed first; forgets nodes that are masters no more. */
  begin(): void {
    this.#closed = false
    const { masters } = this.#cluster.topology!
    const { dedicated, identity } = this.#options
    const current = new Set(masters.map(addressOf))
    for (const [address, pipeline] of this.#pipelines) {
      if (current.has(address) || !pipeline.quiet || pipeline === this.#relaying || dedicated) continue
      this.#pipelines.delete(address)
      pipeline.close('the node is no master of the cluster any more')
    }
    if (dedicated && identity.user === null) queueMicrotask(() => this.#closed || this.#owner.up())
    else for (const node of dedicated ? masters.slice(0, 1) : masters) this.#to(node).connect()
  }

  /** A command, or several (`replies`, of which the last counts), for the node of a slot. The bytes are copied. */
  send(slot: number, bytes: Buffer, replies: number, place: Place, part = 0): void {
    const command = new Sent(slot, bytes, replies, place, part, this.#options.clock.nowMs)
    let flow = this.#slots.get(slot)
    if (flow === undefined) this.#slots.set(slot, (flow = { underWay: 0, node: -1, again: [], waiting: [] }))
    const owner = this.#cluster.topology!.owners[slot]!
    if (flow.again.length > 0 || flow.waiting.length > 0 || (flow.underWay > 0 && flow.node !== owner)) {
      command.keep()
      flow.waiting.push(command)
    } else this.#push(flow, command)
  }

  /** For a node that does not matter. */
  sendAny(bytes: Buffer, replies: number, place: Place): void {
    const { masters } = this.#cluster.topology!
    const up = masters.find((node) => this.#pipelines.get(addressOf(node))?.state === 'up')
    this.sendTo(up ?? masters[0]!, bytes, replies, place, 0)
  }

  sendTo(node: Address, bytes: Buffer, replies: number, place: Place, part: number): void {
    const command = new Sent(-1, bytes, replies, place, part, this.#options.clock.nowMs)
    this.#pushTo(node, command, null)
  }

  /** What comes from now on is a subscriber's: one node's messages, as they come. */
  relay(bytes: Buffer, onMessage: (buf: Buffer, start: number, end: number) => void): void {
    let pipeline = this.#relaying
    if (pipeline === null) {
      pipeline = this.#to(this.#cluster.topology!.masters[0]!)
      pipeline.relay = true
      pipeline.onPush = onMessage
      this.#relaying = pipeline
    }
    pipeline.pushRelayed(bytes, 0, bytes.length)
  }

  pause(): void {
    for (const pipeline of this.#pipelines.values()) pipeline.pauseReading()
  }

  resume(): void {
    for (const pipeline of this.#pipelines.values()) pipeline.resumeReading()
  }

  tick(nowMs: number): void {
    for (const pipeline of this.#pipelines.values()) pipeline.tick(nowMs)
  }

  close(): void {
    this.#closed = true
    this.#relaying = null
    for (const flow of this.#slots.values()) if (flow.timer !== undefined) clearTimeout(flow.timer)
    this.#slots.clear()
    const pipelines = [...this.#pipelines.values()]
    this.#pipelines.clear()
    for (const pipeline of pipelines) pipeline.close('the connection to the cluster is closed')
  }

  #push(flow: SlotFlow, command: Sent): void {
    const { masters, owners } = this.#cluster.topology!
    const owner = owners[command.slot]!
    const to = command.redirect ?? masters[owner]
    if (to === undefined) {
      const frame = Buffer.from('-CLUSTERDOWN Hash slot not served\r\n')
      this.#cluster.ask()
      if (!this.#again(flow, command, null)) command.place.settle(command.part, frame, 0, frame.length)
      return
    }
    flow.node = owner
    this.#pushTo(to, command, flow)
  }

  #pushTo(node: Address, command: Sent, flow: SlotFlow | null): void {
    const pipeline = this.#to(node)
    const { bytes } = command
    const asking = command.redirect?.kind === 'ASK'
    const whole = asking ? Buffer.concat([ASKING, bytes]) : bytes
    let owed = command.replies + (asking ? 1 : 0)
    let refusal: string | null = null
    if (flow !== null) flow.underWay++
    const ended = (): void => {
      if (flow === null) return
      flow.underWay--
      this.#goOn(command.slot, flow)
    }
    const owner: ReplyOwner = {
      settle: (slot: InFlight, buf: Buffer, start: number, end: number) => {
        owed--
        if (buf[start] === MINUS && flow !== null && RETRIED.test(buf.toString('latin1', start, start + 14))) {
          refusal ??= buf.toString('latin1', start, end)
        }
        if (owed > 0) return
        if (refusal !== null && flow !== null) {
          command.bytes = Buffer.from(slot.chunk!.buf.subarray(slot.start + (asking ? ASKING.length : 0), slot.end))
          const redirect = readRedirect(refusal, node.host)
          this.#cluster.ask()
          if (this.#again(flow, command, redirect)) return ended()
        }
        command.place.settle(command.part, buf, start, end)
        ended()
      },
      lost: (_slot: InFlight, loss: Loss) => {
        if (this.#closed) return
        command.place.lost(loss)
        ended()
      },
      timedOut: () => {},
    }
    const slot = pipeline.push(owner, whole, 0, whole.length)
    slot.replies = owed
  }

  /** False: it has been tried often enough, or must not be. */
  #again(flow: SlotFlow, command: Sent, redirect: Redirect | null): boolean {
    const { nowMs } = this.#options.clock
    if (command.attempts++ > MOST_REDIRECTS) return false
    if (redirect === null && nowMs - command.sinceMs > (this.#options.store.timeoutMs || PATIENCE_MS)) return false
    if (redirect === null) command.attempts = 0
    command.keep()
    command.redirect = redirect
    flow.again.push(command)
    this.#goOn(command.slot, flow)
    return true
  }

  /** When nothing of the slot is under way any more, what is to be sent again leaves, and what waited behind it. */
  #goOn(slot: number, flow: SlotFlow): void {
    if (flow.underWay > 0 || flow.timer !== undefined || this.#closed) return
    if (flow.again.length === 0 && flow.waiting.length === 0) {
      this.#slots.delete(slot)
      return
    }
    const delayMs = flow.again.some(({ redirect }) => redirect === null) ? AGAIN_MS : 0
    flow.timer = setTimeout(() => {
      delete flow.timer
      const commands = [...flow.again.splice(0), ...flow.waiting.splice(0)]
      const moved = commands.find(({ redirect }) => redirect?.kind === 'MOVED')?.redirect ?? null
      for (const command of commands) {
        // The others of the slot go where the first one was sent, until the topology says so, too.
        if (command.redirect === null && moved !== null) command.redirect = moved
        this.#push(flow, command)
      }
    }, delayMs)
  }

  #to(node: Address): Pipeline {
    const address = addressOf(node)
    const known = this.#pipelines.get(address)
    if (known !== undefined && known.state !== 'closed') return known
    const pipeline = new Pipeline({
      ...this.#cluster.node(node, this.#options),
      onState: (changed, error) => this.#stateOf(changed, error),
    })
    this.#pipelines.set(address, pipeline)
    return pipeline
  }

  #stateOf(pipeline: Pipeline, error: string | null): void {
    if (this.#closed) return
    if (pipeline.state === 'up') return this.#owner.up()
    if (pipeline.state === 'down') {
      this.#cluster.ask()
      const all = [...this.#pipelines.values()]
      if (all.every(({ state }) => state === 'down')) this.#owner.down(error ?? 'no node answers')
      return
    }
    if (pipeline.state !== 'closed' || ![...this.#pipelines.values()].includes(pipeline)) return
    if (this.#options.identity.user !== null && error !== null) this.#owner.refused(error)
    else if (this.#options.dedicated) queueMicrotask(() => this.#closed || this.#owner.ended(error ?? 'closed'))
  }
}

/** What is under way, and what waits, for one slot. */
interface SlotFlow {
  underWay: number
  /** Place of the master that what is under way went to. */
  node: number
  readonly again: Sent[]
  readonly waiting: Sent[]
  timer?: NodeJS.Timeout
}

class Sent {
  attempts = 0
  redirect: Redirect | null = null
  #kept = false
  readonly slot: number
  bytes: Buffer
  readonly replies: number
  readonly place: Place
  readonly part: number
  readonly sinceMs: number

  constructor(slot: number, bytes: Buffer, replies: number, place: Place, part: number, sinceMs: number) {
    this.slot = slot
    this.bytes = bytes
    this.replies = replies
    this.place = place
    this.part = part
    this.sinceMs = sinceMs
  }

  /** It outlives the bytes that it was made of. */
  keep(): void {
    if (!this.#kept) this.bytes = Buffer.from(this.bytes)
    this.#kept = true
  }
}

function addressOf({ host, port }: Address): string {
  return `${host}:${port}`
}

const ASKING = Buffer.from('*1\r\n$6\r\nASKING\r\n')
const RETRIED = /^-(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /
const MOST_REDIRECTS = 16
const AGAIN_MS = 50
const PATIENCE_MS = 5_000
