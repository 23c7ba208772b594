import { describe, expect, test } from 'vitest'
import { type DirtyKey, DirtySet } from '../../src/mirror/dirty-set.ts'
import { type Route, RouteState } from '../../src/routing/route.ts'

const one = { name: 'one', state: new RouteState('one') } as Route
const other = { name: 'other', state: new RouteState('other') } as Route
const key = (name: string | number): Buffer => Buffer.from(String(name))

function takeAll(set: DirtySet, route: string): DirtyKey[] {
  const taken: DirtyKey[] = []
  for (let entry = set.take(route); entry !== undefined; entry = set.take(route)) taken.push(entry)
  return taken
}

describe('a mark', () => {
  test('holds for one key of one database of one route', () => {
    const set = new DirtySet(10)
    set.mark(one, 0, key('k'), 'overlap', 1)
    set.mark(one, 1, key('k'), 'overlap', 1)
    set.mark(other, 0, key('k'), 'overlap', 1)
    expect(set.size).toBe(3)
    expect([set.count('one'), set.count('other'), set.count('nobody')]).toEqual([2, 1, 0])
    expect(set.has('one', 1, key('k'))).toBe(true)
    expect(set.has('other', 1, key('k'))).toBe(false)
    expect(set.has('one', 0, key('K'))).toBe(false)
  })

  test('of a key that is bytes is not one of another', () => {
    const set = new DirtySet(10)
    set.mark(one, 0, Buffer.from([0xff]), 'overlap', 1)
    expect(set.has('one', 0, Buffer.from([0xff]))).toBe(true)
    expect(set.has('one', 0, Buffer.from([0xfe]))).toBe(false)
    expect(set.has('one', 0, Buffer.from('\u{fffd}'))).toBe(false)
  })

  test('is told once, and its end once', () => {
    const told: string[] = []
    const set = new DirtySet(10, (entry, dirty) => told.push(`${entry.key} ${dirty}`))
    set.mark(one, 0, key('k'), 'overlap', 1)
    set.mark(one, 0, key('k'), 'shadow-down', 2)
    const entry = set.take('one')!
    expect(entry).toMatchObject({ reason: 'shadow-down', sinceMs: 1, version: 2 })
    set.copied(entry, 2)
    set.copied(entry, 2)
    expect(told).toEqual(['k true', 'k false'])
    expect(set.size).toBe(0)
  })
})

describe('a copy', () => {
  test('clears the key only if no mark came after it had been begun', () => {
    const set = new DirtySet(10)
    set.mark(one, 0, key('k'), 'overlap', 1)
    const entry = set.take('one')!
    const { version } = entry
    set.mark(one, 0, key('k'), 'overlap', 2)
    expect(set.copied(entry, version)).toBe(false)
    expect(set.has('one', 0, key('k'))).toBe(true)
    const again = set.take('one')!
    expect(again).toBe(entry)
    expect(set.copied(again, again.version)).toBe(true)
    expect(set.has('one', 0, key('k'))).toBe(false)
  })

  test('that is under way is not begun twice', () => {
    const set = new DirtySet(10)
    set.mark(one, 0, key('k'), 'overlap', 1)
    set.take('one')
    set.mark(one, 0, key('k'), 'overlap', 2)
    expect(set.take('one')).toBeUndefined()
  })

  test('takes the oldest first; one that failed is behind those that did not, until its time has come', () => {
    const set = new DirtySet(10)
    for (const name of ['a', 'b', 'c']) set.mark(one, 0, key(name), 'overlap', 1)
    set.postpone(set.take('one')!, 1_000, 200)
    expect(takeAll(set, 'one').map((entry) => String(entry.key))).toEqual(['b', 'c'])
    set.wake(1_199)
    expect(set.take('one')).toBeUndefined()
    set.wake(1_200)
    expect(String(set.take('one')!.key)).toBe('a')
  })

  test('of a route that was forgotten meanwhile changes nothing', () => {
    const set = new DirtySet(10)
    set.mark(one, 0, key('a'), 'overlap', 1)
    set.mark(one, 0, key('b'), 'overlap', 1)
    const [a, b] = takeAll(set, 'one')
    set.forget('one')
    set.mark(one, 0, key('a'), 'overlap', 2)
    expect(set.copied(a!, 1)).toBe(true)
    set.postpone(b!, 1, 5)
    set.wake(100)
    expect(takeAll(set, 'one').map((entry) => String(entry.key))).toEqual(['a'])
    expect(set.size).toBe(1)
  })
})

describe('bounds', () => {
  test('beyond the limit the route as a whole is remembered, loudly and once; other routes are not affected', () => {
    const overflowed: string[] = []
    const set = new DirtySet(3, null, (route) => overflowed.push(route))
    for (let i = 0; i < 10; i++) set.mark(one, 0, key(i), 'overlap', 1)
    set.mark(other, 0, key(0), 'overlap', 1)
    expect([set.count('one'), set.count('other'), set.size]).toEqual([3, 1, 4])
    expect([set.needsVerify('one'), set.needsVerify('other')]).toEqual([true, false])
    expect(overflowed).toEqual(['one'])
    for (const entry of takeAll(set, 'one')) set.copied(entry, entry.version)
    expect([set.count('one'), set.needsVerify('one')]).toEqual([0, true])
    set.verified('one')
    expect(set.needsVerify('one')).toBe(false)
  })

  test('a key that is known is marked again even when there is no room for another', () => {
    const set = new DirtySet(1)
    set.mark(one, 0, key('k'), 'overlap', 1)
    set.mark(one, 0, key('k'), 'overlap', 2)
    expect(set.needsVerify('one')).toBe(false)
    expect(set.take('one')!.version).toBe(2)
  })
})

describe('a reply that waits for a key', () => {
  function waiter() {
    return {
      pending: 0,
      failed: false,
      told: 0,
      acknowledged() {
        this.told++
      },
    }
  }

  test('is told when the key is clean, not when a copy came too early', () => {
    const set = new DirtySet(10)
    const reply = waiter()
    set.mark(one, 0, key('k'), 'overlap', 1, reply)
    const entry = set.take('one')!
    set.mark(one, 0, key('k'), 'overlap', 2)
    set.copied(entry, 1)
    expect(reply).toMatchObject({ pending: 1, told: 0 })
    set.copied(set.take('one')!, 2)
    expect(reply).toMatchObject({ pending: 0, told: 1, failed: false })
  })

  test('waits for all of its keys', () => {
    const set = new DirtySet(10)
    const reply = waiter()
    set.mark(one, 0, key('a'), 'overlap', 1, reply)
    set.mark(one, 0, key('b'), 'overlap', 1, reply)
    for (const entry of takeAll(set, 'one')) {
      expect(reply.told).toBe(0)
      set.copied(entry, 1)
    }
    expect(reply.told).toBe(1)
  })

  test('learns that a key could not be remembered, or that its route is gone', () => {
    const set = new DirtySet(1)
    const [first, second] = [waiter(), waiter()]
    set.mark(one, 0, key('a'), 'overlap', 1, first)
    set.mark(one, 0, key('b'), 'overlap', 1, second)
    expect(second).toMatchObject({ pending: 0, failed: true })
    set.forget('one')
    expect(first).toMatchObject({ told: 1, failed: true })
  })
})
