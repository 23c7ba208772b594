import { expect, test } from 'vitest'
import { Queue } from '../../src/base/queue.ts'

test('gives what was put in, the first one first', () => {
  const queue = new Queue<number>()
  const given: (number | undefined)[] = []
  for (let i = 0; i < 100; i++) {
    queue.push(2 * i)
    queue.push(2 * i + 1)
    expect(queue.first).toBe(i)
    given.push(queue.shift())
    expect(queue.length).toBe(i + 1)
  }
  while (queue.length > 0) given.push(queue.shift())
  expect(given).toEqual(Array.from({ length: 200 }, (_, i) => i))
  expect(queue.first).toBe(undefined)
  expect(queue.shift()).toBe(undefined)
  queue.push(7)
  expect(queue.shift()).toBe(7)
})

test('all that are left are taken at once', () => {
  const queue = new Queue<string>()
  for (const item of ['a', 'b', 'c', 'd']) queue.push(item)
  queue.shift()
  expect(queue.takeAll()).toEqual(['b', 'c', 'd'])
  expect([queue.length, queue.first]).toEqual([0, undefined])
  queue.push('e')
  expect(queue.takeAll()).toEqual(['e'])
})
