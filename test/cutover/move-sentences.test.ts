import { expect, test } from 'vitest'
import { movesIn } from '../../src/cutover/move-sentences.ts'
import { configOf } from '../support/data-path.ts'

test('databases that a change takes from clients are said once, with it', () => {
  const config = (...databases: readonly [number, number]) =>
    configOf({
      stores: { old: { port: 1, database: databases[0] }, new: { port: 2, database: databases[1] } },
      routes: [{ source: 'old', target: 'new' }],
    })
  expect(movesIn([], config(2, 2), config(2, 5))).toEqual([
    expect.stringMatching(/^keys in database 2 and database 5 of a client are not served/),
  ])
  expect(movesIn([], config(2, 5), config(2, 5))).toEqual([])
  expect(movesIn([], config(2, 5), config(2, 2))).toEqual([])
})
