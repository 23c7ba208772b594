import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { spawnTethered } from '../../../src/base/tethered-child.ts'
import type { ListenConfig } from '../../../src/config/config.ts'
import { end } from '../../support/child.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let redis: RedisServer
let dir: string
let socket: string
let path: DataPathUnderTest | null = null

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'understudy-test-unix-'))
  socket = join(dir, 'understudy.sock')
  redis = await startRedis({ args: ['--unixsocket', join(dir, 'redis.sock')] })
})

afterAll(async () => {
  await redis?.stop()
  rmSync(dir, { recursive: true, force: true })
})

afterEach(async () => {
  await path?.stop()
  path = null
})

describe('unix sockets', () => {
  test('on both sides carry a session', async () => {
    path = await startDataPath({
      stores: { redis: { port: 1, endpoints: [{ kind: 'unix', path: join(dir, 'redis.sock') }] } },
      listen: listenOn(socket),
    })
    const raw = await RawClient.openUnix(socket)
    const large = Buffer.alloc(1_000_000, 'x')
    expect(await raw.ask('SET', 'large', large)).toBe('+OK\r\n')
    raw.command('GET', 'large')
    expect((await raw.next()).length).toBe(1_000_012)
    raw.destroy()
  })

  test('are what CLIENT LIST names as the address, as Redis does', async () => {
    path = await startDataPath({ stores: { redis }, listen: listenOn(socket) })
    for (const file of [socket, join(dir, 'redis.sock')]) {
      const raw = await RawClient.openUnix(file)
      expect(await raw.ask('CLIENT', 'LIST')).toMatch(new RegExp(` addr=${file}:0 laddr=${file}:0 .* flags=U `))
      expect(await raw.ask('CLIENT', 'KILL', 'ADDR', `${file}:0`, 'SKIPME', 'yes')).toBe(':0\r\n')
      raw.destroy()
    }
  })

  test('have the mode that the configuration says, and a changed one at once', async () => {
    path = await startDataPath({ stores: { redis }, listen: listenOn(socket, 0o600) })
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    const config = { ...path.config, listen: [{ ...path.config.listen[0]!, mode: 0o666 }] }
    const change = { config, endpoints: {}, generation: 1, hold: [], needsEqual: [], forget: [], holdTimeoutMs: 1_000 }
    expect(await path.runtime.apply(change)).toMatchObject({ ok: true })
    expect(statSync(socket).mode & 0o777).toBe(0o666)
  })

  test('whose owner was killed are taken over, those in use are not', async () => {
    const owner = spawnTethered(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(socket)})`,
    ])
    await eventually(() => expect(existsSync(socket)).toBe(true))
    await expect(startDataPath({ stores: { redis }, listen: listenOn(socket) })).rejects.toThrow(/address is in use/)
    await end(owner, 'SIGKILL')
    expect(existsSync(socket)).toBe(true)
    path = await startDataPath({ stores: { redis }, listen: listenOn(socket) })
    const raw = await RawClient.openUnix(socket)
    expect(await raw.ask('PING')).toBe('+PONG\r\n')
    raw.destroy()
  })

  test('never replace a file that is not a socket', async () => {
    const file = join(dir, 'precious')
    writeFileSync(file, 'data')
    await expect(startDataPath({ stores: { redis }, listen: listenOn(file) })).rejects.toThrow(/not a socket/)
    expect(readFileSync(file, 'utf8')).toBe('data')
  })

  test('in a directory that is missing are refused, and it is named', async () => {
    const listen = listenOn(join(dir, 'missing', 'socket'))
    await expect(startDataPath({ stores: { redis }, listen })).rejects.toThrow(
      `there is no directory ${join(dir, 'missing')}: make it`,
    )
  })

  test('are gone when Understudy has stopped', async () => {
    path = await startDataPath({ stores: { redis }, listen: listenOn(socket) })
    await path.stop()
    path = null
    expect(existsSync(socket)).toBe(false)
  })
})

function listenOn(file: string, mode: number | null = null): Partial<ListenConfig> {
  return { url: `unix://${file}`, endpoint: { kind: 'unix', path: file }, mode }
}
