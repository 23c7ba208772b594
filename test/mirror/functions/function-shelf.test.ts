import { beforeEach, describe, expect, test } from 'vitest'
import { CommandTable } from '../../../src/command/table.ts'
import type { PassedChange } from '../../../src/mirror/functions/function-changes.ts'
import { digestOf, type Library } from '../../../src/mirror/functions/function-list.ts'
import { FunctionShelf } from '../../../src/mirror/functions/function-shelf.ts'
import type { ReadSources, StoredFunction } from '../../../src/mirror/functions/stored-functions.ts'

const commands = CommandTable.builtin()
const source = (name: string, does: string) =>
  `#!lua name=${name}\nredis.register_function('of_${name}', function(keys) return ${does} end)`
const library = (name: string, does = '1'): Library => ({
  name,
  engine: 'LUA',
  code: Buffer.from(source(name, does)),
  functions: [{ name: `of_${name}`, flags: new Set() }],
})
const loaded = (name: string, does = '1'): PassedChange => ({ digest: digestOf(Buffer.from(source(name, does))) })

let shelf: FunctionShelf
let sources: ReadSources
let nowMs: number
const read = (...libraries: Library[]) => {
  shelf.asked((nowMs += 1000))
  return shelf.learn(libraries, commands)
}
const pass = (...changes: PassedChange[]) => {
  shelf.changing()
  shelf.changed(changes)
}
beforeEach(() => {
  sources = new Map()
  shelf = new FunctionShelf(sources)
  nowMs = 0
})

describe('a library that has changed since it was read', () => {
  const WRITES = "redis.call('INCR', keys[1])"
  beforeEach(() => {
    read(library('x'), library('y'))
    shelf.find('of_x', nowMs)
  })

  test.each<[string, PassedChange[], Library[], string[]]>([
    ['nothing has passed by', [], [library('x', WRITES), library('y')], ['x']],
    ['it has passed by', [loaded('x', WRITES)], [library('x', WRITES), library('y')], []],
    [
      'it has passed by, and another one behind it',
      [loaded('x', WRITES), loaded('x', '3')],
      [library('x', '3')],
      ['y'],
    ],
    ['another library has passed by', [loaded('y', '2')], [library('x', WRITES), library('y', '2')], ['x']],
    ['another source of it has passed by', [loaded('x', '2')], [library('x', WRITES), library('y')], ['x']],
    ['it was deleted', [], [library('y')], ['x']],
    ['its deletion has passed by', [{ gone: 'x' }], [library('y')], []],
    ['the deletion of another has passed by', [{ gone: 'y' }], [], ['x']],
    ['FUNCTION FLUSH has passed by', [{ gone: null }], [], []],
    ['FUNCTION FLUSH has passed by, and it is there', [{ gone: null }], [library('x', WRITES)], ['x']],
    ['FUNCTION RESTORE has passed by', ['anything'], [library('x', WRITES)], []],
  ])('is somebody else’s, unless that has passed by: %s', (_name, passed, now, byOthers) => {
    pass(...passed)
    const changes = read(...now)
    expect(changes.libraries).toEqual(byOthers)
    const writes = now.some(({ code }) => code.includes(WRITES))
    expect(changes.misjudged).toBe(writes && byOthers.includes('x'))
  })

  test('is looked for by a reading that no change has overtaken', () => {
    shelf.asked(nowMs)
    pass(loaded('y', '2'))
    expect(shelf.learn([library('x', WRITES), library('y')], commands).libraries).toEqual([])
    expect(shelf.find('of_x', nowMs)).toBe('unread')
    expect(read(library('x', WRITES), library('y', '2')).libraries).toEqual(['x'])
  })
})

test('a store that has said no is asked again after a minute, and by nobody before', () => {
  shelf.asked(0)
  shelf.failed(true)
  expect([shelf.last('f', 100), shelf.find('f', 100)]).toEqual([undefined, 'unreadable'])
  expect(shelf.wanted).toBe(false)
  shelf.last('f', 60_000)
  expect(shelf.wanted).toBe(true)
})

test('a library that another store has as well is read once', () => {
  const [here, there] = [new FunctionShelf(sources), shelf]
  for (const one of [here, there]) {
    one.asked(nowMs)
    one.learn([library('x')], commands)
  }
  const [found, known] = [here, there].map((one) => one.find('of_x', nowMs))
  expect(found).toMatchObject({ facts: { writes: false } })
  expect((known as StoredFunction).facts).toBe((found as StoredFunction).facts)
})

test('what no server takes as a name is no function', () => {
  expect(shelf.find('not-a-name', 0)).toBe('absent')
  expect(shelf.wanted).toBe(false)
  expect(shelf.find('a_name', 0)).toBe('unread')
})
