import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { Document, parseDocument } from 'yaml'
import { spawnTethered, type TetheredChild } from '../../src/base/tethered-child.ts'
import { end } from './child.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import type { ClientOptions } from './redis.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/understudy.mjs', import.meta.url))
/** As `npm start` gives them. */
const { NODE_ARGUMENTS } = (await import(new URL('../../scripts/run-product.mjs', import.meta.url).href)) as {
  NODE_ARGUMENTS: readonly string[]
}

export interface UnderstudyOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Further arguments after `serve --config FILE`. */
  readonly args?: readonly string[]
  /** The file comes through a pipe, as a template does that is filled in: it is read once, at the start. */
  readonly readOnce?: boolean
  /**
   * What `startUnderstudy` waits for: `ready` (default) until the primaries are reachable, `live` until the process
   * answers (for tests with a store that is down), `nothing` (for configurations that it must refuse: await `exited`).
   */
  readonly until?: 'ready' | 'live' | 'nothing'
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The real product as a child process, on ports and in a state directory of its own. */
export class UnderstudyProcess {
  readonly port: number
  /** Empty when the configuration says `admin: off`. */
  readonly adminUrl: string
  readonly configPath: string
  readonly stateDir: string
  readonly #dir: string
  readonly #options: UnderstudyOptions
  readonly #clients = new Set<Redis>()
  #child: TetheredChild
  #stdout = ''
  #stderr = ''
  #exited: Promise<Exit>

  constructor(document: Document, dir: string, options: UnderstudyOptions) {
    this.#dir = dir
    this.#options = options
    this.configPath = join(dir, 'understudy.yaml')
    this.stateDir = String(document.get('stateDir'))
    this.port = Number(new URL(String(document.getIn(['listen', 0, 'url']))).port)
    const adminUrl = document.getIn(['admin', 'url'])
    this.adminUrl = adminUrl === undefined ? '' : String(adminUrl)
    writeFileSync(this.configPath, document.toString())
    this.#child = this.#spawn()
    this.#exited = exitOf(this.#child)
  }

  /** What a client would be given as REDIS_URL. */
  get proxyUrl(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('Understudy is not running')
    return this.#child.pid
  }

  /** Everything written to standard output so far. */
  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  /** Resolves when the process has ended, in whatever way. */
  get exited(): Promise<Exit> {
    return this.#exited
  }

  /** A new ioredis client of the proxy; disconnected by `stop()`. */
  client(options: ClientOptions = {}): Redis {
    const client = new Redis({ host: '127.0.0.1', port: this.port, ...options })
    // ioredis reports each failed attempt to reconnect; a test sees the failure where it awaits a command.
    client.on('error', () => {})
    this.#clients.add(client)
    client.once('end', () => this.#clients.delete(client))
    return client
  }

  /** Gives the JSON of an admin endpoint, whatever the status. */
  async admin<T = unknown>(path: string, init: RequestInit = {}): Promise<{ status: number; body: T }> {
    const response = await fetch(new URL(path, this.adminUrl), {
      ...init,
      ...(init.body === undefined ? {} : { headers: { 'content-type': 'application/json', ...init.headers } }),
    })
    return { status: response.status, body: (await response.json()) as T }
  }

  /** The text of `/metrics`. */
  async metrics(): Promise<string> {
    return (await fetch(new URL('/metrics', this.adminUrl))).text()
  }

  /** Rewrites the configuration file as an editor does (new file, renamed into place): the product notices by itself. */
  edit(change: (text: string) => string): void {
    const draft = `${this.configPath}.draft`
    writeFileSync(draft, change(readFileSync(this.configPath, 'utf8')))
    renameSync(draft, this.configPath)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Whoever reads what it says is gone. */
  closeOutput(): void {
    this.#child.stdout.destroy()
    this.#child.stderr.destroy()
  }

  /** Ends the process as a supervisor would, disconnects the clients, removes its files. */
  async stop(): Promise<Exit> {
    for (const client of this.#clients) client.disconnect()
    await end(this.#child)
    rmSync(this.#dir, { recursive: true, force: true })
    return this.#exited
  }

  async kill9(): Promise<void> {
    await end(this.#child, 'SIGKILL')
  }

  /** Starts it again with the same configuration, ports and state. */
  async restart(): Promise<void> {
    await end(this.#child)
    this.#child = this.#spawn()
    this.#exited = exitOf(this.#child)
    await this.comesUp()
  }

  /** Resolves when it serves; rejects with what it said when it ends instead. */
  async comesUp(): Promise<void> {
    const { until = 'ready' } = this.#options
    if (until === 'nothing') return
    const died = this.#exited.then(({ code, signal }) =>
      Promise.reject(new Error(`Understudy ended (${signal ?? code}):\n${this.#stdout}${this.#stderr}`)),
    )
    let alive = true
    const up = eventually(
      async () => {
        if (!alive) return
        if (this.adminUrl !== '') {
          const response = await fetch(new URL(until === 'ready' ? '/readyz' : '/healthz', this.adminUrl))
          if (!response.ok) throw new Error(`not ${until}: ${await response.text()}\n${this.#stdout}${this.#stderr}`)
        }
        await accepts(this.port)
      },
      { timeoutMs: 50_000 },
    )
    try {
      await Promise.race([up, died])
    } finally {
      alive = false
      died.catch(() => {})
    }
  }

  #spawn(): TetheredChild {
    const { env = {}, args = [], readOnce = false } = this.#options
    const program = [process.execPath, ...NODE_ARGUMENTS, PROGRAM, 'serve']
    const [command, ...rest] = readOnce
      ? ['bash', '-c', 'exec "$@" --config <(cat "$0")', this.configPath, ...program, ...args]
      : [...program, '--config', this.configPath, ...args]
    const child = spawnTethered(command!, rest, {
      cwd: this.#dir,
      env: { ...process.env, NODE_OPTIONS: '', ...env },
    })
    child.stdout.on('data', (chunk: Buffer) => {
      this.#stdout += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr += chunk
    })
    return child
  }
}

/**
 * Starts the product with a configuration given as YAML text or as an object, and waits until it serves. What the
 * configuration leaves out is filled in: `listen` and `admin` with free ports, `stateDir` with a directory of its own.
 */
export async function startUnderstudy(
  config: string | object,
  options: UnderstudyOptions = {},
): Promise<UnderstudyProcess> {
  const document: Document = typeof config === 'string' ? parseDocument(config) : new Document(config)
  const dir = mkdtempSync(join(tmpdir(), 'understudy-test-'))
  const fill = async (key: string, value: () => unknown) => {
    if (!document.has(key)) document.set(key, document.createNode(await value()))
  }
  await fill('listen', async () => [{ url: `redis://127.0.0.1:${await freePort()}` }])
  await fill('admin', async () => ({ url: `http://127.0.0.1:${await freePort()}` }))
  await fill('stateDir', () => join(dir, 'state'))
  const understudy = new UnderstudyProcess(document, dir, options)
  try {
    await understudy.comesUp()
  } catch (error) {
    await understudy.stop()
    throw error
  }
  return understudy
}

async function exitOf(child: TetheredChild): Promise<Exit> {
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal }
}

async function accepts(port: number): Promise<void> {
  const socket = createConnection(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } finally {
    socket.destroy()
  }
}
