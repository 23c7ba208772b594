import { expect, test } from 'vitest'
import { stopInOrder } from '../../src/base/stop-steps.ts'

test('every part is stopped in its turn, also behind one that fails or does not come to an end', async () => {
  const order: string[] = []
  const failures: string[] = []
  const step = (part: string, stop: () => void | Promise<void> = () => {}) => ({
    part,
    stop: () => {
      order.push(part)
      return stop()
    },
  })
  const ok = await stopInOrder(
    [
      step('first'),
      step('throws', () => {
        throw new Error('planted')
      }),
      step('rejects', () => Promise.reject(new Error('planted'))),
      step('hangs', () => new Promise(() => {})),
      step('last'),
    ],
    50,
    (part, error) => failures.push(`${part}: ${(error as Error).message}`),
  )
  expect(ok).toBe(false)
  expect(order).toEqual(['first', 'throws', 'rejects', 'hangs', 'last'])
  expect(failures).toEqual([
    'throws: planted',
    'rejects: planted',
    'hangs: not stopped within 50 ms; it is left as it is',
  ])
  expect(await stopInOrder([step('one')], 50, () => {})).toBe(true)
})
