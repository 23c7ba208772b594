import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { findProgram } from '../../src/base/find-program.ts'
import { spawnTethered, type TetheredChild } from '../../src/base/tethered-child.ts'
import { end } from './child.ts'
import { freePort } from './ports.ts'

export interface RedisServerOptions {
  /** Further arguments for redis-server, e.g. `['--requirepass', 'secret']`. They win over the defaults. */
  readonly args?: readonly string[]
  /** The program to run; default `redis-server` of the PATH. */
  readonly program?: string
  /** The password of the default user where `args` set one, for `client()` and the wait for PONG. */
  readonly password?: string
  readonly port?: number
}

/** ioredis' options; its types want `replyMapping` spelled out, and no test changes it. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

/** A real redis-server of a test's own. Ends with the test process at the latest; `stop()` it in `afterAll`. */
export class RedisServer {
  readonly host = '127.0.0.1'
  readonly port: number
  /** Working directory of the server: dumps and append-only files go here. Removed by `stop()`. */
  readonly dir: string
  readonly #options: RedisServerOptions
  readonly #clients = new Set<Redis>()
  #child: TetheredChild | null = null

  constructor(port: number, options: RedisServerOptions) {
    this.port = port
    this.#options = options
    this.dir = mkdtempSync(join(tmpdir(), 'understudy-test-redis-'))
  }

  get url(): string {
    const { password } = this.#options
    return `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}${this.host}:${this.port}`
  }

  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error(`redis-server on port ${this.port} is not running`)
    return pid
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** A new ioredis client; disconnected by `stop()`. */
  client(options: ClientOptions = {}): Redis {
    const { password } = this.#options
    const client = new Redis({
      host: this.host,
      port: this.port,
      ...(password === undefined ? {} : { password }),
      ...options,
    })
    client.on('error', ignoreWhileDown)
    this.#clients.add(client)
    client.once('end', () => this.#clients.delete(client))
    return client
  }

  /** Resolves when the server answers PING. */
  async start(): Promise<void> {
    const defaults = [
      '--port',
      `${this.port}`,
      '--bind',
      this.host,
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      this.dir,
    ]
    const wanted = this.#options.program ?? 'redis-server'
    const program = findProgram(wanted)
    if (program === null) throw new Error(`${wanted} is not in PATH`)
    const child = spawnTethered(program, [...defaults, ...(this.#options.args ?? [])])
    this.#child = child
    let output = ''
    const keep = (chunk: Buffer) => {
      output = (output + chunk).slice(-2_000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)

    const probe = this.client({ retryStrategy: () => 10, maxRetriesPerRequest: null })
    try {
      await new Promise<void>((resolve, reject) => {
        probe.once('ready', () => resolve())
        child.once('close', () => reject(new Error(`${program} ended at once:\n${output}`)))
      })
      // Where a stranger's server has taken the port, that one says that it is ready.
      const [, pid] = /process_id:(\d+)/.exec(await probe.info('server')) ?? []
      if (pid !== undefined && Number(pid) !== child.pid)
        throw new Error(`port ${this.port} is already in use by ${pid}`)
    } finally {
      probe.disconnect()
    }
  }

  /** Ends the server and removes its files. */
  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect()
    if (this.#child) await end(this.#child, 'SIGKILL')
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** Ends the server at once, as a crash would; `restart()` brings it back. */
  async kill9(): Promise<void> {
    if (this.#child) await end(this.#child, 'SIGKILL')
  }

  /** Freezes the server: connections stay open, nothing is answered (a hung store). */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  /** Ends the server if it runs and starts it again on the same port, with what it had saved (by default nothing). */
  async restart(): Promise<void> {
    await this.kill9()
    await this.start()
  }
}

/** Starts a redis-server in memory only on a free port of 127.0.0.1; on another one, where somebody was faster to take the first. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  for (let triesLeft = options.port === undefined ? 3 : 1; ; ) {
    const server = new RedisServer(options.port ?? (await freePort()), options)
    try {
      await server.start()
      return server
    } catch (error) {
      await server.stop()
      if (--triesLeft === 0 || !/already in use/i.test(String(error))) throw error
    }
  }
}

/** ioredis reports every failed attempt to reconnect as an event; a test sees the failure where it awaits a command. */
function ignoreWhileDown(): void {}
