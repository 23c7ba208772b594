import type { DataPathUnderTest } from './data-path.ts'
import { settled } from './settled.ts'

/**
 * The shadow is connected in these databases, and what was asked of it is answered. A read is only compared where it is: one that comes
 * before, on a machine that takes its time, is skipped.
 */
export async function shadowUp(path: DataPathUnderTest, databases: readonly number[] = [0]): Promise<void> {
  const client = await path.raw()
  for (const database of databases) {
    await client.ask('SELECT', database)
    await client.ask('SET', 'the shadow', 'is up')
    await settled(path)
    await client.ask('DEL', 'the shadow')
  }
  await settled(path)
  client.destroy()
}
