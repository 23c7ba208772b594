import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../../support/understudy.ts'

const MB = 1024 * 1024
const HUGE = 512 * MB

let redis: RedisServer
let understudy: UnderstudyProcess

beforeAll(async () => {
  redis = await startRedis()
  understudy = await startUnderstudy({
    stores: { only: { url: redis.url, timeout: '60s' } },
    routes: [{ name: 'all', keys: ['*'], source: 'only' }],
  })
  // 512 MB of zeros with two marks, made by the server itself.
  const admin = redis.client()
  await admin.setrange('huge', HUGE - 4, 'last')
  await admin.setrange('huge', 0, 'first')
})

afterAll(async () => {
  await understudy?.stop()
  await redis?.stop()
})

/** Resident memory of Understudy, MB. */
function memory(): number {
  const status = readFileSync(`/proc/${understudy.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024
}

/** The highest there was since the last reset, MB. */
function peak(): number {
  const status = readFileSync(`/proc/${understudy.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)![1]) / 1024
}

describe('a value of 512 MB', () => {
  test('comes down whole, with bounded memory, while others go on', async () => {
    const before = Math.max(memory(), peak())
    const reader = await Reader.open()
    const other = await RawClient.open(understudy.port)
    reader.socket.write('*2\r\n$3\r\nGET\r\n$4\r\nhuge\r\n')
    let paused = false
    while (!reader.complete) {
      expect(await other.ask('PING')).toBe('+PONG\r\n')
      await new Promise((resolve) => setImmediate(resolve))
      if (paused || reader.bytes < HUGE / 2) continue
      // In the middle of it, for as long as others need to have said something.
      paused = true
      reader.socket.pause()
      for (let i = 0; i < 20; i++) expect(await other.ask('ECHO', i)).toBe(`$${`${i}`.length}\r\n${i}\r\n`)
      expect(reader.complete).toBe(false)
      reader.socket.resume()
    }
    expect(paused).toBe(true)
    expect(reader.head.startsWith(`$${HUGE}\r\nfirst`)).toBe(true)
    expect(reader.tail.endsWith('last\r\n')).toBe(true)
    reader.socket.write('*1\r\n$4\r\nPING\r\n')
    await eventually(() => expect(reader.tail.endsWith('last\r\n+PONG\r\n')).toBe(true))
    reader.socket.destroy()
    other.destroy()
    expect(peak() - before).toBeLessThan(100)
  })

  test('costs no memory while its client does not read, and nobody else waits for it', async () => {
    const before = Math.max(memory(), peak())
    const lazy = await Reader.open()
    lazy.socket.write('*2\r\n$3\r\nGET\r\n$4\r\nhuge\r\n')
    lazy.socket.pause()
    const other = await RawClient.open(understudy.port)
    for (let i = 0; i < 500; i++) expect(await other.ask('ECHO', i)).toBe(`$${`${i}`.length}\r\n${i}\r\n`)
    expect(peak() - before).toBeLessThan(100)
    lazy.socket.resume()
    await eventually(() => expect(lazy.complete).toBe(true))
    expect(lazy.tail.endsWith('last\r\n')).toBe(true)
    lazy.socket.destroy()
    other.destroy()
  })

  test('is let go when its client goes', async () => {
    const lazy = await Reader.open()
    lazy.socket.write('*2\r\n$3\r\nGET\r\n$4\r\nhuge\r\n')
    await eventually(() => expect(lazy.bytes).toBeGreaterThan(MB))
    lazy.socket.destroy()
    const admin = redis.client()
    await eventually(async () => {
      const list = (await admin.client('LIST')) as string
      const owed = [...list.matchAll(/omem=(\d+)/g)].map(([, bytes]) => Number(bytes))
      expect(Math.max(...owed)).toBeLessThan(MB)
    })
    const next = await RawClient.open(understudy.port)
    expect(await next.ask('GETRANGE', 'huge', 0, 4)).toBe('$5\r\nfirst\r\n')
    next.destroy()
  })
})

describe('a value of 512 MB on its way up', () => {
  const head = Buffer.from(`*5\r\n$3\r\nSET\r\n$5\r\nheavy\r\n$${HUGE}\r\n`)
  const end = Buffer.from('\r\n$2\r\nPX\r\n$7\r\n1000000\r\n')

  test('reaches the store with bounded memory while others go on, and its reply keeps its place', async () => {
    const before = Math.max(memory(), peak())
    const writer = await RawClient.open(understudy.port)
    const other = await RawClient.open(understudy.port)
    writer.command('INCR', 'before')
    writer.send(head)
    const piece = Buffer.alloc(MB, 'v')
    for (let i = 0; i < HUGE / MB; i++) {
      if (!writer.socket.write(piece)) await new Promise((resolve) => writer.socket.once('drain', resolve))
      if (i % 10 === 0) expect(await other.ask('ECHO', i)).toBe(`$${`${i}`.length}\r\n${i}\r\n`)
    }
    writer.send(end)
    writer.command('STRLEN', 'heavy')
    expect(await writer.take(3)).toEqual([':1\r\n', '+OK\r\n', `:${HUGE}\r\n`])
    expect(await other.ask('GETRANGE', 'heavy', HUGE - 3, -1)).toBe('$3\r\nvvv\r\n')
    expect(await redis.client().pttl('heavy')).toBeGreaterThan(900_000)
    expect(peak() - before).toBeLessThan(100)
    writer.destroy()
    other.destroy()
  })

  test('is executed by nobody when its client goes half-way', async () => {
    const admin = redis.client()
    await admin.set('heavy', 'old')
    const writer = await RawClient.open(understudy.port)
    writer.send(head)
    writer.send(Buffer.alloc(20 * MB, 'v'))
    const sees = async (): Promise<number> => {
      const list = (await admin.client('LIST')) as string
      return Math.max(...[...list.matchAll(/qbuf=(\d+)/g)].map(([, bytes]) => Number(bytes)))
    }
    await eventually(async () => expect(await sees()).toBeGreaterThan(MB))
    writer.destroy()
    await eventually(async () => expect(await sees()).toBeLessThan(MB))
    expect(await admin.get('heavy')).toBe('old')
  })
})

/** Reads a reply of 512 MB without keeping it. */
class Reader {
  readonly socket: Socket
  bytes = 0
  head = ''
  tail = ''

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length
      if (this.head.length < 32) this.head += chunk.toString('latin1', 0, 64)
      this.tail = (this.tail + chunk.toString('latin1', Math.max(0, chunk.length - 32))).slice(-64)
    })
  }

  static async open(): Promise<Reader> {
    const socket = connect({ port: understudy.port, host: '127.0.0.1', noDelay: true })
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new Reader(socket)
  }

  get complete(): boolean {
    return this.bytes >= HUGE + `$${HUGE}\r\n\r\n`.length
  }
}
