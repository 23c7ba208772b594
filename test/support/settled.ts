import { expect } from 'vitest'
import type { DataPathUnderTest } from './data-path.ts'
import { eventually } from './eventually.ts'

/** Everything written has been acknowledged by the shadow, and no key is dirty. */
export async function settled(path: DataPathUnderTest, timeoutMs = 30_000): Promise<void> {
  await eventually(
    () => {
      for (const [name, route] of Object.entries(path.runtime.stats().routes)) {
        const { inFlight, backlogCommands, dirtyKeys } = route
        expect({ name, inFlight, backlogCommands, dirtyKeys }).toEqual({
          name,
          inFlight: 0,
          backlogCommands: 0,
          dirtyKeys: 0,
        })
      }
    },
    { timeoutMs },
  )
}
