import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'

const WRONGPASS = '-WRONGPASS invalid username-password pair or user is disabled.\r\n'

let store: FakeStore
let path: DataPathUnderTest

afterEach(async () => {
  await path?.stop()
  await store?.stop()
})

test('credentials are judged where no reply is owed: a server since 7.2 says nothing to an AUTH that it refuses behind one that has not left yet', async () => {
  let password = 'right'
  /** They owe the reply to a GET. */
  const owing = new Set<Socket>()
  store = await FakeStore.start(([name, , given], socket) => {
    if (name === 'GET') owing.add(socket)
    if (name === 'GET') return null
    if (name !== 'AUTH' || given === password) return '+OK\r\n'
    return owing.has(socket) ? null : WRONGPASS
  })
  path = await startDataPath({ stores: { store }, clients: { auth: 'passthrough' } })
  const [first, second, third] = [await path.raw(), await path.raw(), await path.raw()]
  expect(await first.ask('AUTH', 'user', 'right')).toBe('+OK\r\n')
  first.command('GET', 'key')
  await eventually(() => expect(owing.size).toBe(1))

  expect(await second.ask('AUTH', 'user', 'right')).toBe('+OK\r\n')
  password = 'another'
  expect(await third.ask('AUTH', 'user', 'right')).toBe(WRONGPASS)
  expect(await second.ask('AUTH', 'user', 'right')).toBe(WRONGPASS)

  for (const socket of owing) socket.write('$5\r\nvalue\r\n')
  expect(await first.text()).toBe('$5\r\nvalue\r\n')
})

test('a client whose connection in another database is lost is told in the same way that its password is not taken any more', async () => {
  let password = 'right'
  /** Replies are on their way to them, as long as what has come in one piece is executed. */
  const owing = new Set<Socket>()
  const selected = new Set<Socket>()
  store = await FakeStore.start(([name, word, given], socket) => {
    if (name === 'AUTH' && given !== password) return owing.has(socket) ? null : WRONGPASS
    if (name === 'SELECT' && word === '3') selected.add(socket)
    owing.add(socket)
    setImmediate(() => owing.delete(socket))
    return '+OK\r\n'
  })
  path = await startDataPath({ stores: { store }, clients: { auth: 'passthrough' } })
  const client = await path.raw()
  expect(await client.ask('AUTH', 'user', 'right')).toBe('+OK\r\n')
  expect(await client.ask('SELECT', 3)).toBe('+OK\r\n')
  expect(await client.ask('SET', 'key', 'value')).toBe('+OK\r\n')
  password = 'another'
  for (const socket of selected) socket.end()
  await eventually(async () => expect(await client.ask('SET', 'key', 'value')).toBe(WRONGPASS))
})
