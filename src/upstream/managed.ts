import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Redis } from 'ioredis'
import { Backoff } from '../base/backoff.ts'
import { UnderstudyError } from '../base/errors.ts'
import { findProgram } from '../base/find-program.ts'
import { makeDirectory } from '../base/make-directory.ts'
import { spawnTethered, type TetheredChild } from '../base/tethered-child.ts'
import type { Endpoint } from '../config/config.ts'

export interface ManagedServerOptions {
  /** The store's name, for messages. */
  readonly name: string
  /** Where the append-only file is kept; null: in memory only, gone with the process. */
  readonly dataDir: string | null
  readonly log: ManagedServerLog
  /** Default: `redis-server` of the PATH. */
  readonly program?: string
}

/** What is needed of a logger; pino's has it. */
export interface ManagedServerLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

const HOST = '127.0.0.1'
const CONNECT_TIMEOUT_MS = 20_000
const STOP_GRACE_MS = 2_000
const FIRST_DELAY_MS = 50
const MAX_DELAY_MS = 5_000
/** A child that ran this long was in order: when it dies, the next one comes without delay again. */
const STEADY_MS = 10_000
const KEPT_OUTPUT = 2_000
const PORT_ATTEMPTS = 3

/**
 * The redis-server behind a `managed:` store: a supervised child process on a loopback port.
 *
 *     start() --> running -- dies --> waits (backoff) --> running, on the same port --> ...
 *                    +-- stop() --> SIGTERM, after a while SIGKILL --> stopped
 *
 * The port is chosen once, so that whoever holds the endpoint reconnects after a crash as to any other store. What was in
 * memory only is gone then, as with any Redis without persistence. The child never outlives this process.
 */
export class ManagedServer {
  readonly #options: ManagedServerOptions
  readonly #backoff = new Backoff(FIRST_DELAY_MS, MAX_DELAY_MS)
  #program = ''
  #dir = ''
  #port = 0
  #child: TetheredChild | null = null
  #output = ''
  /** False until the first child answered, and from `stop` on: a child that dies then stays dead. */
  #supervised = false
  #restart: NodeJS.Timeout | null = null

  constructor(options: ManagedServerOptions) {
    this.#options = options
  }

  get dataDir(): string | null {
    return this.#options.dataDir
  }

  /** Null: it has not come up yet, or was stopped. */
  get endpoint(): Endpoint | null {
    return this.#supervised ? { kind: 'tcp', host: HOST, port: this.#port } : null
  }

  /** Process id of the child; null while none runs. */
  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /**
   * Resolves when the server answers. Rejects with SERVER_MISSING when there is no program to run, STATE_UNUSABLE when
   * `dataDir` cannot be made, STORE_UNREACHABLE when the server does not come up.
   */
  async start(): Promise<Endpoint> {
    this.#program = this.#findProgram()
    this.#dir = this.#makeDirectory()
    try {
      await this.#runOnFreePort()
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#supervised = true
    return { kind: 'tcp', host: HOST, port: this.#port }
  }

  /** Ends the server and removes its temporary directory. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#supervised = false
    if (this.#restart !== null) clearTimeout(this.#restart)
    const child = this.#child
    if (child !== null) {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS)
      await gone
      clearTimeout(impatience)
    }
    if (this.#options.dataDir === null && this.#dir !== '') rmSync(this.#dir, { recursive: true, force: true })
  }

  /** A free port may be taken by somebody else before the child binds it: then another one is tried. */
  async #runOnFreePort(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#port = await freePort()
      try {
        return await this.#run()
      } catch (error) {
        if (attempt === PORT_ATTEMPTS || !this.#output.includes('Address already in use')) throw error
      }
    }
  }

  /** Starts a child; resolves when it answers. */
  async #run(): Promise<void> {
    const { name, dataDir, log } = this.#options
    const child = spawnTethered(this.#program, this.#arguments(), { cwd: this.#dir })
    const startedAt = performance.now()
    this.#child = child
    this.#output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk).slice(-KEPT_OUTPUT)
      })
    }
    child.once('exit', (code, signal) => {
      this.#child = null
      if (!this.#supervised) return
      if (performance.now() - startedAt >= STEADY_MS) this.#backoff.reset()
      const delayMs = this.#backoff.nextMs()
      log.warn(
        { store: name, code, signal, delayMs, said: this.#lastLine() },
        'managed redis-server died, will restart it',
      )
      // A child that does not come up ends too, and is replaced from here again.
      this.#restart = setTimeout(() => this.#run().catch(() => this.#child?.kill('SIGKILL')), delayMs)
    })
    await this.#answers(child)
    log.info({ store: name, port: this.#port, pid: child.pid, dataDir }, 'managed redis-server is up')
  }

  #arguments(): string[] {
    const kept = this.#options.dataDir === null ? 'no' : 'yes'
    return ['--port', `${this.#port}`, '--bind', HOST, '--dir', this.#dir, '--save', '', '--appendonly', kept]
  }

  /** Resolves when the child serves commands (a large append-only file may take its time to load), rejects when it will not. */
  async #answers(child: TetheredChild): Promise<void> {
    const probe = new Redis({ host: HOST, port: this.#port, retryStrategy: () => 10, maxRetriesPerRequest: null })
    let impatience: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const fail = (what: string) => () =>
          reject(
            new UnderstudyError(
              'STORE_UNREACHABLE',
              `The redis-server of the \`managed:\` store ${this.#options.name} ${what}. It said: ${this.#lastLine()}`,
            ),
          )
        impatience = setTimeout(fail(`did not listen within ${CONNECT_TIMEOUT_MS / 1_000} s`), CONNECT_TIMEOUT_MS)
        child.once('close', fail('ended when it was started'))
        probe.once('connect', () => clearTimeout(impatience))
        probe.once('ready', () => resolve())
        // Refused until the child listens: expected, and tried again.
        probe.on('error', () => {})
      })
    } finally {
      clearTimeout(impatience)
      probe.disconnect()
    }
  }

  #lastLine(): string {
    return this.#output.trim().split('\n').at(-1) ?? ''
  }

  #findProgram(): string {
    const wanted = this.#options.program ?? 'redis-server'
    const program = findProgram(wanted)
    if (program !== null) return program
    throw new UnderstudyError(
      'SERVER_MISSING',
      `Store ${this.#options.name} is \`managed:\`, for which ${wanted} is needed, and it is not in PATH. Install it ` +
        '(Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install redis; Alpine: apk add redis; ' +
        'macOS: brew install redis), or give the store the url of a server that runs already.',
    )
  }

  #makeDirectory(): string {
    const { name, dataDir } = this.#options
    if (dataDir === null) return mkdtempSync(join(tmpdir(), 'understudy-managed-'))
    try {
      makeDirectory(dataDir)
      return resolve(dataDir)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new UnderstudyError('STATE_UNUSABLE', `The dataDir of store ${name} cannot be made: ${reason}`, { cause })
    }
  }
}

/** A port of 127.0.0.1 that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
