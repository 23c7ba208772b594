import type { Route } from '../../routing/route.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from '../context.ts'
import type { OverlapTable } from '../keys/overlap.ts'

/**
 * The primary's pipeline in whose history the writes of a key are: the shared one that has some in flight now, else the one with more
 * traffic. A read of the key there is not overtaken by them.
 */
export function primaryPipeline(
  context: DataPathContext,
  overlap: OverlapTable,
  route: Route,
  database: number,
  hash: number,
): Pipeline {
  const store = context.stores[route.primary.store]!
  const lane = overlap.laneToAsk(hash)
  const resp2 = store.shared(database, 2)
  if (lane <= 0 || lane === resp2.lane) return lane <= 0 ? store.busiest(database) : resp2
  for (const pipeline of store.sharedPipelines()) {
    // Another database's pipeline can have the lane when it has a key of that name, too.
    // A client's own user may not be allowed what the mirror needs to read.
    const { database: its, user } = pipeline.options.identity
    if (pipeline.lane === lane && user === null && its === resp2.options.identity.database) return pipeline
  }
  return store.busiest(database)
}
