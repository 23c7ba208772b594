import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytes } from './process-usage.ts'

export interface IdleMemory {
  /** With 1,000 idle clients. */
  readonly residentBytes: number
  /** What each client beyond those 1,000 added, up to 5,000. */
  readonly bytesPerConnection: number
}

const FEW = 1_000
const MANY = 5_000
const SETTLE_MS = 1_000
const ONE_COMMAND = '*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n'
const ITS_REPLY = '$-1\r\n'

/**
 * What a process holds for clients that have each asked once and are silent now.
 *
 * The cost of a client is taken between 1,000 and 5,000 of them, not between none and 1,000: a process has memory in reserve
 * (a heap that has grown before, above all that of a garbage collector) in which the first clients disappear, so that
 * the difference would show almost nothing.
 */
export async function measureIdleMemory(port: number, pid: number): Promise<IdleMemory> {
  const sockets: Socket[] = []
  const residentWith = async (count: number): Promise<number> => {
    while (sockets.length < count) {
      sockets.push(...(await Promise.all(Array.from({ length: 50 }, () => connect(port)))))
    }
    await sleep(SETTLE_MS)
    const lost = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length
    if (lost > 0) throw new Error(`${lost} of ${count} idle connections to port ${port} were closed`)
    return residentBytes(pid)
  }
  try {
    const few = await residentWith(FEW)
    const many = await residentWith(MANY)
    return { residentBytes: few, bytesPerConnection: (many - few) / (MANY - FEW) }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

async function connect(port: number): Promise<Socket> {
  const socket = createConnection(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(ONE_COMMAND)
  const [reply] = await once(socket, 'data')
  if (`${reply}` !== ITS_REPLY) throw new Error(`an idle connection to port ${port} was answered with ${reply}`)
  return socket
}
