import { slotOfKey } from '../command/key-slot.ts'
import type { Endpoint, StoreConfig } from '../config/config.ts'
import type { Reply } from '../resp/reply.ts'
import { readTopology, type Topology } from '../upstream/cluster/topology.ts'
import { withBriefClient } from '../upstream/connection/brief-client.ts'
import { SentinelWatch } from '../upstream/sentinel/sentinel-watch.ts'
import type { Trials } from './rights.ts'
import { CHECK, lookAtServer, reasonOf, type ServerLook } from './server-look.ts'

/** What a store says of itself, by the server that serves it; by all masters, where it is a cluster. */
export interface StoreLook {
  readonly name: string
  readonly kind: StoreConfig['kind']
  /** Why it cannot be used; null: it can. */
  readonly error: string | null
  /** Empty: it was not reached, or `serve` starts it (`managed:`). */
  readonly servers: readonly ServerLook[]
}

/** Asks a store who and how it is. Changes nothing there. Never rejects. */
export async function lookAtStore(store: StoreConfig, trials: Trials): Promise<StoreLook> {
  try {
    return await look(store, trials)
  } catch (cause) {
    return lookOf(store, [], reasonOf(cause, store))
  }
}

async function look(store: StoreConfig, trials: Trials): Promise<StoreLook> {
  switch (store.kind) {
    case 'managed':
      return { name: store.name, kind: store.kind, error: null, servers: [] }
    case 'single':
      return lookOf(store, [await lookAtServer(store, store.endpoints[0]!, trials)])
    case 'sentinel':
      return lookBehindSentinels(store, trials)
    case 'cluster':
      return lookAtCluster(store, trials)
  }
}

async function lookBehindSentinels(store: StoreConfig, trials: Trials): Promise<StoreLook> {
  const watch = new SentinelWatch({ store, onPrimary: () => {}, onChange: () => {} })
  await watch.start()
  watch.stop()
  const { primary, view } = watch
  if (primary === null) return lookOf(store, [], view.error ?? 'its Sentinels name no primary')
  return lookOf(store, [await lookAtServer(store, primary, trials)])
}

/** One seed after the other is asked which masters there are, and then each of these. */
async function lookAtCluster(store: StoreConfig, trials: Trials): Promise<StoreLook> {
  const seeds: ServerLook[] = []
  for (const seed of store.endpoints) {
    const look = await lookAtServer(store, seed, NOTHING)
    seeds.push(look)
    if (!look.up) continue
    if (look.inCluster === false)
      return lookOf(
        store,
        [look],
        `${look.address} is no node of a cluster: write redis:// in stores.${store.name}.url`,
      )
    const said = await withBriefClient(store, seed, CHECK, (redis) => redis.callBuffer('CLUSTER', 'SLOTS')).catch(
      (error: Error) => error,
    )
    const topology = said instanceof Error ? null : readTopology(said as Reply, hostOf(seed))
    if (topology === null) {
      const why = said instanceof Error ? said.message : 'what it answers to CLUSTER SLOTS is no reply to it'
      return lookOf(store, [look], `${look.address} does not say who serves which slot: ${why}`)
    }
    const masters = await Promise.all(
      topology.masters.map(({ host, port }, i) =>
        lookAtServer(store, { kind: 'tcp', host, port }, trials, tagOf(topology, i)),
      ),
    )
    const unserved = topology.owners.filter((owner) => owner === -1).length
    return lookOf(store, masters, unserved === 0 ? null : `${unserved} of its 16384 slots are served by no node`)
  }
  return lookOf(store, seeds)
}

const NOTHING: Trials = { needs: [], keys: [] }

/** A hash tag whose slot that master serves. */
function tagOf({ owners }: Topology, master: number): string {
  for (let i = 0; ; i++) if (owners[slotOfKey(Buffer.from(String(i)))] === master) return String(i)
}

/** `error`: of the whole. Else that of the first server that cannot be used. */
function lookOf({ name, kind }: StoreConfig, servers: readonly ServerLook[], error: string | null = null): StoreLook {
  const down = servers.find(({ up }) => !up)
  const reason = down === undefined ? null : kind === 'single' ? down.error : `${down.address}: ${down.error}`
  return { name, kind, error: error ?? reason, servers }
}

function hostOf(endpoint: Endpoint): string {
  return endpoint.kind === 'tcp' ? endpoint.host : 'localhost'
}
