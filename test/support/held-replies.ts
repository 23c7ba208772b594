import net from 'node:net'

/** A way to a server on which replies can be held back, connection by connection. */
export interface HeldReplies {
  readonly port: number
  /** From now on what the server says on the connections that `of` picks by what was sent on them (latin1) waits here. */
  hold(of: (sent: string) => boolean): void
  /** Lets all of it go, and holds nothing any more. */
  release(): void
  stop(): Promise<void>
}

export async function holdReplies(serverPort: number): Promise<HeldReplies> {
  let held: (sent: string) => boolean = () => false
  const waiting = new Set<() => void>()
  const sockets = new Set<net.Socket>()
  const server = net.createServer((client) => {
    const upstream = net.connect(serverPort, '127.0.0.1')
    let sent = ''
    const kept: Buffer[] = []
    const letGo = (): void => {
      for (const bytes of kept.splice(0)) client.write(bytes)
    }
    waiting.add(letGo)
    client.on('data', (bytes: Buffer) => {
      sent += bytes.toString('latin1')
      upstream.write(bytes)
    })
    upstream.on('data', (bytes: Buffer) => {
      kept.push(bytes)
      if (!held(sent)) letGo()
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one)
      one.setNoDelay(true)
      one.on('error', () => one.destroy())
      one.on('close', () => {
        sockets.delete(one)
        waiting.delete(letGo)
        other.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    hold: (of) => {
      held = of
    },
    release: () => {
      held = () => false
      for (const letGo of waiting) letGo()
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
