import { isInStoresWords } from '../connection/connect-error.ts'
import type { Identity } from '../connection/handshake.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import type { PipelineOptions } from '../pipeline/pipeline-options.ts'
import type { Cluster } from './cluster.ts'
import { NodeLink } from './node-link.ts'
import { LAG_MS } from './slot-flow.ts'
import { addressOf, isSameNode, type NodeAddress, type Topology } from './topology.ts'

export interface NodeLinksOwner {
  /** A node can be spoken to. */
  up(): void
  /** One cannot be spoken to at the moment. */
  parted(): void
  /** As `up`, of one that could not be, or was not known, when the others could already; or the cluster has other masters than it had. */
  renewed(): void
  /** No node can. */
  down(reason: string): void
  /** A node's own words: it will never serve this identity. */
  refused(text: string): void
  /** A dedicated connection has lost a node, and with it what it stood for there. */
  ended(reason: string): void
}

/**
 * One pipeline's connections to the nodes of a cluster: opened when they are needed, closed when the topology does not name the node any more; and what their states together say of the cluster.
 * What goes down them is `ClusterSender`'s, but for a subscriber's bytes.
 */
export class NodeLinks {
  readonly #cluster: Cluster
  readonly #options: PipelineOptions
  readonly #owner: NodeLinksOwner
  /** As whom a node is greeted. */
  #identity: Identity
  /** By address. */
  readonly #links = new Map<string, NodeLink>()
  #relaying: Pipeline | null = null
  /** What a subscriber has said to a node that cannot be spoken to yet. */
  #unsaid: Buffer[] = []
  /** Of a dedicated connection: where it is first asked whether the client may log in. */
  #login: Pipeline | null = null
  #speaker: NodeAddress | null = null
  /** That one is a master as of this topology. */
  #speakerIn: Topology | null = null
  #begun = false
  /** Ids of the masters, as they were last told. */
  #masters = ''
  #closed = false

  constructor(cluster: Cluster, options: PipelineOptions, owner: NodeLinksOwner) {
    this.#cluster = cluster
    this.#options = options
    this.#owner = owner
    this.#identity = options.identity
  }

  /** What its connections lose is nobody's loss any more. */
  get closed(): boolean {
    return this.#closed
  }

  get identity(): Identity {
    return this.#identity
  }

  /** Of a dedicated connection: holds for the nodes that it reaches from now on. */
  become(changed: Partial<Identity>): void {
    this.#identity = { ...this.#identity, ...changed }
  }

  /** The nodes that there is a connection to, or is being opened. */
  get reached(): NodeAddress[] {
    return [...this.#links.values()].flatMap(({ node, pipeline }) => (pipeline.state === 'closed' ? [] : [node]))
  }

  get writableLength(): number {
    let sum = 0
    for (const { pipeline } of this.#links.values()) sum += pipeline.writableLength
    return sum
  }

  /** Opens what is needed first; called again when the topology is told again. */
  begin(): void {
    this.#closed = false
    const { masters } = this.#cluster.topology!
    const { dedicated, identity } = this.#options
    if (dedicated && identity.user === null) queueMicrotask(() => this.#closed || this.#owner.up())
    else {
      if (!dedicated) for (const node of masters) this.#open(node)
      else if (this.#login === null || this.#login.state === 'closed') this.#login = this.#open(this.any())
      // The connection to a new one may have been there before: a redirection led to it.
      const ids = masters.map(({ id }) => id).sort()
      const isOther = ids.join(' ') !== this.#masters
      this.#masters = ids.join(' ')
      if (this.#begun && isOther) this.#owner.renewed()
      this.#begun = true
    }
  }

  #open(node: NodeAddress): Pipeline {
    const { pipeline } = this.to(node)
    pipeline.connect()
    return pipeline
  }

  /** The connection to that node, which is opened if there is none. */
  to(node: NodeAddress): NodeLink {
    const address = addressOf(node)
    const known = this.#links.get(address)
    if (known !== undefined && known.pipeline.state !== 'closed') return known
    const options: PipelineOptions = {
      ...this.#cluster.node(node, { ...this.#options, identity: this.#identity }),
      onState: (changed, error) => this.#stateOf(node, changed, error),
    }
    const isKnown = this.#cluster.topology!.masters.some((master) => isSameNode(master, node))
    const link = new NodeLink(node, options, isKnown)
    this.#links.set(address, link)
    return link
  }

  /** A node that answers, if there is one; or else the one of which the most is to be hoped. */
  any(): NodeAddress {
    const { masters } = this.#cluster.topology!
    let best = masters[0]!
    let leastMs = Number.POSITIVE_INFINITY
    for (const node of masters) {
      const doubtMs = this.#doubtMs(addressOf(node))
      if (doubtMs === 0) return node
      if (doubtMs >= leastMs) continue
      best = node
      leastMs = doubtMs
    }
    return best
  }

  /** What speaks against a node: for how long it has owed an answer, or what is as bad. */
  #doubtMs(address: string): number {
    const pipeline = this.#links.get(address)?.pipeline
    if (pipeline?.state === 'closed') return Number.POSITIVE_INFINITY
    const { standings } = this.#cluster
    if (pipeline?.state !== 'up') return standings.doubtMs(address, this.#options.clock.nowMs)
    const ageMs = pipeline.oldestAgeMs()
    if (ageMs > LAG_MS) return ageMs
    // It may hang, and nothing was asked of it here since.
    return standings.isUnreached(address) ? LAG_MS : 0
  }

  /**
   * The node that is to publish: the one that did last, also where it takes its time, unless it is down, owes an answer for longer than anybody waits, or is no master any more. What that one was given may still be published there, so all of
   * it has to be answered, lost, or told as not answered in time before another one is given something.
   */
  speaker(): NodeAddress {
    const last = this.#speaker
    const topology = this.#cluster.topology!
    const isLeft = last === null || this.#isLeft(this.#links.get(addressOf(last))?.pipeline)
    if (!isLeft && this.#speakerIn === topology) return last
    this.#speakerIn = topology
    if (!isLeft && topology.masters.some((node) => isSameNode(node, last))) return last
    this.#speaker = this.any()
    return this.#speaker
  }

  /** Another one had better publish. On a connection of one client's own nobody is told that something was not answered in time, and what comes behind it waits. */
  #isLeft(pipeline: Pipeline | undefined): boolean {
    const { dedicated, store } = this.#options
    if (pipeline === undefined) return false
    if (pipeline.state === 'down' || pipeline.state === 'closed') return true
    return !dedicated && store.timeoutMs > 0 && pipeline.oldestAgeMs() >= store.timeoutMs
  }

  /** A subscriber's bytes go down one of them. */
  get relays(): boolean {
    return this.#relaying !== null
  }

  /** What comes from now on is a subscriber's: one node's messages, as they come. */
  relay(bytes: Buffer, onMessage: (buf: Buffer, start: number, end: number) => void): void {
    const pipeline = (this.#relaying ??= this.#relayingBy(this.any(), onMessage))
    if (pipeline.generation === 0) this.#unsaid.push(Buffer.from(bytes))
    pipeline.pushRelayed(bytes, 0, bytes.length)
  }

  #relayingBy(node: NodeAddress, onMessage: Pipeline['onPush']): Pipeline {
    const { pipeline } = this.to(node)
    pipeline.relay = true
    pipeline.onPush = onMessage
    return pipeline
  }

  pause(): void {
    for (const { pipeline } of this.#links.values()) pipeline.pauseReading()
  }

  resume(): void {
    for (const { pipeline } of this.#links.values()) pipeline.resumeReading()
  }

  /** `answersWithinMs`: as `Pipeline.answersWithinMs`, of dedicated ones. */
  tick(nowMs: number, answersWithinMs = 0): void {
    const { topology } = this.#cluster
    for (const [address, link] of this.#links) {
      const { pipeline } = link
      pipeline.answersWithinMs = answersWithinMs
      pipeline.tick(nowMs)
      if (!this.#options.dedicated && link.lags()) this.#cluster.standings.lags(link.node, nowMs)
      if (topology === null) continue
      const isRelaying = pipeline === this.#relaying
      const isNamed = (node: NodeAddress): boolean => addressOf(node) === address
      // A replica gets every message, too.
      const isKnown = topology.masters.some(isNamed) || (isRelaying && topology.replicas.some(isNamed))
      if (!link.isOver(isKnown, isRelaying, nowMs)) continue
      if (!isRelaying && (pipeline.quiet || !this.#options.dedicated)) this.#links.delete(address)
      pipeline.close(isRelaying ? 'the node has left the cluster' : 'the node is no master of the cluster any more')
    }
  }

  /** `unsent`: as for `Pipeline.close`. */
  close(unsent: 'delivered' | 'discarded'): void {
    this.#closed = true
    this.#begun = false
    this.#relaying = null
    this.#unsaid = []
    this.#login = null
    const links = [...this.#links.values()]
    this.#links.clear()
    for (const { pipeline } of links) pipeline.close('the connection to the cluster is closed', unsent)
  }

  #stateOf(node: NodeAddress, pipeline: Pipeline, error: string | null): void {
    if (this.#closed) return
    const { standings } = this.#cluster
    if (pipeline.state === 'up') {
      standings.reached(node)
      if (pipeline === this.#relaying) this.#unsaid = []
      this.#owner.up()
      if (this.#begun) this.#owner.renewed()
      return
    }
    if (pipeline.state === 'down') {
      standings.unreached(node)
      this.#owner.parted()
      this.#cluster.ask()
      if (this.#areAllDown()) this.#owner.down(error ?? 'no node answers')
      return
    }
    if (pipeline.state !== 'closed' || this.#links.get(addressOf(node))?.pipeline !== pipeline) return
    if (this.#identity.user !== null && isInStoresWords(error)) {
      // Others may know the user. What is asked here is answered in these words, and the next command for this node tries again.
      const goesOn = this.#options.dedicated ? this.#goesOnWithout(pipeline) : !this.#isRefusedByAll()
      if (!goesOn) this.#owner.refused(error)
    } else if (this.#options.dedicated) this.#lost(node, pipeline, error)
  }

  #areAllDown(): boolean {
    return [...this.#links.values()].every(({ pipeline: { state } }) => state === 'down' || state === 'closed')
  }

  /** No node lets the user in, or is about to say whether it does: one that could not be reached lately is not waited for. */
  #isRefusedByAll(): boolean {
    for (const [address, { pipeline }] of this.#links) {
      const { state } = pipeline
      if (state === 'down' || state === 'closed') continue
      if (state === 'up' || !this.#cluster.standings.isUnreached(address)) return false
    }
    return true
  }

  /** A dedicated connection has lost one to a node, or has not got it. */
  #lost(node: NodeAddress, pipeline: Pipeline, error: string | null): void {
    if (pipeline.generation === 0 && !isInStoresWords(error)) {
      this.#cluster.standings.unreached(node)
      // Nothing stood for it there yet, and what it was given is told as lost by itself.
      if (this.#goesOnWithout(pipeline)) return
    }
    queueMicrotask(() => this.#closed || this.#owner.ended(error ?? 'closed'))
  }

  /** Where a dedicated connection that has not reached a node can go instead; null: each has been tried. */
  another(): NodeAddress | null {
    const node = this.any()
    return this.#options.dedicated && this.#links.get(addressOf(node))?.pipeline.state !== 'closed' ? node : null
  }

  /** Where any node will do, for the log-in and for a subscriber, another one takes its place; what only that node can be asked is told by itself. False: each node has been tried. */
  #goesOnWithout(pipeline: Pipeline): boolean {
    if (pipeline !== this.#relaying && pipeline !== this.#login) return true
    const node = this.another()
    if (node === null) return false
    if (pipeline === this.#relaying) {
      this.#relaying = this.#relayingBy(node, pipeline.onPush)
      for (const bytes of this.#unsaid) this.#relaying.pushRelayed(bytes, 0, bytes.length)
    } else this.#login = this.#open(node)
    return true
  }
}
