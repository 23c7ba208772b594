import { UnderstudyError } from '../../base/errors.ts'
import { serverMark } from '../../base/server-mark.ts'
import type { Config } from '../../config/config.ts'
import type { StoreConnection, StoreConnections } from '../stores/store-connection.ts'
import { StoreLost } from '../stores/store-lost.ts'
import { checked } from './scan-page.ts'

/**
 * A job that compares the ends of a route, or copies from one to the other, needs two: of one server under two addresses every key is equal to itself, and a cleanup would delete the only one there is. Two names within one
 * store are what the configuration has looked at. Throws JOB_REFUSED; rejects with StoreLost.
 */
export async function mustBeTwoServers(
  connections: StoreConnections,
  config: Config,
  one: string,
  other: string,
): Promise<void> {
  if (one === other) return
  const marks = new Set(await marksOf(connections, config, one))
  const shared = (await marksOf(connections, config, other)).some((mark) => mark !== null && marks.has(mark))
  if (!shared) return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `stores '${one}' and '${other}' are one server under two addresses: every key would be compared with itself. Let the target be another server`,
  )
}

/** What the store's server has, deleted at its primary, is deleted there as well. Throws JOB_REFUSED; rejects with StoreLost. */
export async function mustBeNoReplica(connections: StoreConnections, config: Config, store: string): Promise<void> {
  if (config.stores[store]!.kind === 'cluster') return
  const replication = await infoOf(connections.to(store, 0), store, 'replication')
  if (!/^role:(slave|replica)/m.test(replication)) return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `store '${store}' is a replica, and loses what its primary loses: promote it first (REPLICAOF NO ONE), then clean up`,
  )
}

/** A replica that takes no writes would be waited for without end, and most are replicas for good. Throws JOB_REFUSED; rejects with StoreLost. */
export async function mustTakeWrites(connections: StoreConnections, config: Config, store: string): Promise<void> {
  if (config.stores[store]!.kind === 'cluster') return
  const replication = await infoOf(connections.to(store, 0), store, 'replication')
  if (!/^role:(slave|replica)/m.test(replication) || !/^(slave|replica)_read_only:1/m.test(replication)) return
  const [host, port] = ['host', 'port'].map((name) => new RegExp(`^master_${name}:(\\S+)`, 'm').exec(replication)?.[1])
  throw new UnderstudyError(
    'JOB_REFUSED',
    `store '${store}' is a replica of ${host}:${port} and takes no writes, so this cannot be done there: give the address of its primary to store '${store}', or promote it (REPLICAOF NO ONE), then start it again`,
  )
}

async function marksOf(connections: StoreConnections, config: Config, store: string): Promise<(string | null)[]> {
  if (config.stores[store]!.kind !== 'cluster')
    return [serverMark(await infoOf(connections.to(store, 0), store, 'server'))]
  const nodes = await connections.mastersOf(store)
  const infos = await Promise.allSettled(
    nodes.map(async (node) => infoOf(connections.toNode(store, node), store, 'server')),
  )
  // One that does not answer is not waited for: those that do tell which cluster it is.
  const told = infos.flatMap((info) => (info.status === 'fulfilled' ? [serverMark(info.value)] : []))
  if (told.length === 0) throw new StoreLost(store, 'no node of the cluster says which server it is')
  return told
}

async function infoOf(connection: StoreConnection, store: string, section: string): Promise<string> {
  return (checked(store, await connection.ask(['INFO', section])) as Buffer).toString('latin1')
}
