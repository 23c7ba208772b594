import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CommandParser, NEED_MORE } from '../../src/resp/command-parser.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import { FrameTail } from '../../src/resp/frame-tail.ts'

/** A tail behind `cut` bytes of the frame, when a bulk is under way there. */
function tailAt(frame: Buffer, cut: number): FrameTail | null {
  const parser = new CommandParser()
  if (parser.parse(frame, 0, cut) !== NEED_MORE || parser.bulkLeft(cut) <= 0) return null
  return new FrameTail(parser.bulkLeft(cut), parser.argumentsBehind)
}

describe('FrameTail', () => {
  test('finds the end of every frame, cut anywhere and given in any pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 30 }), { minLength: 1, maxLength: 6 }),
        fc.nat(),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }),
        (args, where, pieces) => {
          const frame = encodeCommand(args.map((arg) => Buffer.from(arg)))
          const bytes = Buffer.concat([frame, Buffer.from('*1\r\n$4\r\nPING\r\n')])
          const cut = where % frame.length
          const tail = tailAt(bytes, cut)
          if (tail === null) return
          let at = cut
          for (let i = 0; !tail.whole; i++) {
            const to = Math.min(bytes.length, at + pieces[i % pieces.length]!)
            const next = tail.follow(bytes, at, to)
            expect(tail.error).toBeNull()
            expect(next).toBeGreaterThan(at)
            at = next
          }
          expect(at).toBe(frame.length)
        },
      ),
    )
  })

  test.each([
    ['$abc\r\n', 'Protocol error: invalid bulk length'],
    ['$-1\r\n', 'Protocol error: invalid bulk length'],
    ['$01\r\n', 'Protocol error: invalid bulk length'],
    ['$536870913\r\n', 'Protocol error: invalid bulk length'],
    ['$99999999999999999999999\r\n', 'Protocol error: invalid bulk length'],
    ['*1\r\n', "Protocol error: expected '$', got '*'"],
  ])('refuses %j behind a value in the words of Redis', (header, error) => {
    const begun = Buffer.from('*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv')
    const tail = tailAt(begun, begun.length)!
    tail.follow(Buffer.from(`alue\r\n${header}`), 0, 6 + header.length)
    expect(tail.error).toBe(error)
    expect(tail.whole).toBe(false)
  })
})
