import { append } from '../../base/append.ts'
import type { Reply } from '../../resp/reply.ts'
import type { StoreConnections } from '../stores/store-connection.ts'
import { StoreLost } from '../stores/store-lost.ts'
import { checked, runIdOf } from './scan-page.ts'

/** What keys a master of a cluster may hold, as it says itself: plain JSON, part of checkpoints. */
export interface NodeState {
  readonly host: string
  readonly port: number
  /** Its process: a cursor means nothing to another one. */
  readonly run: string
  /** Grows with every slot that was brought here, and with a failover to it. */
  readonly epoch: string
  /** `0-5460 9000`: slots that it serves. */
  readonly slots: string
  /** Slots that are being brought here: some of their keys have come already. */
  readonly arriving: string
}

export type NodeStates = Readonly<Record<string, NodeState>>

const SLOTS = 16_384

/**
 * Asks every master of a cluster, by its id: also those that serve no slot yet. Rejects with StoreLost while one does not answer, or a slot is nobody's: what is there cannot be listed then.
 */
export async function nodeStates(connections: StoreConnections, store: string): Promise<NodeStates> {
  const states: Record<string, NodeState> = {}
  const left = [...(await connections.mastersOf(store))]
  for (let node = left.shift(); node !== undefined; node = left.shift()) {
    if (states[node.id] !== undefined) continue
    const connection = connections.toNode(store, node)
    const lines = nodeLines(checked(store, await connection.ask(['CLUSTER', 'NODES'])))
    const own = lines.find(({ flags }) => flags.includes('myself'))
    if (own?.id !== node.id || !own.flags.includes('master'))
      throw new StoreLost(store, `${node.host}:${node.port} is no master of the cluster any more`)
    const { host, port } = node
    const run = await runIdOf(connection, store)
    states[node.id] = { host, port, run, epoch: own.epoch, slots: own.slots, arriving: own.arriving }
    append(
      left,
      lines.filter(isMaster).filter(({ id }) => !left.some((other) => other.id === id)),
    )
  }
  const served = new Set(Object.values(states).flatMap(({ slots }) => slotsIn(slots)))
  if (served.size < SLOTS) throw new StoreLost(store, `${SLOTS - served.size} slots of the cluster are nobody's`)
  return states
}

/**
 * Masters that may hold keys which a listing has passed over: one that has come, was started again, or was given slots since `before`. `isSteady`: the listing before that one found nothing of the kind, so what has
 * come to a slot that is on its way since has been seen where it was.
 */
export function mayHoldUnseen(before: NodeStates, now: NodeStates, isSteady: boolean): string[] {
  return Object.keys(now).filter((id) => {
    const [then, state] = [before[id], now[id]!]
    if (then === undefined || hasGained(then, state)) return true
    return !isSteady && (then.arriving !== '' || state.arriving !== '')
  })
}

/** Whether nobody has other slots, or another process, than before. */
export function areSame(before: NodeStates, now: NodeStates): boolean {
  return JSON.stringify(ordered(before)) === JSON.stringify(ordered(now))
}

function hasGained(then: NodeState, now: NodeState): boolean {
  if (then.run !== now.run || then.epoch !== now.epoch) return true
  const had = new Set(slotsIn(then.slots))
  return slotsIn(now.slots).some((slot) => !had.has(slot))
}

function ordered(states: NodeStates): [string, NodeState][] {
  return Object.entries(states).sort(([one], [other]) => (one < other ? -1 : 1))
}

function slotsIn(ranges: string): number[] {
  return ranges.split(' ').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return range === '' ? [] : Array.from({ length: last! - first! + 1 }, (_, i) => first! + i)
  })
}

interface NodeLine {
  readonly id: string
  readonly host: string
  readonly port: number
  readonly flags: readonly string[]
  readonly epoch: string
  readonly slots: string
  readonly arriving: string
}

/** `id host:port@busPort,name flags master ping pong epoch link slot first-last [slot-<-exporter] [slot->-importer] ...`, as Redis documents CLUSTER NODES; what is on its way only of the node that was asked. */
function nodeLines(reply: Reply): NodeLine[] {
  const text = Buffer.isBuffer(reply) ? reply.toString('latin1') : ''
  return text.split('\n').flatMap((line) => {
    const [id, address, flags = '', , , , epoch = '', , ...slots] = line.split(' ')
    const match = /^(.*):(\d+)(@|$)/.exec(address?.split(',', 1)[0] ?? '')
    if (id === undefined || match === null) return []
    return [
      {
        id,
        host: match[1]!,
        port: Number(match[2]),
        flags: flags.split(','),
        epoch,
        slots: slots.filter((slot) => !slot.startsWith('[')).join(' '),
        arriving: slots.filter((slot) => slot.includes('-<-')).join(' '),
      },
    ]
  })
}

/** One that others can reach, as far as they know. */
function isMaster({ flags, host }: NodeLine): boolean {
  return flags.includes('master') && host !== '' && !flags.some((flag) => /^(fail|noaddr|handshake)$/.test(flag))
}
