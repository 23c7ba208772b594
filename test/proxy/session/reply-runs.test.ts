import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { startRedis } from '../../support/redis.ts'

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

const packet = (...commands: (string | number)[][]): Buffer =>
  Buffer.concat(commands.map((command) => encodeCommand(command)))

test('replies that come together, before their turn, wait for it one by one', async () => {
  const fast = await startRedis()
  const waiting: Socket[] = []
  const slow = await FakeStore.start(([name], socket) => {
    if (name !== 'GET') return '-ERR no\r\n'
    waiting.push(socket)
    return null
  })
  const path = await startDataPath({
    stores: { fast, slow },
    routes: [
      { name: 'all', source: 'fast' },
      { name: 'slow', keys: ['slow:{rest}'], source: 'slow' },
    ],
  })
  cleanUps.push(
    () => fast.stop(),
    () => slow.stop(),
    () => path.stop(),
  )
  const client = await path.raw()
  expect(await client.ask('MSET', 'a', 1, 'b', 22, 'c', 333)).toBe('+OK\r\n')
  client.send(packet(['GET', 'slow:k'], ['GET', 'a'], ['GET', 'b'], ['GET', 'none'], ['GET', 'c'], ['GET', 'slow:k']))
  await eventually(() => {
    expect(path.runtime.stats().routes['all']!.counters.primaryOk).toBe(5)
    expect(waiting).toHaveLength(2)
  })
  for (const socket of waiting) socket.write('$1\r\nx\r\n')
  const replies: string[] = []
  for (let i = 0; i < 6; i++) replies.push(`${await client.next()}`)
  expect(replies).toEqual(['$1\r\nx\r\n', '$1\r\n1\r\n', '$2\r\n22\r\n', '$-1\r\n', '$3\r\n333\r\n', '$1\r\nx\r\n'])
  expect(path.runtime.stats().routes['all']!.inFlight).toBe(0)
})

test('errors among the replies of a pipeline keep their places, and everything is counted', async () => {
  const only = await startRedis()
  const path = await startDataPath({ stores: { only } })
  cleanUps.push(
    () => only.stop(),
    () => path.stop(),
  )
  const clients = await Promise.all([path.raw(), path.raw(), path.raw()])
  const expected = [
    '+OK\r\n',
    '$1\r\n1\r\n',
    ':2\r\n',
    /^-WRONGTYPE /,
    '$1\r\n2\r\n',
    '$1\r\n2\r\n',
    /^-ERR value /,
    '$-1\r\n',
  ]
  for (const [i, client] of clients.entries()) {
    const key = `k${i}`
    client.send(
      packet(
        ['SET', key, 1],
        ['GET', key],
        ['INCR', key],
        ['LPUSH', key, 1],
        ['GET', key],
        ['GETEX', key],
        ['INCRBY', key, 'x'],
        ['GET', 'none'],
      ),
    )
  }
  for (const client of clients) {
    for (const reply of expected) {
      if (typeof reply === 'string') expect(`${await client.next()}`).toBe(reply)
      else expect(`${await client.next()}`).toMatch(reply)
    }
  }
  const { counters, inFlight, primaryTimes } = path.runtime.stats().routes['all']!
  expect([counters.primaryOk, counters.primaryError, inFlight]).toEqual([18, 6, 0])
  expect(primaryTimes.counts.reduce((sum, count) => sum + count, 0)).toBe(24)
})

test('replies that a client does not want are not sent, whether they come alone or together', async () => {
  const only = await startRedis()
  const path = await startDataPath({ stores: { only } })
  cleanUps.push(
    () => only.stop(),
    () => path.stop(),
  )
  const client = await path.raw()
  const gets = Array.from({ length: 20 }, (_, i) => ['SET', `k${i}`, i])
  client.send(packet(['CLIENT', 'REPLY', 'OFF'], ...gets))
  client.send(packet(...gets, ['CLIENT', 'REPLY', 'ON'], ['GET', 'k7'], ['GET', 'k8']))
  expect([`${await client.next()}`, `${await client.next()}`, `${await client.next()}`]).toEqual([
    '+OK\r\n',
    '$1\r\n7\r\n',
    '$1\r\n8\r\n',
  ])
})
