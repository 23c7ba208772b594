import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { FakeStore } from '../support/fake-store.ts'

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
