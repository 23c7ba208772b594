import fc from 'fast-check'
import { expect, test } from 'vitest'
import { copyBytes, finishCopies } from '../../src/base/copy-run.ts'
import { READ_BUFFER } from '../../src/base/read-buffer.ts'

const SIZE = 512

/** One copy: behind the last one on both sides, as a pipeline's commands are, or anywhere. */
const copy = fc.record({
  sourceFollows: fc.boolean(),
  targetFollows: fc.boolean(),
  fromReadBuffer: fc.boolean(),
  target: fc.nat(1),
  from: fc.nat(SIZE / 2),
  at: fc.nat(SIZE / 2),
  length: fc.nat(SIZE / 4),
  finish: fc.boolean(),
})

test('what was put off is what copying at once would have given, whatever is copied from where', () => {
  fc.assert(
    fc.property(fc.array(copy, { maxLength: 40 }), (copies) => {
      let value = 0
      const other = Buffer.alloc(SIZE)
      const fill = (buf: Buffer): void => {
        // Not in step with any length: what comes from elsewhere differs.
        for (let i = 0; i < SIZE; i++) buf[i] = value++ % 251
      }
      fill(other)
      fill(READ_BUFFER)
      const targets = [Buffer.alloc(SIZE), Buffer.alloc(SIZE)]
      const expected = [Buffer.alloc(SIZE), Buffer.alloc(SIZE)]
      let last = { from: 0, at: 0, target: 0 }
      for (const { sourceFollows, targetFollows, fromReadBuffer, length, finish, ...anywhere } of copies) {
        const { from } = sourceFollows ? last : anywhere
        const { at, target } = targetFollows ? last : anywhere
        const to = Math.min(from + length, SIZE, from + SIZE - at)
        const source = fromReadBuffer ? READ_BUFFER : other
        copyBytes(source, from, to, targets[target]!, at)
        source.copy(expected[target]!, at, from, to)
        last = { from: to, at: at + to - from, target }
        if (!finish) continue
        finishCopies()
        expect(targets[0]!.equals(expected[0]!) && targets[1]!.equals(expected[1]!)).toBe(true)
        // The next read of a socket.
        fill(READ_BUFFER)
      }
      finishCopies()
      expect(targets[0]!.equals(expected[0]!) && targets[1]!.equals(expected[1]!)).toBe(true)
    }),
  )
})
