import { ByteAccumulator } from '../../base/byte-accumulator.ts'
import { hashBytes } from '../../base/hash.ts'
import { findKeys, KeyPositions } from '../../command/keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { mergeOf } from '../../command/split-commands.ts'
import { COMPLETE, CommandParser, NEED_MORE } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand, FRAME } from '../../resp/encode.ts'
import type {
  Outlet,
  PipelineConnection,
  PipelineConnectionOwner,
  Unblocking,
} from '../pipeline/pipeline-connection.ts'
import type { PipelineOptions } from '../pipeline/pipeline-options.ts'
import type { Cluster } from './cluster.ts'
import { identityIn, tellReached } from './cluster-identity.ts'
import { clusterInfo } from './cluster-info.ts'
import { clusterScan } from './cluster-scan.ts'
import { ClusterSender } from './cluster-sender.ts'
import { ClusterTransaction } from './cluster-transaction.ts'
import { clusterUnblock, unblockingAt } from './cluster-unblock.ts'
import { concernsOneServer, wayOf } from './keyless.ts'
import { commonOf, everyOf, listOf, type Merging, mergeParts, orError, someOf, sumOf } from './merge.ts'
import { NodeLinks } from './node-links.ts'
import { type Place, ReplyPlaces } from './reply-places.ts'
import type { Footprint } from './slot-flow.ts'
import { slotOf } from './topology.ts'

const NO_SELECT = 'ERR SELECT is not allowed in cluster mode'
const CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"

/**
 * What a pipeline to a cluster writes to, instead of a socket: one server to the pipeline, several nodes behind it.
 *
 *   pipeline ══ bytes ══▶ parse ─▶ slot of the keys ─┬─▶ ClusterSender ─▶ node 1 (`NodeLinks`)
 *      ▲                                             ├─▶ split by slot, or to all ─▶ nodes, merged
 *      │                                             └─▶ refused here: CROSSSLOT, or what concerns one server
 *      └═════ replies, in the order of the commands ══ ReplyPlaces ◀─┘
 *
 * Failure: what a node did not answer is lost by itself (`lostHead`), as a single store's command is; the rest of the cluster goes on.
 */
export class ClusterConnection implements PipelineConnection {
  readonly cluster: Cluster
  readonly options: PipelineOptions
  readonly #owner: PipelineConnectionOwner
  socket: Outlet | null = null
  lastReadMs = 0
  readonly #places: ReplyPlaces
  readonly #links: NodeLinks
  readonly #sender: ClusterSender
  readonly #transaction: ClusterTransaction
  readonly #partial = new ByteAccumulator()
  #parser = new CommandParser()
  readonly #keys = new KeyPositions()
  #unwatch: (() => void) | null = null
  #retry: NodeJS.Timeout | null = null
  #attempts = 0

  constructor(cluster: Cluster, options: PipelineOptions, owner: PipelineConnectionOwner) {
    this.cluster = cluster
    this.options = options
    this.#owner = owner
    this.#places = new ReplyPlaces(owner, options.clock)
    this.#links = new NodeLinks(cluster, options, {
      up: () => this.#ready(),
      parted: () => owner.parted(),
      renewed: () => {
        if (this.socket !== null) owner.renewed()
      },
      down: (reason) => {
        if (this.socket === null) owner.failed(reason)
      },
      refused: (text) => owner.refused(text),
      ended: (reason) => owner.failed(reason),
    })
    this.#sender = new ClusterSender(cluster, options, this.#links)
    this.#transaction = new ClusterTransaction(this.#sender, this.#places)
  }

  open(): void {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
    if (this.options.identity.database !== 0) return this.#owner.refused(NO_SELECT)
    this.#unwatch ??= this.cluster.watch(() => this.#known())
    if (this.cluster.topology !== null) this.#links.begin()
  }

  openLater(open: () => void): void {
    this.#retry = setTimeout(open, Math.min(2_000, 50 * 2 ** this.#attempts++))
  }

  /** Nobody greets here: the nodes' own connections do. */
  greeted(): void {}

  proven(): boolean {
    return false
  }

  drop(unsent: 'delivered' | 'discarded'): void {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#unwatch?.()
    this.#unwatch = null
    this.#retry = null
    this.socket = null
    this.#places.clear()
    this.#partial.clear()
    this.#transaction.reset()
    this.#sender.reset()
    this.#links.close(unsent)
  }

  tick(nowMs: number, answersWithinMs = 0): void {
    // Each node's connection finds out by itself when it hangs.
    this.lastReadMs = nowMs
    this.#links.tick(nowMs, answersWithinMs)
    this.#places.tick()
  }

  unblocking(): Unblocking {
    return this.socket === null ? 'impossible' : unblockingAt(this.#places.debtor)
  }

  #known(): void {
    if (this.cluster.topology === null) {
      if (this.socket === null) this.#owner.failed(this.cluster.error)
    } else this.#links.begin()
  }

  #ready(): void {
    if (this.socket !== null) return
    this.#attempts = 0
    const links = this.#links
    this.socket = {
      get writableLength() {
        return links.writableLength
      },
      write: (bytes) => this.#take(bytes),
      cork: () => {},
      uncork: () => {},
      pause: () => links.pause(),
      resume: () => links.resume(),
    }
    this.#owner.ready(0)
  }

  endWrite(): void {
    this.#places.endWrite()
  }

  #take(bytes: Buffer): void {
    this.#places.beginWrite()
    const partial = this.#partial
    if (partial.length === 0) {
      const rest = this.#commands(bytes, bytes.length)
      partial.append(bytes, rest, bytes.length)
      return
    }
    partial.append(bytes, 0, bytes.length)
    partial.consume(this.#commands(partial.buf, partial.length))
  }

  /** Handles every whole command in `buf[0 .. to)`; gives where the rest begins. */
  #commands(buf: Buffer, to: number): number {
    const parser = this.#parser
    let at = 0
    while (at < to && this.socket !== null) {
      const status = parser.parse(buf, at, to)
      if (status === NEED_MORE) {
        this.#parser = new CommandParser()
        return at
      }
      at = parser.next
      if (status !== COMPLETE) {
        this.#parser = new CommandParser()
        this.#places.refuse('ERR Protocol error')
        return to
      }
      if (parser.argc > 0) this.#command(parser)
    }
    return to
  }

  #command(view: CommandView): void {
    const spec = this.cluster.options.commands().lookup(view)
    if (spec === undefined) {
      const name = view.buf.toString('latin1', view.start[0], view.end[0])
      if (/^asking$/i.test(name)) return this.#places.refuse('ERR This instance has cluster support disabled')
    }
    const keys = this.#keys
    if (spec === undefined) keys.reset()
    else if (spec.name === 'SPUBLISH' && view.argc === 3) {
      keys.reset()
      keys.add(1)
    } else findKeys(spec, view, keys)
    const slot = this.#slotOfAll(view)
    if (this.#transaction.takes(spec, view, slot)) return
    if (slot >= 0) this.#sender.send(slot, this.#footprint(spec!, view), frameOf(view), 1, this.#places.add())
    else if (slot === SEVERAL) this.#split(spec!, view)
    else this.#keyless(spec, view)
  }

  /** `SEVERAL`, or `NONE`. */
  #slotOfAll(view: CommandView): number {
    const { count, index } = this.#keys
    if (count === 0) return NONE
    const slot = slotOf(view, index[0]!)
    for (let i = 1; i < count; i++) if (slotOf(view, index[i]!) !== slot) return SEVERAL
    return slot
  }

  #footprint(spec: CommandSpec, view: CommandView): Footprint {
    const { count, index } = this.#keys
    const arg = index[0]!
    const keyHash = count === 1 ? hashBytes(view.buf, view.start[arg]!, view.end[arg]!) : 0
    return { keyHash, writes: !spec.readonly }
  }

  /** What is said of each key by itself is sent slot by slot, as the client of a cluster would do it. */
  #split(spec: CommandSpec, view: CommandView): void {
    const merge = mergeOf(spec.name)
    const step = merge === 'ok' ? 2 : 1
    if (merge === null || (view.argc - 1) % step !== 0) return this.#places.refuse(CROSSSLOT)
    const parts = new Map<number, { args: (string | Buffer)[]; places: number[]; keyHash: number }>()
    for (let i = 1; i < view.argc; i += step) {
      const slot = slotOf(view, i)
      let part = parts.get(slot)
      if (part === undefined) {
        const keyHash = hashBytes(view.buf, view.start[i]!, view.end[i]!)
        parts.set(slot, (part = { args: [spec.name], places: [], keyHash }))
      } else part.keyHash = 0
      part.places.push((i - 1) / step)
      for (let arg = i; arg < i + step; arg++) part.args.push(view.buf.subarray(view.start[arg], view.end[arg]))
    }
    const places = [...parts.values()].map((part) => part.places)
    const place = this.#places.addWhole(parts.size, orError(mergeParts(merge, places)), !spec.readonly)
    let number = 0
    const writes = !spec.readonly
    for (const [slot, { args, keyHash }] of parts)
      this.#sender.send(slot, { keyHash, writes }, encodeCommand(args), 1, place, number++)
  }

  #keyless(spec: CommandSpec | undefined, view: CommandView): void {
    const way = wayOf(spec, view)
    if (spec?.name === 'SELECT') {
      const isZero = view.argc === 2 && view.buf.toString('latin1', view.start[1], view.end[1]) === '0'
      return isZero ? this.#places.answer(FRAME.OK) : this.#places.refuse(NO_SELECT)
    }
    const becomes = this.options.dedicated && (spec?.name === 'AUTH' || spec?.name === 'HELLO') ? spec.name : null
    if (becomes !== null) this.#links.become(identityIn(becomes, view))
    // On a connection that is a subscriber's alone: one node says it all, and whoever asks finds the answers by their order.
    const isRelayed = this.#links.relays && (spec?.name === 'PING' || becomes !== null)
    if (isRelayed || spec?.handling === 'subscribe') return this.#relay(view)
    if (becomes !== null) return tellReached(this.#links, this.#sender, this.#places, view)
    switch (way) {
      case 'any':
        return this.#sender.sendAny(frameOf(view), 1, this.#places.add())
      case 'speaker':
        return this.#sender.sendMessages(frameOf(view), 1, this.#places.add())
      case 'ok':
        return this.#toAll(frameOf(view), (frames) => frames[0]!, spec?.write === true)
      case 'sum':
        return this.#toAll(frameOf(view), sumOf)
      case 'list':
        return this.#toAll(frameOf(view), listOf)
      case 'some':
        return this.#toAll(frameOf(view), someOf)
      case 'every':
        return this.#toAll(frameOf(view), everyOf)
      case 'common':
        return this.#toAll(frameOf(view), commonOf)
      case 'info':
        return clusterInfo(this.cluster, this.#sender, this.#places, frameOf(view), this.#links.identity)
      case 'scan':
        return clusterScan(this.cluster, this.#sender, this.#places, view)
      case 'node':
        if (view.argc === 5) return clusterUnblock(this.#sender, this.#places, view)
        return this.#sender.sendAny(frameOf(view), 1, this.#places.add())
    }
    this.#places.refuse(concernsOneServer(spec!.name, this.options.store.name))
  }

  /** `changes`: refused by one of them, it may have been executed by others. */
  #toAll(bytes: Buffer, merge: Merging, changes = false): void {
    const { masters } = this.cluster.topology!
    const place: Place = this.#places.addWhole(masters.length, orError(merge), changes)
    for (const [i, node] of masters.entries()) this.#sender.sendTo(node, bytes, 1, place, i)
  }

  #relay(view: CommandView): void {
    this.#links.relay(frameOf(view), (buf, start, end) => this.#places.pass(buf, start, end))
  }
}

function frameOf(view: CommandView): Buffer {
  return view.buf.subarray(view.frameStart, view.frameEnd)
}

const NONE = -1
const SEVERAL = -2
