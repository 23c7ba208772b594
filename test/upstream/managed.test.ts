import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/config/config.ts'
import { ManagedServer, type ManagedServerOptions } from '../../src/upstream/managed.ts'
import { eventually } from '../support/eventually.ts'

describe('a managed redis-server', () => {
  let dir: string
  let lines: string[]
  const servers: ManagedServer[] = []
  const clients: Redis[] = []

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'understudy-test-managed-'))
    lines = []
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) client.disconnect()
    await Promise.all(servers.splice(0).map((server) => server.stop()))
    rmSync(dir, { recursive: true, force: true })
  })

  const log = {
    info: (fields: object, message: string) => lines.push(`info ${message} ${JSON.stringify(fields)}`),
    warn: (fields: object, message: string) => lines.push(`warn ${message} ${JSON.stringify(fields)}`),
  }
  const managed = (options: Partial<ManagedServerOptions> = {}) => {
    const server = new ManagedServer({ name: 'old', dataDir: null, log, ...options })
    servers.push(server)
    return server
  }
  const connect = (endpoint: Endpoint) => {
    if (endpoint.kind !== 'tcp') throw new Error('a managed server listens on TCP')
    const client = new Redis({
      host: endpoint.host,
      port: endpoint.port,
      retryStrategy: () => 10,
      maxRetriesPerRequest: null,
    })
    client.on('error', () => {})
    clients.push(client)
    return client
  }

  test('serves on loopback once it has started', async () => {
    const client = connect(await managed().start())
    expect(await client.set('k', 'v')).toBe('OK')
    expect(lines).toEqual([expect.stringContaining('info managed redis-server is up')])
  })

  test('takes another port when somebody else was faster to bind the first', async () => {
    const program = join(dir, 'beaten-once')
    const said = 'Warning: Could not create server TCP listening socket 127.0.0.1:1: bind: Address already in use'
    writeFileSync(
      program,
      `#!/bin/sh\nif mkdir '${dir}/beaten' 2>/dev/null; then echo '${said}'; exit 1; fi\nexec redis-server "$@"\n`,
    )
    chmodSync(program, 0o755)
    const client = connect(await managed({ program }).start())
    expect(await client.set('k', 'v')).toBe('OK')
    expect(existsSync(join(dir, 'beaten'))).toBe(true)
  })

  test('comes back on the same port when it dies', async () => {
    const server = managed()
    const client = connect(await server.start())
    const first = server.pid
    process.kill(first!, 'SIGKILL')
    await eventually(() => expect(lines.filter((line) => line.includes('is up'))).toHaveLength(2))
    expect(await client.ping()).toBe('PONG')
    expect(server.pid).not.toBe(first)
    expect(lines.filter((line) => line.startsWith('warn'))).toEqual([expect.stringMatching(/died.*SIGKILL/)])
  })

  test('keeps what was written across a crash when it has a data directory', async () => {
    const server = managed({ dataDir: join(dir, 'deep/data') })
    const client = connect(await server.start())
    await client.set('k', 'v')
    process.kill(server.pid!, 'SIGKILL')
    await eventually(() => expect(lines.filter((line) => line.includes('is up'))).toHaveLength(2))
    expect(await client.get('k')).toBe('v')
  })

  test('keeps what was written for the next sidecar when it has a data directory', async () => {
    const first = managed({ dataDir: dir })
    await connect(await first.start()).set('k', 'v')
    await first.stop()
    expect(await connect(await managed({ dataDir: dir }).start()).get('k')).toBe('v')
  })

  test('is gone when it was stopped, also while it waits to be restarted', async () => {
    const server = managed()
    await server.start()
    const pid = server.pid!
    await server.stop()
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)

    const crashed = managed()
    await crashed.start()
    process.kill(crashed.pid!, 'SIGKILL')
    await eventually(() => expect(lines.at(-1)).toMatch(/^warn/))
    await crashed.stop()
    expect(crashed.pid).toBeNull()
    expect(lines.at(-1)).toMatch(/^warn/)
  })

  test('ends although it is frozen', async () => {
    const server = managed()
    await server.start()
    const pid = server.pid!
    process.kill(pid, 'SIGSTOP')
    await server.stop()
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
  })

  test('does not outlive a sidecar that was killed', async () => {
    const script = `
      import { ManagedServer } from '${new URL('../../src/upstream/managed.ts', import.meta.url)}'
      const server = new ManagedServer({ name: 'old', dataDir: null, log: { info() {}, warn() {} } })
      const endpoint = await server.start()
      console.log(endpoint.port)
      setInterval(() => {}, 1000)`
    const sidecar = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(sidecar.stdout, 'data')
    const endpoint: Endpoint = { kind: 'tcp', host: '127.0.0.1', port: Number(`${line}`) }
    expect(await connect(endpoint).ping()).toBe('PONG')
    sidecar.kill('SIGKILL')
    await eventually(() => expect(isListening(endpoint.port)).resolves.toBe(false))
  })

  test('says what to install when redis-server is missing', async () => {
    const starting = managed({ program: 'redis-server-of-no-package' }).start()
    await expect(starting).rejects.toMatchObject({ code: 'SERVER_MISSING', message: /not in PATH.*apt-get install/s })
  })

  test('says what the server said when it does not start', async () => {
    const program = join(dir, 'broken-server')
    writeFileSync(program, '#!/bin/sh\necho "cannot allocate a thing" >&2\nexit 1\n')
    chmodSync(program, 0o755)
    const starting = managed({ program }).start()
    await expect(starting).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: /cannot allocate a thing/ })
    expect(lines).toEqual([])
  })

  test('refuses a data directory that cannot be made', async () => {
    writeFileSync(join(dir, 'file'), '')
    const starting = managed({ dataDir: join(dir, 'file/data') }).start()
    await expect(starting).rejects.toMatchObject({ code: 'STATE_UNUSABLE' })
    expect(existsSync(join(dir, 'file/data'))).toBe(false)
  })
})

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
