import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { mismatch } from './fake-control.ts'
import { startTestServer, type TestServer } from './test-server.ts'

const STATUS_INTERVAL_MS = 20
let server: TestServer

beforeEach(async () => {
  server = await startTestServer({ statusIntervalMs: STATUS_INTERVAL_MS })
})
afterEach(() => server.close())

interface Received {
  event: string
  data: unknown
}

/** Listens to the events; `received` grows as they come. */
async function listen() {
  const aborter = new AbortController()
  const response = await fetch(`${server.url}/api/v1/events`, { signal: aborter.signal })
  const received: Received[] = []
  const ended = (async () => {
    let text = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      const blocks = text.split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const match = /^event: (.+)\ndata: (.+)$/.exec(block)
        if (match !== null) received.push({ event: match[1]!, data: JSON.parse(match[2]!) })
      }
    }
  })().catch(() => undefined)
  return { response, received, ended, stop: () => aborter.abort() }
}

const named = (received: Received[], name: string) => received.filter(({ event }) => event === name)

describe('GET /api/v1/events', () => {
  test('gives the status at once and again and again', async () => {
    const listener = await listen()
    expect(listener.response.headers.get('content-type')).toBe('text/event-stream')
    await eventually(() => expect(named(listener.received, 'status').length).toBeGreaterThan(3))
    expect(listener.received[0]!.data).toEqual(await server.control.status())
    listener.stop()
  })

  test('gives mismatches, phases and reloads as they happen, to every listener', async () => {
    const listeners = [await listen(), await listen()]
    server.control.emit({ type: 'mismatch', data: mismatch({ id: 9, key: 'a\nb' }) })
    server.control.emit({ type: 'reload', data: { successful: false, error: 'line 3' } })
    for (const { received, stop } of listeners) {
      await eventually(() => expect(named(received, 'reload')).toHaveLength(1))
      expect(named(received, 'mismatch')[0]!.data).toEqual(mismatch({ id: 9, key: 'a\nb' }))
      stop()
    }
  })

  test('nothing is read while nobody listens, and one subscription serves all', async () => {
    const listeners = [await listen(), await listen()]
    expect(server.control.listeners.size).toBe(1)
    for (const { stop } of listeners) stop()
    await eventually(() => expect(server.control.listeners.size).toBe(0))
    const reads = server.control.statusReads
    // A timer like the server's, begun after it: had that one gone on, it would have come first each time.
    let rounds = 0
    const likeIt = setInterval(() => rounds++, STATUS_INTERVAL_MS)
    await eventually(() => expect(rounds).toBeGreaterThan(3))
    clearInterval(likeIt)
    expect(server.control.statusReads).toBe(reads)
  })

  test('goes on when the status cannot be read for a while', async () => {
    const listener = await listen()
    await eventually(() => expect(named(listener.received, 'status')).not.toHaveLength(0))
    server.control.failure = new Error('the data path does not answer')
    const reads = server.control.statusReads
    await eventually(() => expect(server.control.statusReads).toBeGreaterThan(reads + 2))
    server.control.failure = null
    const before = named(listener.received, 'status').length
    await eventually(() => expect(named(listener.received, 'status').length).toBeGreaterThan(before))
    listener.stop()
  })

  test('a listener that does not read costs bounded memory, loses events, and is told how many', async () => {
    const { hostname, port } = new URL(server.url)
    const socket = connect(Number(port), hostname)
    socket.write('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await eventually(() => expect(server.control.listeners.size).toBe(1))
    socket.pause()
    const detail = 'x'.repeat(10_000)
    for (let id = 0; id < 3000; id++) server.control.emit({ type: 'mismatch', data: mismatch({ id, detail }) })
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk) => (text += chunk))
    socket.resume()
    await eventually(() => expect(text).toMatch(/event: dropped\ndata: \{"count":\d+\}/))
    const dropped = Number(/event: dropped\ndata: \{"count":(\d+)\}/.exec(text)![1])
    const delivered = text.match(/event: mismatch/g)?.length ?? 0
    expect(delivered).toBeGreaterThan(0)
    expect(delivered).toBeLessThan(1500)
    expect(dropped).toBeGreaterThanOrEqual(3000 - delivered)
    socket.destroy()
  })

  test('closing the server ends the streams', async () => {
    const listener = await listen()
    await server.close()
    await listener.ended
    expect(server.control.listeners.size).toBe(0)
  })
})
