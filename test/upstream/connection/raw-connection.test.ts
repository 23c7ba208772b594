import type { Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { RawConnection } from '../../../src/upstream/connection/raw-connection.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'

afterEach(() => {
  vi.useRealTimers()
})

test('a store that is there has the time of any answer for its greeting, not that of a connection', async () => {
  const asked: Socket[] = []
  const fake = await FakeStore.start(([name], socket) => {
    if (name === 'SYNC') return 'stream'
    asked.push(socket)
    return null
  })
  const { slow } = configOf({
    stores: { slow: { port: fake.port, password: 'secret', connectTimeoutMs: 1_000, timeoutMs: 60_000 } },
  }).stores
  const endpoint = { kind: 'tcp', host: '127.0.0.1', port: fake.port } as const
  // What the test waits for comes by sockets; time passes when it says so.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const closed: string[] = []
  let received = ''
  const open = (): RawConnection =>
    new RawConnection(slow!, endpoint, null, {
      bytes: (buf, length) => {
        received += buf.toString('latin1', 0, length)
      },
      closed: (reason) => closed.push(reason),
      drained: () => {},
    })
  const one = open()
  const sync = encodeCommand(['SYNC'])
  one.write(sync, 0, sync.length)
  await eventually(() => expect(asked).toHaveLength(1))
  vi.advanceTimersByTime(59_000)
  asked[0]!.write('+OK\r\n')
  await eventually(() => expect(received).toBe('stream'))
  vi.advanceTimersByTime(120_000)
  expect(closed).toEqual([])
  const other = open()
  await eventually(() => expect(asked).toHaveLength(2))
  vi.advanceTimersByTime(61_000)
  expect(closed).toEqual(['no connection within 60000 ms'])
  one.close()
  other.close()
  await fake.stop()
})
