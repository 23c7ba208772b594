import { slotOfKey } from '../../command/key-slot.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Reply } from '../../resp/reply.ts'

const SLOTS = 16_384

/** One master as `CLUSTER SLOTS` names it. */
export interface ClusterNode {
  readonly id: string
  readonly host: string
  readonly port: number
}

export type NodeAddress = Pick<ClusterNode, 'host' | 'port'>

export function addressOf({ host, port }: NodeAddress): string {
  return `${host}:${port}`
}

/** `undefined`: no node. */
export function isSameNode(one: NodeAddress | undefined, other: NodeAddress | undefined): boolean {
  return one === other || (one?.host === other?.host && one?.port === other?.port)
}

/** Who serves which slot: one answer of the cluster, never changed. */
export interface Topology {
  /** The masters that serve slots, in the order of their first slots. */
  readonly masters: readonly ClusterNode[]
  /** Their replicas: who can be asked when no master answers. */
  readonly replicas: readonly ClusterNode[]
  /** Place in `masters` by slot; -1: nobody serves it. */
  readonly owners: Int16Array
}

/** The slot of argument `index`, by its hash tag where it has one (redis.io, "Cluster specification"). */
export function slotOf(view: CommandView, index: number): number {
  return slotOfKey(view.buf.subarray(view.start[index]!, view.end[index]!))
}

/**
 * Reads the answer to `CLUSTER SLOTS`: `[first, last, [host, port, id, ...], replicas ...]` for each range. A host that is null or empty is the one that was asked, as the documentation of
 * that command says. Null: that is no such answer.
 */
export function readTopology(reply: Reply, askedHost: string): Topology | null {
  if (!Array.isArray(reply)) return null
  const masters: ClusterNode[] = []
  const replicas: ClusterNode[] = []
  const owners = new Int16Array(SLOTS).fill(-1)
  const ranges = [...reply].sort((one, other) => firstOf(one) - firstOf(other))
  for (const range of ranges) {
    if (!Array.isArray(range) || !Array.isArray(range[2])) return null
    const [first, last] = [Number(range[0]), Number(range[1])]
    if (!(first >= 0 && last < SLOTS && first <= last)) return null
    const [node, ...others] = range.slice(2).map((entry) => readNode(entry, askedHost)) as [
      ClusterNode,
      ...ClusterNode[],
    ]
    for (const other of others) if (!replicas.some(({ id }) => id === other.id)) replicas.push(other)
    let at = masters.findIndex((other) => other.id === node.id)
    if (at === -1) at = masters.push(node) - 1
    owners.fill(at, first, last + 1)
  }
  return { masters, replicas, owners }
}

/** `[host, port, id, [metadata ...]]`, the last two since Redis 4 and 7. */
function readNode(entry: Reply, askedHost: string): ClusterNode {
  const [host, port, id] = Array.isArray(entry) ? (entry as readonly Reply[]) : []
  const name = Buffer.isBuffer(host) && host.length > 0 && host.toString() !== '?' ? host.toString() : askedHost
  return { id: String(id ?? `${name}:${port}`), host: name, port: Number(port) }
}

function firstOf(range: Reply): number {
  return Array.isArray(range) ? Number(range[0]) : 0
}

/** Where a `MOVED` or `ASK` error points: its slot and node. Null: it is neither. */
export function readRedirect(text: string, askedHost: string): Redirect | null {
  const match = /^-(MOVED|ASK) (\d+) (\S*):(\d+)/.exec(text)
  if (match === null) return null
  const host = match[3]! === '' || match[3] === '?' ? askedHost : match[3]!
  return { kind: match[1] as Redirect['kind'], slot: Number(match[2]), host, port: Number(match[4]) }
}

export interface Redirect {
  readonly kind: 'MOVED' | 'ASK'
  readonly slot: number
  readonly host: string
  readonly port: number
}
