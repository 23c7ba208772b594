import { packBytes } from '../../src/base/packed-bytes.ts'
import type { BatchResult, CopyOrigin } from '../../src/mirror/copy/copy-batch.ts'
import { routeShape } from '../../src/routing/route-shape.ts'
import type { DataPathUnderTest } from './data-path.ts'

/** Has keys copied as a backfill does it that began with the configuration in which the data path was started: they are not dirty. */
export function copyAsJob(
  { runtime, config }: DataPathUnderTest,
  route: string,
  keys: readonly string[],
  {
    database = 0,
    window = 1,
    deletes = 'never',
  }: { database?: number; window?: number; deletes?: CopyOrigin['deletes'] } = {},
): Promise<BatchResult> {
  const origin = { route, shape: routeShape(config, route), deletes }
  return runtime.jobs.copy(origin, database, packBytes(keys.map((key) => Buffer.from(key))), window)
}
