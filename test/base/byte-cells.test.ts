import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteCells } from '../../src/base/byte-cells.ts'

const bytes = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 70 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 1_000, maxLength: 1_100 }) },
)

test('whatever is put in and given back, the rest stays as it was put in', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(bytes, fc.nat()), { maxLength: 200 }), (steps) => {
      const cells = new ByteCells()
      const held: { at: number; value: Uint8Array }[] = []
      for (const [value, pick] of steps) {
        if (pick % 3 === 0 && held.length > 0) {
          const [gone] = held.splice(pick % held.length, 1)
          cells.free(gone!.at, gone!.value.length)
        }
        held.push({ at: cells.put(value, 0, value.length), value })
        for (const one of held) {
          expect(Buffer.compare(cells.view(one.at, one.value.length), one.value)).toBe(0)
          expect(cells.equals(one.at, one.value.length, one.value, 0, one.value.length)).toBe(true)
        }
      }
    }),
  )
})

test('what is given back is used again: memory does not grow with time', () => {
  const cells = new ByteCells()
  const value = Buffer.from('a key of usual length')
  for (let round = 0; round < 50; round++) {
    const held = Array.from({ length: 1_000 }, () => cells.put(value, 0, value.length))
    for (const at of held) cells.free(at, value.length)
  }
  expect(cells.bytes).toBe(64 * 1024)
  cells.clear()
  expect(cells.bytes).toBe(0)
})

test('two strings are told apart by every byte and by their length', () => {
  const cells = new ByteCells()
  const long = Buffer.alloc(200, 7)
  const at = cells.put(long, 0, long.length)
  for (const i of [0, 47, 48, 199]) {
    const other = Buffer.from(long)
    other[i] = 8
    expect(cells.equals(at, 200, other, 0, 200)).toBe(false)
  }
  expect(cells.equals(at, 200, long, 0, 199)).toBe(false)
})
