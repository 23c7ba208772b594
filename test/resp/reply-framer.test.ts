import fc from 'fast-check'
import RedisParser from 'redis-parser'
import { describe, expect, test } from 'vitest'
import { UnderstudyError } from '../../src/base/errors.ts'
import { ReplyFramer } from '../../src/resp/reply-framer.ts'

const line = fc.stringMatching(/^[ -~]{0,20}$/)
const { reply2 } = fc.letrec<{ reply2: string }>((tie) => ({
  reply2: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    line.map((text) => `+${text}\r\n`),
    line.map((text) => `-ERR ${text}\r\n`),
    fc.integer().map((n) => `:${n}\r\n`),
    fc.stringMatching(/^[\x00-\x7f]{0,30}$/).map((text) => `$${text.length}\r\n${text}\r\n`),
    fc.constantFrom('$-1\r\n', '*-1\r\n', '*0\r\n'),
    fc.array(tie('reply2'), { maxLength: 5 }).map((items) => `*${items.length}\r\n${items.join('')}`),
  ),
}))

const { reply3 } = fc.letrec<{ reply3: string }>((tie) => ({
  reply3: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    reply2,
    fc.constantFrom(
      '_\r\n',
      `:${'1'.repeat(40)}\r\n`,
      '#t\r\n',
      ',1.5\r\n',
      '(12345678901234567890\r\n',
      '=7\r\ntxt:abc\r\n',
      '!5\r\nERR x\r\n',
    ),
    fc.array(tie('reply3'), { maxLength: 4 }).map((items) => `~${items.length}\r\n${items.join('')}`),
    fc
      .array(tie('reply3'), { maxLength: 4 })
      .map((items) => `%${items.length}\r\n${items.flatMap((item) => ['+k\r\n', item]).join('')}`),
    tie('reply3').map((item) => `|1\r\n+ttl\r\n:1\r\n${item}`),
  ),
}))

/** Ends of all frames, fed in pieces as a pipeline does. */
function ends(bytes: Buffer, pieces: readonly number[]): number[] {
  const framer = new ReplyFramer()
  const found: number[] = []
  let start = 0
  let available = 0
  for (const size of [...pieces, bytes.length]) {
    available = Math.min(bytes.length, available + size)
    for (;;) {
      if (start >= available) break
      const end = framer.frame(bytes, start, available)
      if (end === -1) break
      found.push(end)
      start = end
    }
  }
  return found
}

function expectedEnds(frames: readonly string[]): number[] {
  let at = 0
  return frames.map((frame) => (at += Buffer.byteLength(frame, 'latin1')))
}

describe('ReplyFramer', () => {
  test('cuts RESP2 where redis-parser does, however the bytes arrive', () => {
    fc.assert(
      fc.property(
        fc.array(reply2, { minLength: 1, maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 11 }), { maxLength: 80 }),
        (frames, pieces) => {
          const bytes = Buffer.from(frames.join(''), 'latin1')
          let seen = 0
          const oracle = new RedisParser({ returnReply: () => seen++, returnError: () => seen++, returnBuffers: true })
          oracle.execute(Buffer.from(bytes))
          const found = ends(bytes, pieces)
          expect(found).toEqual(expectedEnds(frames))
          expect(seen).toBe(found.length)
        },
      ),
    )
  })

  test.each([0, 1, 9, 10, 99, 100, 999, 1000, 10_000])('cuts bulks of %i bytes wherever they are broken', (length) => {
    const frame = `$${length}\r\n${'\r\n$-1:'.repeat(length).slice(0, length)}\r\n`
    const bytes = Buffer.from(frame + frame)
    const around = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((at) => [at, Math.max(0, frame.length - at), frame.length + at])
    for (const cut of [0, ...around]) expect(ends(bytes, [cut])).toEqual([frame.length, 2 * frame.length])
  })

  test.each(['$0000000000', '$1', '$12', '$123', '$00\r', '$'])(
    'ends a search in %j, where the buffer ends',
    (text) => {
      const bytes = Buffer.from(`+OK\r\n${text}`)
      expect(ends(bytes, [])).toEqual([5])
    },
  )

  test('cuts RESP3 at every byte', () => {
    fc.assert(
      fc.property(fc.array(reply3, { minLength: 1, maxLength: 4 }), (frames) => {
        const bytes = Buffer.from(frames.join(''), 'latin1')
        expect(ends(bytes, Array(bytes.length).fill(1))).toEqual(expectedEnds(frames))
      }),
    )
  })

  test.each(['?\r\n', '$x\r\n', '*-2\r\n', '%-1\r\n', '+a\rb\r\n', '$1x\r\na\r\n'])(
    'refuses %j: the stream cannot be trusted',
    (text) => {
      const bytes = Buffer.from(text)
      expect(() => new ReplyFramer().frame(bytes, 0, bytes.length)).toThrow(UnderstudyError)
    },
  )
})
