import type { StoreConnections } from '../stores/store-connection.ts'
import { StoreLost } from '../stores/store-lost.ts'
import { areSame, mayHoldUnseen, nodeStates } from './node-states.ts'
import { readPage } from './scan-page.ts'
import type { Page, ScanPosition } from './scan-position.ts'

/** What the one who lists has to be told. */
export interface ListingWatcher {
  /** Waits a moment, or rejects. */
  lost(error: StoreLost): Promise<void>
  /** So many nodes are listed once more. */
  again(nodes: number): Promise<void>
}

/**
 * Every key of a cluster, node by node, each by its own cursor. What moves meanwhile is found by rounds:
 *
 *   states of all masters ─▶ list each ─▶ states again ─┬─ nobody has come, was started again, or got slots ─▶ done
 *                                 ▲                     │
 *                                 └── only those ◀──────┘
 *
 * A key that is in the cluster from the beginning to the end is seen: where it lies in the end it was listed from its arrival on, or it lay elsewhere while that was listed. A slot that is on its way when a round
 * begins may bring keys at any time: who gets it is listed once more, in a round before which nothing has changed (keys that come during that one were seen where they came from). So a slot that was left half-moved does
 * not keep a job from ending.
 */
export async function* scanCluster(
  connections: StoreConnections,
  store: string,
  count: number,
  from: ScanPosition | null,
  watcher: ListingWatcher,
): AsyncGenerator<Page> {
  let round = from?.cluster ?? null
  let position = from
  for (;;) {
    try {
      const now = await nodeStates(connections, store)
      if (round === null) round = { nodes: now, left: Object.keys(now), isSteady: false }
      while (round.left.length > 0) {
        const [id, ...others]: readonly string[] = round.left
        const state = now[id!]
        // Its slots are others' now, who are listed for that.
        if (state === undefined) {
          round = { ...round, left: others }
          position = null
          continue
        }
        let cursor = position?.server === state.run ? position.cursor : '0'
        do {
          const connection = connections.toNode(store, state)
          const { names, next } = await readPage(connection, store, state.run, cursor, count)
          cursor = next
          if (cursor === '0') round = { ...round, left: others }
          position = { server: state.run, database: 0, cursor, cluster: round }
          yield { database: 0, names, next: position }
        } while (cursor !== '0')
        position = null
      }
      const then = await nodeStates(connections, store)
      const again = mayHoldUnseen(round.nodes, then, round.isSteady)
      if (again.length === 0) {
        yield { database: 0, names: [], next: null }
        return
      }
      round = { nodes: then, left: again, isSteady: areSame(round.nodes, then) }
      await watcher.again(again.length)
    } catch (error) {
      if (!(error instanceof StoreLost)) throw error
      connections.askForMasters(store)
      await watcher.lost(error)
    }
  }
}
