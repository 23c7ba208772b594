import { expect, test } from 'vitest'
import { type ConnectionKind, IdleConnections } from '../../src/upstream/idle-connections.ts'
import type { Pipeline } from '../../src/upstream/pipeline/pipeline.ts'

const KIND: ConnectionKind = { database: 0, protocol: 2, user: null }

/** A pool whose connections come about at once, or never. */
function pool(): { idle: IdleConnections; opened: Pipeline[]; connection: () => Pipeline; down: { is: boolean } } {
  const opened: Pipeline[] = []
  const down = { is: false }
  const connection = (): Pipeline => {
    const made = {
      state: 'idle',
      connect: () => (made.state = down.is ? 'closed' : 'up'),
      close: () => (made.state = 'closed'),
    }
    return made as unknown as Pipeline
  }
  const idle = new IdleConnections(() => {
    const made = connection()
    opened.push(made)
    return made
  })
  return { idle, opened, connection, down }
}

/** One that a client has used and given back. */
function used({ idle, connection }: ReturnType<typeof pool>, nowMs: number, kind = KIND): Pipeline {
  const pipeline = connection()
  pipeline.connect()
  expect(idle.give(kind, pipeline, nowMs)).toBe(true)
  return pipeline
}

test('nothing is opened before it was needed; then two of that kind are ready', () => {
  const of = pool()
  of.idle.tick(0)
  expect(of.opened).toHaveLength(0)
  const first = used(of, 0)
  of.idle.tick(20)
  expect(of.opened).toHaveLength(1)
  expect(of.idle.take(KIND)).toBe(first)
  of.idle.tick(40)
  expect(of.opened).toHaveLength(2)
  expect(of.idle.take({ ...KIND, database: 1 })).toBeUndefined()
  expect(of.idle.take({ ...KIND, user: { key: 'u', login: null, before: null } })).toBeUndefined()
})

test('what a load needs again and again stays open; what it does not is closed after a while, and all of it at last', () => {
  const of = pool()
  const many = Array.from({ length: 100 }, () => used(of, 0))
  const open = (): number => [...many, ...of.opened].filter(({ state }) => state === 'up').length
  for (let nowMs = 1_000; nowMs <= 40_000; nowMs += 1_000) {
    const taken = Array.from({ length: 50 }, () => of.idle.take(KIND)!)
    of.idle.tick(nowMs)
    for (const pipeline of taken) of.idle.give(KIND, pipeline, nowMs)
  }
  expect(of.opened).toHaveLength(0)
  expect(open()).toBe(52)
  for (let nowMs = 41_000; nowMs <= 90_000; nowMs += 1_000) of.idle.tick(nowMs)
  expect(open()).toBe(2)
  of.idle.tick(100_000)
  expect(open()).toBe(0)
  of.idle.tick(101_000)
  expect(of.opened).toHaveLength(0)
})

test('a store that lets none in is not asked again until a client’s own connection has worked', () => {
  const of = pool()
  used(of, 0)
  of.down.is = true
  for (let nowMs = 20; nowMs < 2_000; nowMs += 20) of.idle.tick(nowMs)
  expect(of.opened).toHaveLength(1)
  of.down.is = false
  of.idle.give(KIND, of.idle.take(KIND)!, 2_000)
  of.idle.tick(2_020)
  expect(of.opened).toHaveLength(2)
})

test('there is a limit for all kinds together', () => {
  const of = pool()
  for (let i = 0; i < 256; i++) used(of, 0, { ...KIND, database: i % 3 })
  expect(of.idle.give(KIND, of.connection(), 0)).toBe(false)
  of.idle.closeAll('the test is over')
  expect(of.idle.take(KIND)).toBeUndefined()
})
