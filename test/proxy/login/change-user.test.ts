import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { FakeStore } from '../../support/fake-store.ts'
import type { RawClient } from '../../support/raw-client.ts'

const OK = '+OK\r\n'
const HELLO_3 = '%1\r\n$5\r\nproto\r\n:3\r\n'

let store: FakeStore
let path: DataPathUnderTest

/** Of connections on which it has said something that has not left yet, a server since 7.2 leaves out that it refuses an AUTH. */
const silent = new Set<Socket>()

afterEach(async () => {
  await path?.stop()
  await store?.stop()
  silent.clear()
})

async function loggedIn(connections: 'shared' | 'dedicated'): Promise<RawClient> {
  store = await FakeStore.start(
    ([name, word = ''], socket) => {
      switch (name) {
        case 'AUTH':
          return silent.has(socket) ? null : OK
        case 'HELLO':
          return HELLO_3
        case 'SUBSCRIBE':
          silent.add(socket)
          return `>3\r\n$9\r\nsubscribe\r\n$1\r\n${word}\r\n:1\r\n`
        case 'GET':
          silent.add(socket)
          return `$1\r\n${word}\r\n`
        default:
          return OK
      }
    },
    true,
    (words, socket) => (silent.has(socket) ? HELLO_3 : words),
  )
  path = await startDataPath({ stores: { store }, clients: { auth: 'passthrough' }, listen: { connections } })
  const client = await path.raw()
  expect(await client.ask('HELLO', 3, 'AUTH', 'first', 'password')).toMatch(/^%/)
  return client
}

test('a client whose own connection refuses its log-in without a word is disconnected: no reply is taken for that of another command', async () => {
  const client = await loggedIn('dedicated')
  expect(await client.ask('GET', 'a')).toBe('$1\r\na\r\n')
  client.command('AUTH', 'second', 'password')
  for (const key of ['b', 'c']) client.command('GET', key)
  expect(await client.text()).toBe(OK)
  await client.closed
  while (client.unread > 0) expect(await client.text()).toMatch(/^-ERR Understudy/)
})

test('a subscriber whose connection refuses its log-in without a word is disconnected, and does not wait for an answer in vain', async () => {
  const client = await loggedIn('shared')
  expect(await client.ask('SUBSCRIBE', 'a')).toMatch(/^>3/)
  expect(await client.ask('AUTH', 'second', 'password')).toBe(OK)
  client.command('SUBSCRIBE', 'b')
  await client.closed
  expect(client.unread).toBe(0)
})
