import { type AdminServer, startAdminServer } from './admin/server.ts'
import { UnderstudyError } from './base/errors.ts'
import { openFilesLimit } from './base/open-files.ts'
import { stopInOrder } from './base/stop-steps.ts'
import { VERSION } from './base/version.ts'
import { EXIT } from './cli/exit-code.ts'
import { unservedDatabases, unservedWarning } from './config/checks/unserved-databases.ts'
import type { Config, Phase } from './config/config.ts'
import { configFromUrls, isReadOnce, type LoadedConfig, loadConfig } from './config/file/load.ts'
import { watchFile } from './config/file/watch.ts'
import { ProcessLog } from './observability/log.ts'
import { errorFields } from './observability/log-error.ts'
import { Sidecar } from './sidecar/sidecar.ts'

export interface ServeOptions {
  /** null: from the URLs. */
  readonly configPath: string | null
  readonly source?: string
  readonly target?: string
  readonly phase?: Phase
}

/** How long a graceful stop waits for commands under way and for the backlog. */
const GRACE_MS = 10_000
const LAST_WORDS_MS = 500
/** Longer than a process takes to end that has stopped. */
const STUCK_MS = 5_000

/**
 * `understudy serve`: builds every part from the configuration, in order; runs until a signal; stops them in the opposite order. Resolves with the exit code. SIGTERM or SIGINT drains and
 * exits 0, or 3 when a part did not stop as it should (the log says which), and by SIGKILL where a disk that hangs would keep it; a second one exits at once with 1; SIGHUP reloads.
 *
 * @throws UnderstudyError for whatever keeps it from starting, in one line
 */
export async function runServe(options: ServeOptions): Promise<number> {
  const { env } = process
  const reloads = new Reloads()
  const { configPath } = options
  const { config, text } = configPath === null ? fromUrls(options) : loadConfig(configPath, env)
  const isWatched = configPath !== null && !isReadOnce(configPath)
  // One that has gone is asked for, too: that it cannot be read is told as any other mistake, for the next start would end with it.
  const watcher = isWatched
    ? watchFile(configPath, () => reloads.ask(), { known: text, onGone: () => reloads.ask() })
    : null
  const log = new ProcessLog({ level: config.log.level, format: config.log.format })
  // Those of the start are in use for as long as the process is: the admin server's, and connections that were opened by them.
  const hideWith = (now: Config): void => log.hide([...new Set([...secretsOf(config), ...secretsOf(now)])])
  hideWith(config)
  const { promise: death, reject: die } = Promise.withResolvers<never>()
  const sidecar = new Sidecar({ configPath, config, version: VERSION, log, env, onDeath: die, onEntered: hideWith })
  let admin: AdminServer | null = null
  try {
    const ports = await sidecar.start()
    if (config.admin !== null) {
      const { host, port, token, tls } = config.admin
      admin = await startAdminServer({ control: sidecar, host, port, token, tls, log })
    }
    greet(config, ports, admin, log)
    log.info('understudy is running', { version: VERSION })
    sayWhenFilesAreFew(config, log)
    const unserved = unservedWarning(unservedDatabases(config))
    if (unserved !== null) log.warn(unserved)
    if (configPath !== null && !isWatched)
      log.warn('the configuration is no regular file: it was read once, is not watched, and cannot be reloaded', {
        file: configPath,
      })
    reloads.begin(() => void sidecar.reload().catch(() => {}))
    const signal = await Promise.race([untilSignal(), death])
    log.info('stopping: commands under way are answered, the backlog goes out', { signal })
    reloads.end()
    watcher?.close()
    const ended = await sidecar.stop(GRACE_MS)
    const closed = await closeAdmin(admin, log)
    log.info('stopped')
    await lastWords(log)
    return leave(ended && closed)
  } catch (error) {
    log.error('understudy cannot go on', errorFields(error))
    watcher?.close()
    await sidecar.stop(0)
    await closeAdmin(admin, log)
    await lastWords(log)
    throw error
  }
}

/** Gives the exit code. Whatever keeps the process, it ends. */
function leave(isDone: boolean): number {
  // Nothing is left to be done, but a thread may read a file of a disk that hangs (a job's). `process.exit` would wait for it as well.
  if (isDone) killLater()
  // What did not end must not keep the process.
  else setTimeout(() => process.exit(EXIT.failed), LAST_WORDS_MS).unref()
  return isDone ? EXIT.done : EXIT.failed
}

/** A reader of the log that takes nothing does not keep the process. */
async function lastWords(log: ProcessLog): Promise<void> {
  if (!(await log.drain())) killLater()
}

function killLater(): void {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), STUCK_MS).unref()
}

function closeAdmin(admin: AdminServer | null, log: ProcessLog): Promise<boolean> {
  return stopInOrder([{ part: 'admin', stop: () => admin?.close() }], GRACE_MS, (part, error) =>
    log.error('a part did not stop as it should', { part, ...errorFields(error) }),
  )
}

function fromUrls(options: ServeOptions): LoadedConfig {
  if (options.source === undefined) throw new UnderstudyError('USAGE', 'give --config FILE or --source URL')
  return configFromUrls({
    env: process.env,
    source: options.source,
    ...(options.target === undefined ? {} : { target: options.target }),
    ...(options.phase === undefined ? {} : { phase: options.phase }),
  })
}

/** The first lines: what a newcomer has to know. */
function greet(config: Config, ports: readonly number[], admin: AdminServer | null, log: ProcessLog): void {
  const lines = config.listen.map(({ endpoint, url }, i) =>
    endpoint.kind === 'unix'
      ? url
      : `redis://${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${ports[i]}`,
  )
  log.say(
    `Understudy: set REDIS_URL=${lines[0] ?? '-'}${lines.length > 1 ? ` (also ${lines.slice(1).join(', ')})` : ''}`,
  )
  log.say(`Understudy: admin and dashboard at ${admin?.url ?? '(off)'}`)
}

/** Who asks for a reload, by SIGHUP or by a change of the file, while everything is still being started is heard as soon as it runs. */
class Reloads {
  #reload: (() => void) | null = null
  #asked = false

  constructor() {
    process.on('SIGHUP', () => this.ask())
  }

  ask(): void {
    this.#asked = true
    this.#reload?.()
  }

  begin(reload: () => void): void {
    this.#reload = reload
    if (this.#asked) reload()
  }

  end(): void {
    this.#reload = null
  }
}

/** Resolves with the first SIGTERM or SIGINT; from then on another one ends the process at once. */
function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      process.on('SIGTERM', exitNow)
      process.on('SIGINT', exitNow)
      resolve(signal)
    }
    const exitNow = (): never => process.exit(1)
    process.once('SIGTERM', stop)
    process.once('SIGINT', stop)
  })
}

function secretsOf(config: Config): string[] {
  const secrets = Object.values(config.stores).flatMap(({ password, sentinel }) => [
    password,
    sentinel?.password ?? null,
  ])
  return [...secrets, config.admin?.token ?? null].filter((secret) => secret !== null)
}

/** Each client is a file, and so is each connection to a store: a client that comes when there are no more is disconnected without a word. */
function sayWhenFilesAreFew({ clients }: Config, log: ProcessLog): void {
  const limit = openFilesLimit()
  const wanted = clients.maxClients + clients.dedicatedConnections + OTHER_FILES
  if (limit === null || limit >= wanted) return
  log.warn(
    'fewer files may be open than clients.max and clients.dedicatedConnections need: raise the limit (ulimit -n, LimitNOFILE of systemd), or lower these',
    { limit, count: wanted },
  )
}

/** Shared connections, databases of stateDir, logs, idle connections. */
const OTHER_FILES = 500
