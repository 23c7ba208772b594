import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Downstream } from '../../../src/proxy/session/downstream.ts'
import { ReplyOrder } from '../../../src/proxy/session/reply-order.ts'

test('replies go out in the order of their commands, each once, in whatever order they come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 5 }), { maxLength: 40 }).chain((texts) =>
        fc.tuple(
          fc.constant(texts),
          fc.shuffledSubarray(
            texts.map((_, i) => i),
            { minLength: texts.length },
          ),
        ),
      ),
      ([texts, arrival]) => {
        let out = ''
        const downstream = {
          write(buf: Buffer, from: number, to: number): void {
            out += buf.toString('utf8', from, to)
          },
        } as unknown as Downstream
        const order = new ReplyOrder(downstream)
        const numbers = texts.map(() => order.assign())
        const scratch = Buffer.alloc(64)
        for (const [come, i] of arrival.entries()) {
          expect(order.owed).toBe(texts.length - delivered(arrival.slice(0, come)))
          // The bytes are a view: the buffer is another's a moment later.
          const length = scratch.write(texts[i]!, 3)
          order.reply(numbers[i]!, scratch, 3, 3 + length)
          scratch.fill(0)
        }
        expect(out).toBe(texts.join(''))
        expect([order.owed, order.parkedBytes]).toEqual([0, 0])
      },
    ),
  )
})

test('a push waits for the end of a reply that goes out in pieces, and counts as unread until then', () => {
  let out = ''
  const downstream = {
    write(buf: Buffer, from: number, to: number): void {
      out += buf.toString('utf8', from, to)
    },
  } as unknown as Downstream
  const order = new ReplyOrder(downstream)
  const say = (text: string, way: 'push' | 'append'): void => {
    const bytes = Buffer.from(text)
    order[way](bytes, 0, bytes.length)
    bytes.fill(0)
  }
  const large = order.assign()
  say('a', 'push')
  order.beginPieces()
  downstream.write(Buffer.from('<half'), 0, 5)
  say('b', 'push')
  say('c', 'append')
  expect([out, order.midReply, order.parkedBytes]).toEqual(['a<half', true, 2])
  downstream.write(Buffer.from('half>'), 0, 5)
  order.endPieces()
  order.reply(large, Buffer.alloc(0), 0, 0)
  say('d', 'push')
  expect([out, order.midReply, order.parkedBytes, order.owed]).toEqual(['a<halfhalf>bcd', false, 0, 0])
})

/** How many could go out: 0, 1, 2 ... without a gap. */
function delivered(come: readonly number[]): number {
  let next = 0
  while (come.includes(next)) next++
  return next
}

test('replies of several commands go out as one when it is their turn, and not otherwise', () => {
  let out = ''
  const downstream = {
    write(buf: Buffer, from: number, to: number): void {
      out += buf.toString('utf8', from, to)
    },
  } as unknown as Downstream
  const order = new ReplyOrder(downstream)
  const [first, second, third, fourth] = Array.from({ length: 4 }, () => order.assign()) as [
    number,
    number,
    number,
    number,
  ]
  const bytes = Buffer.from('abcd')
  expect(order.replyRun(second, 2, bytes, 1, 3)).toBe(false)
  order.reply(third, bytes, 2, 3)
  // The third has come already: what comes before it has to let it out.
  expect(order.replyRun(first, 2, bytes, 0, 2)).toBe(false)
  order.reply(first, bytes, 0, 1)
  order.reply(second, bytes, 1, 2)
  expect(out).toBe('abc')
  order.beginPieces()
  expect(order.replyRun(fourth, 1, bytes, 3, 4)).toBe(false)
  order.endPieces()
  const fifth = order.assign()
  expect(order.replyRun(fourth, 2, Buffer.from('dede'), 0, 2)).toBe(true)
  expect([fifth, out, order.owed]).toEqual([4, 'abcde', 0])
})
