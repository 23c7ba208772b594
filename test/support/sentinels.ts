import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { findProgram } from '../../src/base/find-program.ts'
import { spawnTethered, type TetheredChild } from '../../src/base/tethered-child.ts'
import { end } from './child.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import { type RedisServer, startRedis } from './redis.ts'

export interface SentinelGroupOptions {
  /** Of the primary and its replica. */
  readonly args?: readonly string[]
  /** Clients of the stores need it; the Sentinels have it. */
  readonly password?: string
  /** Clients of the Sentinels need it. */
  readonly sentinelPassword?: string
  readonly sentinels?: number
  /** How long a primary may be silent before it counts as gone. Default: longer than a test, so that a busy machine is no reason for a failover. */
  readonly downAfterMs?: number
}

/** A redis-server that runs as a Sentinel. */
export class SentinelServer {
  readonly port: number
  readonly #dir = mkdtempSync(join(tmpdir(), 'understudy-test-sentinel-'))
  readonly #password: string | undefined
  #child: TetheredChild | null = null
  #client: Redis | null = null

  constructor(port: number, configuration: string, password: string | undefined) {
    this.port = port
    this.#password = password
    // It writes what it learns into its own file.
    writeFileSync(join(this.#dir, 'sentinel.conf'), `port ${port}\nbind 127.0.0.1\ndir ${this.#dir}\n${configuration}`)
  }

  get client(): Redis {
    return this.#client!
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const program = findProgram('redis-server')
    if (program === null) throw new Error('redis-server is not in PATH')
    this.#child = spawnTethered(program, [join(this.#dir, 'sentinel.conf'), '--sentinel'])
    this.#child.stdout.resume()
    this.#child.stderr.resume()
    this.#client?.disconnect()
    this.#client = new Redis({
      port: this.port,
      ...(this.#password === undefined ? {} : { password: this.#password }),
      retryStrategy: () => 20,
      maxRetriesPerRequest: null,
    })
    this.#client.on('error', () => {})
    await this.#client.ping()
    // Redis 7.0 and newer: a failover that takes ten seconds takes less than one. Others are only slower.
    await this.#client.call('SENTINEL', 'DEBUG', ...FAST).catch(() => {})
  }

  /** Freezes it: connections stay open, nothing is answered. */
  pause(): void {
    process.kill(this.#child!.pid!, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.#child!.pid!, 'SIGCONT')
  }

  async kill9(): Promise<void> {
    if (this.#child !== null) await end(this.#child, 'SIGKILL')
  }

  async stop(): Promise<void> {
    this.#client?.disconnect()
    await this.kill9()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

/**
 * Not everything as short as it can be: a replica that is made a primary is made a replica again by Sentinels that have not heard of it in four periods of PUBLISH, and one that has not answered for five periods of
 * PING is not chosen.
 */
const FAST = [
  ...['INFO-PERIOD', '200', 'PUBLISH-PERIOD', '1000', 'PING-PERIOD', '1000', 'ASK-PERIOD', '200'],
  ...['ELECTION-TIMEOUT', '2000', 'TILT-TRIGGER', '60000'],
]

function expectSame(one: RedisServer, other: RedisServer): void {
  if (one !== other) throw new Error(`the primary is at port ${one.port}, not ${other.port}`)
}

/** What the Sentinels call it. */
export const PRIMARY_NAME = 'the-primary'

/** A primary, its replica, and Sentinels that watch them, all on free ports of 127.0.0.1. */
export class SentinelGroup {
  readonly servers: readonly [RedisServer, RedisServer]
  readonly sentinels: readonly SentinelServer[]

  constructor(servers: readonly [RedisServer, RedisServer], sentinels: readonly SentinelServer[]) {
    this.servers = servers
    this.sentinels = sentinels
  }

  /** `redis+sentinel://...`, as in a configuration. */
  get url(): string {
    return `redis+sentinel://${this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${PRIMARY_NAME}`
  }

  /** As the Sentinel says that is asked. */
  async primary(asked = 0): Promise<RedisServer> {
    const [, port] = (await this.sentinels[asked]!.client.call(
      'SENTINEL',
      'GET-MASTER-ADDR-BY-NAME',
      PRIMARY_NAME,
    )) as [string, string]
    return this.servers.find((server) => server.port === Number(port))!
  }

  other(server: RedisServer): RedisServer {
    return server === this.servers[0] ? this.servers[1] : this.servers[0]
  }

  /** A failover that an operator asks for; gives the new primary when the first Sentinel names it. One that is given up, on a machine that is too busy, is asked for again. */
  async failover(): Promise<RedisServer> {
    const now = this.other(await this.primary())
    await eventually(
      async () => {
        if ((await this.primary()) === now) return
        await this.sentinels[0]!.client.call('SENTINEL', 'FAILOVER', PRIMARY_NAME).catch(() => {})
        await eventually(async () => expectSame(await this.primary(), now), { timeoutMs: 6_000 })
      },
      { timeoutMs: 60_000 },
    )
    return now
  }

  /** Resolves when every Sentinel knows the others and a replica that is in step: then a failover can be had. */
  async ready(): Promise<void> {
    await eventually(
      async () => {
        for (const { client } of this.sentinels) {
          const state = (await client.call('SENTINEL', 'MASTER', PRIMARY_NAME)) as string[]
          const fact = (name: string) => Number(state[state.indexOf(name) + 1])
          if (fact('num-other-sentinels') !== this.sentinels.length - 1) throw new Error('Sentinels are missing')
          const [replica = []] = (await client.call('SENTINEL', 'REPLICAS', PRIMARY_NAME)) as string[][]
          if (replica[replica.indexOf('master-link-status') + 1] !== 'ok') throw new Error('no replica in step')
        }
      },
      { timeoutMs: 30_000 },
    )
  }

  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((one) => one.stop()))
  }
}

/** One that does not come about, for its parts do not find each other on a busy machine, is started anew. */
export function startSentinelGroup(options: SentinelGroupOptions = {}): Promise<SentinelGroup> {
  return start(options).catch(() => start(options))
}

async function start(options: SentinelGroupOptions): Promise<SentinelGroup> {
  const { password, sentinelPassword, args = [], sentinels: count = 3, downAfterMs = 120_000 } = options
  const secured = password === undefined ? [] : ['--requirepass', password, '--masterauth', password]
  // A replica that is asked to synchronise does so at once, not after the five seconds in which others could join.
  const common = [...args, ...secured, '--repl-diskless-sync-delay', '0']
  const settings = { ...(password === undefined ? {} : { password }) }
  const primary = await startRedis({ ...settings, args: common })
  const replica = await startRedis({ ...settings, args: [...common, '--replicaof', '127.0.0.1', `${primary.port}`] })
  const configuration = [
    `sentinel monitor ${PRIMARY_NAME} 127.0.0.1 ${primary.port} ${Math.floor(count / 2) + 1}`,
    `sentinel down-after-milliseconds ${PRIMARY_NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${PRIMARY_NAME} 4000`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${PRIMARY_NAME} ${password}`]),
    ...(sentinelPassword === undefined
      ? []
      : [`requirepass ${sentinelPassword}`, `sentinel sentinel-pass ${sentinelPassword}`]),
  ].join('\n')
  const sentinels = await Promise.all(
    Array.from(
      { length: count },
      async () => new SentinelServer(await freePort(), `${configuration}\n`, sentinelPassword),
    ),
  )
  const group = new SentinelGroup([primary, replica], sentinels)
  try {
    await Promise.all(sentinels.map((sentinel) => sentinel.start()))
    await group.ready()
  } catch (error) {
    await group.stop()
    throw error
  }
  return group
}
