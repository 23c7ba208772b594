import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../src/base/find-program.ts'
import { spawnTethered } from '../src/base/tethered-child.ts'
import { end } from '../test/support/child.ts'
import { eventually } from '../test/support/eventually.ts'
import { freePort } from '../test/support/ports.ts'
import type { RedisServer } from '../test/support/redis.ts'
import { startUnderstudy } from '../test/support/understudy.ts'
import type { Command } from './cases.ts'

/** What stands between redis-benchmark and Redis, running. */
export interface System {
  readonly name: SystemName
  readonly port: number
  /** The process whose CPU time and memory are counted. */
  readonly pid: number
  /** Share of each command that has to reach the second server too. */
  readonly shadowed: Readonly<Record<Command, number>>
  /** Resolves when work left over from a load is done, so that it is counted, and does not disturb the next load. */
  settled(): Promise<void>
  stop(): Promise<unknown>
}

export interface Stores {
  readonly primary: RedisServer
  readonly shadow: RedisServer
}

type Start = (stores: Stores) => Promise<Omit<System, 'name'>>

const NOTHING = { SET: 0, GET: 0 }

const SYSTEMS = {
  direct: async ({ primary: { port, pid } }) => ({
    port,
    pid,
    shadowed: NOTHING,
    settled: nothingLeft,
    stop: nothingLeft,
  }),
  understudy: understudy({ phase: 'passthrough' }, NOTHING),
  'understudy-mirror': understudy({ phase: 'mirror' }, { SET: 1, GET: 0 }),
  // What the log of keys being written costs: the same without it.
  'understudy-mirror-unlogged': understudy({ phase: 'mirror' }, { SET: 1, GET: 0 }, { intentLog: false }),
  // Keys are sampled by their hash: with a limited number of keys the share of reads is only about one percent.
  'understudy-shadow-1': understudy({ phase: 'shadow', compare: { sample: '1%' } }, { SET: 1, GET: 0.001 }),
  'understudy-shadow-10': understudy({ phase: 'shadow', compare: { sample: '10%' } }, { SET: 1, GET: 0.05 }),
  'understudy-shadow-100': understudy({ phase: 'shadow', compare: { sample: '100%' } }, { SET: 1, GET: 1 }),
  nutcracker: (stores) => startProgram(stores, nutcracker),
  haproxy: (stores) => startProgram(stores, haproxy),
} satisfies Record<string, Start>

export type SystemName = keyof typeof SYSTEMS
export const SYSTEM_NAMES = Object.keys(SYSTEMS) as SystemName[]

/** Starts a system. Rejects with a message fit to be shown when its program is missing or does not come up. */
export async function startSystem(name: SystemName, stores: Stores): Promise<System> {
  return { name, ...(await SYSTEMS[name](stores)) }
}

function understudy(route: object, shadowed: System['shadowed'], more: object = {}): Start {
  return async ({ primary, shadow }) => {
    const process = await startUnderstudy({
      ...more,
      stores: { primary: { url: primary.url }, shadow: { url: shadow.url } },
      routes: [{ name: 'all', keys: ['*'], source: { store: 'primary' }, target: { store: 'shadow' }, ...route }],
    })
    const backlog = async () => {
      const { body } = await process.admin<{ routes: { all: { mirror: Mirror } } }>('/api/v1/status')
      return body.routes.all.mirror
    }
    return {
      port: process.port,
      pid: process.pid,
      shadowed,
      settled: async () => {
        await eventually(
          async () => {
            const { backlog: waiting, dirtyKeys } = await backlog()
            if (waiting + dirtyKeys > 0)
              throw new Error(`the mirror still has ${waiting} writes and ${dirtyKeys} keys to do`)
          },
          { timeoutMs: 60_000 },
        )
        const { dropped } = await backlog()
        if (dropped > 0)
          throw new Error(`the mirror dropped ${dropped} writes: this is no measurement of mirroring every write`)
      },
      stop: () => process.stop(),
    }
  }
}

interface Mirror {
  readonly backlog: number
  readonly dirtyKeys: number
  readonly dropped: number
}

interface Program {
  readonly name: string
  /** The text of the configuration file. */
  config(port: number, storePort: number): string
  args(configFile: string, spare: number): string[]
}

const nutcracker: Program = {
  name: 'nutcracker',
  config: (port, storePort) => `bench:
  listen: 127.0.0.1:${port}
  hash: fnv1a_64
  distribution: ketama
  redis: true
  servers:
   - 127.0.0.1:${storePort}:1
`,
  args: (configFile, spare) => ['-c', configFile, '-a', '127.0.0.1', '-s', `${spare}`, '-v', '0'],
}

/** One thread, as the others have: on two cores a second one would take the load generator's. */
const haproxy: Program = {
  name: 'haproxy',
  config: (port, storePort) => `global
  maxconn 8000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend bench
  bind 127.0.0.1:${port}
  default_backend store
backend store
  server store 127.0.0.1:${storePort}
`,
  args: (configFile) => ['-db', '-f', configFile],
}

async function startProgram({ primary }: Stores, program: Program): Promise<Omit<System, 'name'>> {
  const file = findProgram(program.name) ?? findProgram(`/usr/sbin/${program.name}`)
  if (file === null) throw new Error(`${program.name} is not installed`)
  const dir = mkdtempSync(join(tmpdir(), 'understudy-bench-'))
  const configFile = join(dir, 'config')
  const port = await freePort()
  writeFileSync(configFile, program.config(port, primary.port))
  const child = spawnTethered(file, program.args(configFile, await freePort()))
  let said = ''
  child.stdout.resume()
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk).slice(-500)
  })
  const stop = async () => {
    await end(child)
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await eventually(() => accepts(port), { timeoutMs: 5_000 })
  } catch {
    await stop()
    throw new Error(`${program.name} did not come up: ${said.trim()}`)
  }
  return { port, pid: child.pid!, shadowed: NOTHING, settled: nothingLeft, stop }
}

async function accepts(port: number): Promise<void> {
  const socket = createConnection(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } finally {
    socket.destroy()
  }
}

async function nothingLeft(): Promise<void> {}
