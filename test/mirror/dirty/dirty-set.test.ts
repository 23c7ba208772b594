import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DirtyKey, DirtyReason } from '../../../src/mirror/dirty/dirty-key.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import { type Route, RouteState } from '../../../src/routing/route.ts'

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

  test('has the age of the first and the reason of the last', () => {
    const set = new DirtySet(10)
    set.mark(one, 0, key('k'), 'overlap', 1)
    set.mark(one, 0, key('k'), 'shadow-down', 2)
    set.mark(one, 3, key('l'), 'crash', 7)
    expect(set.figures.reasons('one')).toEqual({ 'shadow-down': 1, crash: 1 })
    expect([set.figures.oldestMs('one'), set.figures.oldestMs('other')]).toEqual([1, null])
    const entry = set.take('one')!
    expect(entry).toMatchObject({ reason: 'shadow-down', sinceMs: 1, version: 2 })
    set.copied(entry, 2)
    set.copied(entry, 2)
    expect([set.size, set.figures.oldestMs('one')]).toEqual([1, 7])
    expect(set.figures.reasons('one')).toEqual({ crash: 1 })
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
    expect(String(again.key)).toBe('k')
    expect(set.copied(again, again.version)).toBe(true)
    expect(set.has('one', 0, key('k'))).toBe(false)
  })

  test('of the whole key settles what came before it, whatever came after', () => {
    const set = new DirtySet(10)
    const told: string[] = []
    const waiter = (name: string) => ({ pending: 0, failed: false, acknowledged: () => told.push(name) })
    set.mark(one, 0, key('k'), 'overlap', 1, waiter('before'))
    set.mark(one, 0, key('l'), 'overlap', 3)
    const entry = set.take('one')!
    const { version } = entry
    set.mark(one, 0, key('k'), 'overlap', 6, waiter('after'))
    expect([set.figures.hot('one'), set.isAwaited(entry)]).toEqual([0, true])
    expect(set.copied(entry, version, 5)).toBe(false)
    expect(told).toEqual(['before'])
    expect([set.count('one'), set.figures.hot('one'), set.figures.oldestMs('one')]).toEqual([2, 1, 3])
    set.copied(set.take('one')!, 1, 6)
    expect(set.figures.oldestMs('one')).toBe(5)
    const again = set.take('one')!
    again.attempts = 1
    set.postpone(again, 7, 10)
    expect(set.figures.hot('one')).toBe(0)
    set.wake(20)
    set.copied(set.take('one')!, 2, 20)
    expect(told).toEqual(['before', 'after'])
    expect([set.count('one'), set.figures.hot('one'), set.isAwaited(again)]).toEqual([0, 0, false])
  })

  test('that is put together from pieces settles nothing when something came meanwhile', () => {
    const set = new DirtySet(10)
    set.mark(one, 0, key('k'), 'overlap', 1)
    const entry = set.take('one')!
    set.mark(one, 0, key('k'), 'overlap', 6)
    expect(set.copied(entry, 1, null)).toBe(false)
    expect([set.figures.hot('one'), set.figures.oldestMs('one')]).toEqual([0, 1])
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
    const set = new DirtySet(3, (route) => overflowed.push(route))
    for (let i = 0; i < 10; i++) set.mark(one, 0, key(i), 'overlap', 1)
    set.mark(other, 0, key(0), 'overlap', 1)
    expect([set.count('one'), set.count('other'), set.size]).toEqual([3, 1, 4])
    expect([set.needsVerify('one'), set.needsVerify('other')]).toEqual([true, false])
    expect(overflowed).toEqual(['one'])
    for (const entry of takeAll(set, 'one')) set.copied(entry, entry.version)
    expect([set.count('one'), set.needsVerify('one')]).toEqual([0, true])
    set.toVerify.verified('one')
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

describe('whatever is done to it', () => {
  /** Slow and plain: what the set has to say. */
  class Model {
    readonly keys = new Map<string, { marks: number; reason: DirtyReason }>()
    mark(name: string, reason: DirtyReason): void {
      const known = this.keys.get(name)
      if (known === undefined) this.keys.set(name, { marks: 1, reason })
      else {
        known.marks++
        known.reason = reason
      }
    }
  }

  const step = fc.record({
    what: fc.constantFrom('mark', 'mark', 'mark', 'take', 'copied', 'copied', 'postpone', 'wake', 'discard', 'forget'),
    key: fc.nat(40),
    database: fc.nat(1),
    reason: fc.constantFrom<DirtyReason>('overlap', 'crash', 'shadow-down'),
    pick: fc.nat(),
  })

  test('it knows exactly the keys that were marked and not copied since, oldest first, and tells of every change', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const set = new DirtySet(1_000)
        const disk = new Map<number, string>()
        const changed: number[] = []
        set.unwritten.listener = { keyChanged: (id) => changed.push(id), routeChanged: () => {} }
        const model = new Model()
        const taken: { entry: DirtyKey; version: number }[] = []
        let now = 0
        for (const { what, key: number, database, reason, pick } of steps) {
          now++
          const name = `${database} ${number}`
          if (what === 'mark') {
            set.mark(one, database, key(number), reason, now)
            model.mark(name, reason)
          } else if (what === 'take') {
            const entry = set.take('one')
            if (entry !== undefined) taken.push({ entry, version: entry.version })
          } else if (what === 'copied' && taken.length > 0) {
            const [{ entry, version }] = taken.splice(pick % taken.length, 1) as [(typeof taken)[0]]
            const of = `${entry.database} ${entry.key}`
            const clean = entry.gone || model.keys.get(of)?.marks === version
            expect(set.copied(entry, version)).toBe(clean)
            if (clean && set.has('one', entry.database, entry.key) === false) model.keys.delete(of)
          } else if (what === 'postpone' && taken.length > 0) {
            set.postpone(taken.splice(pick % taken.length, 1)[0]!.entry, now, [5, 20][pick % 2]!)
          } else if (what === 'wake') set.wake(now)
          else if (what === 'discard') {
            const [entry] = [...set.keys('one')].filter((_, i) => i === pick % 7)
            if (entry !== undefined) {
              set.discard(entry)
              model.keys.delete(`${entry.database} ${entry.key}`)
            }
          } else if (what === 'forget' && pick % 10 === 0) {
            set.forget('one')
            model.keys.clear()
          }
          for (const id of changed.splice(0)) {
            const row = set.unwritten.write(id)
            if (row === null) disk.delete(id)
            else disk.set(id, `${row.database} ${Buffer.from(row.key)}`)
          }
          expect([...disk.values()].sort()).toEqual([...model.keys.keys()].sort())
          expect(set.count('one')).toBe(model.keys.size)
        }
        for (const database of [0, 1]) {
          const names = [...set.keys('one')].filter((k) => k.database === database).map((k) => `${database} ${k.key}`)
          expect(names).toEqual([...model.keys.keys()].filter((name) => name.startsWith(`${database} `)))
        }
        const reasons: Record<string, number> = {}
        for (const { reason } of model.keys.values()) reasons[reason] = (reasons[reason] ?? 0) + 1
        expect(set.figures.reasons('one')).toEqual(reasons)
        // Nothing is lost on the way: what is not being copied can be taken, each once.
        set.wake(Number.MAX_SAFE_INTEGER)
        const rest = takeAll(set, 'one').length
        expect(rest + taken.filter(({ entry }) => !entry.gone).length).toBe(model.keys.size)
      }),
      { numRuns: 200 },
    )
  })

  test('a hundred thousand keys are found again, each by its own bytes, and their memory goes with them', () => {
    const set = new DirtySet(1_000_000)
    for (let i = 0; i < 100_000; i++) set.mark(one, 0, key(`some:key:${i}`), 'overlap', i)
    expect(set.size).toBe(100_000)
    for (let i = 0; i < 100_000; i += 997) expect(set.has('one', 0, key(`some:key:${i}`))).toBe(true)
    expect(set.has('one', 0, key('some:key:100000'))).toBe(false)
    expect(set.bytes / set.size).toBeLessThan(130)
    for (const entry of takeAll(set, 'one')) set.copied(entry, 1)
    expect(set.bytes).toBe(0)
  })

  test('keys beyond the memory that it may use make the route need a verify', () => {
    const overflowed: string[] = []
    const set = new DirtySet(1_000_000, (route) => overflowed.push(route), 1_000_000)
    for (let i = 0; i < 1_000; i++) set.mark(one, 0, Buffer.alloc(10_000, i), 'overlap', i)
    expect(set.bytes).toBeLessThan(1_200_000)
    expect(overflowed).toEqual(['one'])
  })
})
