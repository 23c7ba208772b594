import { expect, test } from 'vitest'
import type { DataPathContext } from '../../../src/mirror/context.ts'
import { DirtyReport } from '../../../src/mirror/dirty/dirty-report.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import { type Route, RouteState } from '../../../src/routing/route.ts'

test('an episode of dirty keys is a line for each cause, and one when it is over', () => {
  const route = { name: 'a', shadow: {}, state: new RouteState('a') } as unknown as Route
  const lines: string[] = []
  const context = {
    routes: { routes: [route] },
    log: ({ msg, fields }: { msg: string; fields: object }) => lines.push(`${msg} ${JSON.stringify(fields)}`),
  } as unknown as DataPathContext
  const dirty = new DirtySet(100)
  const report = new DirtyReport(context, dirty)
  let now = 0
  const second = (): string[] => {
    now += 1_000
    report.run(now)
    return lines.splice(0)
  }
  const mark = (key: string, reason: 'shadow-down' | 'overlap' | 'backlog-full'): void =>
    dirty.mark(route, 0, Buffer.from(key), reason, now)
  mark('k', 'overlap')
  expect([...second(), ...second()]).toEqual([])
  mark('l', 'shadow-down')
  mark('m', 'shadow-down')
  expect(second()).toEqual([])
  const dirtyFor = 'keys are dirty; they are copied as soon as it can be'
  expect(second()).toEqual([`${dirtyFor} {"route":"a","reason":"shadow-down","keys":2}`])
  mark('n', 'backlog-full')
  expect(second()).toEqual([])
  expect([...second(), ...second()]).toEqual([`${dirtyFor} {"route":"a","reason":"backlog-full","keys":1}`])
  for (let entry = dirty.take('a'); entry !== undefined; entry = dirty.take('a')) dirty.copied(entry, entry.version)
  expect(second()).toEqual(['every dirty key has been copied {"route":"a","durationMs":4000}'])
  expect(second()).toEqual([])
  mark('o', 'shadow-down')
  second()
  expect(second()).toEqual([`${dirtyFor} {"route":"a","reason":"shadow-down","keys":1}`])
  // As a forced switch does with what it leaves behind.
  dirty.drop('a')
  dirty.toVerify.mark('a', 'turned')
  expect([...second(), ...second()]).toEqual([])
})
