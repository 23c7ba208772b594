import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import type { DataPathUnderTest } from './data-path.ts'
import { eventually } from './eventually.ts'
import type { HoldingNetwork } from './holding-network.ts'
import { settled } from './settled.ts'

/** `k` is 'first' at both ends, and `last` at the one that the network does not lead to: there it is on its way. Gives the client that wrote it. */
export async function writeOnItsWay(path: DataPathUnderTest, network: HoldingNetwork, last: string): Promise<Redis> {
  const app = path.client()
  await app.set('k', 'first')
  await settled(path)
  network.hold()
  await app.set('k', last)
  await eventually(() => expect(network.holds(last)).toBe(true))
  return app
}
