import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CursorMarks, markedPage, marksOf, placeOf } from '../../src/routing/element-cursor.ts'

const { source, target } = marksOf(1, 2)
const before: CursorMarks = { primary: source, other: target, plainIsOther: false }
const after: CursorMarks = { primary: target, other: source, plainIsOther: true }
const alone: CursorMarks = { primary: source, other: 0, plainIsOther: false }

function page(cursor: number | bigint | string): Buffer {
  const text = String(cursor)
  return Buffer.from(`*2\r\n$${text.length}\r\n${text}\r\n*1\r\n$1\r\na\r\n`)
}
function marked(marks: CursorMarks, cursor: number, at: 'primary' | 'other' = 'primary'): string {
  const buf = Buffer.concat([Buffer.from('+OK\r\n'), page(cursor)])
  const made = markedPage(marks, buf, 5, buf.length, at)!.toString()
  const text = /^\*2\r\n\$16\r\n(\d{16})\r\n\*1\r\n\$1\r\na\r\n$/.exec(made)![1]!
  // As clients keep it that have doubles for all numbers.
  return String(Number(text))
}

test('a cursor is known again on either side of a switch, and is the server’s own in its lowest bits', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 38 - 1 }), (cursor) => {
      for (const at of ['primary', 'other'] as const) {
        const text = marked(before, cursor, at)
        expect(placeOf(before, text)).toEqual({ at, cursor: String(cursor) })
        expect(placeOf(after, text)).toEqual({ at: at === 'primary' ? 'other' : 'primary', cursor: String(cursor) })
        expect(BigInt(text) & (2n ** 38n - 1n)).toBe(BigInt(cursor))
      }
    }),
  )
})

test('two servers have two marks, whatever their hashes are', () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.constantFrom(0, 16_383, 1), (hash, more) => {
      const marks = marksOf(hash, hash + more)
      expect(marks.source).not.toBe(marks.target)
      for (const mark of [marks.source, marks.target]) expect(mark > 0 && mark <= 16_383).toBe(true)
    }),
  )
})

test('a cursor without a mark is the source’s; one of another server begins again; what is none goes to the server as it is', () => {
  expect(placeOf(before, '17')).toEqual({ at: 'primary', cursor: '17' })
  expect(placeOf(after, '17')).toEqual({ at: 'other', cursor: '17' })
  expect(placeOf(after, '0')).toEqual({ at: 'primary', cursor: '0' })
  const foreign = marked({ ...before, primary: marksOf(5, 6).source }, 17)
  for (const marks of [before, after, alone]) expect(placeOf(marks, foreign)).toEqual({ at: 'primary', cursor: '0' })
  expect(placeOf(alone, marked(before, 17))).toEqual({ at: 'primary', cursor: '17' })
  for (const text of ['', 'x', '-1', String(2n ** 38n), String(2n ** 53n), String(2n ** 64n - 1n)])
    expect(placeOf(after, text)).toEqual({ at: 'primary', cursor: text })
})

test('a page goes out as it came that is the last one, has no room for a mark, or is none', () => {
  for (const frame of [page(0), page(2 ** 38), page(2n ** 64n - 1n), page('x'), Buffer.from('-ERR x\r\n')])
    expect(markedPage(before, frame, 0, frame.length)).toBeNull()
  expect(markedPage(alone, page(17), 0, page(17).length)).toBeNull()
})
