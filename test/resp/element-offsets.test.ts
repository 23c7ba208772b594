import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeReply } from '../../src/resp/decode.ts'
import { elementOffsets } from '../../src/resp/element-offsets.ts'
import { encodeReply } from '../../src/resp/encode.ts'
import { resp2 } from './arbitrary-reply.ts'

test('the elements of an array frame are found where they lie', () => {
  fc.assert(
    fc.property(fc.array(resp2, { maxLength: 6 }), (items) => {
      const frame = Buffer.concat([Buffer.from('+x\r\n'), encodeReply(items, 2)])
      const offsets = elementOffsets(frame, 4, frame.length)!
      expect(offsets.length).toBe(items.length + 1)
      expect(items.map((_item, i) => decodeReply(frame, offsets[i]!, offsets[i + 1]!))).toEqual(items)
    }),
  )
})

test('elements of every RESP3 type are found, attributes with the element they belong to', () => {
  const parts = [
    '|1\r\n+a\r\n:1\r\n:7\r\n',
    '%1\r\n+a\r\n~1\r\n:1\r\n',
    '=7\r\ntxt:foo\r\n',
    '!5\r\nERR x\r\n',
    ',1\r\n',
    '_\r\n',
  ]
  const frame = Buffer.from(`|1\r\n+b\r\n*0\r\n*${parts.length}\r\n${parts.join('')}`)
  const offsets = elementOffsets(frame, 0, frame.length)!
  expect(parts.map((_part, i) => frame.toString('latin1', offsets[i], offsets[i + 1]))).toEqual(parts)
})

test('a frame that is no array has no elements', () => {
  for (const text of ['*-1\r\n', '_\r\n', '-EXECABORT x\r\n', '+OK\r\n']) {
    const frame = Buffer.from(text)
    expect(elementOffsets(frame, 0, frame.length)).toBeNull()
  }
})

test.each(['*2\r\n:1\r\n', '*1\r\n:1\r\n:2\r\n', '*1\r\nx\r\n', '*999999\r\n:1\r\n', ''])(
  'the malformed array %j is refused',
  (text) => {
    const frame = Buffer.from(text)
    expect(() => elementOffsets(frame, 0, frame.length)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }))
  },
)
