import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { residentBytes } from './process-usage.ts'

/**
 * Ten thousand clients that say nothing, at an Understudy (or anything that speaks RESP) that runs already: whether all of them get in and stay, what they cost, and what
 * one that works beside them notices.
 *
 *     node benchmark/idle-clients.ts --port 6380 --pid 1234 [--clients 10000] [--seconds 70]
 *
 * The process that is asked for memory is that of `--pid`. More than a minute lets keepalive probes come round.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    pid: { type: 'string' },
    clients: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '70' },
  },
})
const port = Number(values.port)
const pid = Number(values.pid)
const wanted = Number(values.clients)
const IN_ONE_GO = 100
const ROUND_TRIPS = 5_000
const PING = 'PING\r\n'

const worker = await opened()
await roundTrips(worker)
report('alone', await roundTrips(worker))

const began = performance.now()
const idle: Socket[] = []
while (idle.length < wanted) {
  const next = Math.min(IN_ONE_GO, wanted - idle.length)
  idle.push(...(await Promise.all(Array.from({ length: next }, opened))))
}
console.log(`${idle.length} clients connected in ${((performance.now() - began) / 1000).toFixed(1)} s`)
report('beside them', await roundTrips(worker))
await sleep(Number(values.seconds) * 1000)
report(`after ${values.seconds} s`, await roundTrips(worker))
const lost = idle.filter((socket) => socket.destroyed || socket.readableEnded).length
await Promise.all(idle.filter((socket) => !socket.destroyed).map(asked))
console.log(`${lost} of them were disconnected; all others answer`)
for (const socket of [...idle, worker]) socket.destroy()

async function opened(): Promise<Socket> {
  const socket = createConnection({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => socket.destroy())
  await once(socket, 'connect')
  await asked(socket)
  return socket
}

async function asked(socket: Socket): Promise<void> {
  socket.write(PING)
  const [reply] = await once(socket, 'data')
  if (`${reply}` !== '+PONG\r\n') throw new Error(`a client was answered ${reply}`)
}

/** Milliseconds of each, ascending. */
async function roundTrips(socket: Socket): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const sent = performance.now()
    await asked(socket)
    times.push(performance.now() - sent)
  }
  return times.sort((a, b) => a - b)
}

function report(when: string, times: readonly number[]): void {
  const at = (share: number): string => times[Math.floor(times.length * share)]!.toFixed(3)
  const memory = Number.isNaN(pid) ? '' : `, ${Math.round(residentBytes(pid) / 1e6)} MB resident`
  console.log(`${when}: PING p50 ${at(0.5)} ms, p99 ${at(0.99)} ms${memory}`)
}
