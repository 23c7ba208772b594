import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'

/**
 * A TCP port on 127.0.0.1 that nobody listens on now. The kernel hands ephemeral ports out in random order, so two callers
 * (also in two processes) practically never get the same one before they bind it.
 */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
