import net from 'node:net'

/**
 * A way to a server that is far away: what it says arrives `delayMs` later, in its order. So does what is said to it on the connections that `alsoTo` picks by what was said on them before
 * (latin1).
 */
export interface FarStore {
  readonly port: number
  stop(): Promise<void>
}

export async function farStore(
  serverPort: number,
  delayMs: number,
  alsoTo: (said: string) => boolean = () => false,
): Promise<FarStore> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((client) => {
    const upstream = net.connect(serverPort, '127.0.0.1')
    let said = ''
    client.on('data', (bytes: Buffer) => {
      if (alsoTo(said)) setTimeout(() => upstream.destroyed || upstream.write(bytes), delayMs)
      else upstream.write(bytes)
      said += bytes.toString('latin1')
    })
    // Timers of one length go off in the order in which they were set.
    upstream.on('data', (bytes: Buffer) => setTimeout(() => client.destroyed || client.write(bytes), delayMs))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one)
      one.setNoDelay(true)
      one.on('error', () => one.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
