import { integerAt } from './frames.ts'
import type { StoreConnection } from './store-connection.ts'

/** Bytes of memory that each key takes there, as far as the server says so. */
export async function memoryOf(store: StoreConnection, names: readonly Buffer[]): Promise<Float64Array> {
  const sizes = new Float64Array(names.length)
  await store.forEach([['MEMORY', 'USAGE']], names, (i, buf, start) => {
    sizes[i] = integerAt(buf, start) ?? 0
  })
  return sizes
}
