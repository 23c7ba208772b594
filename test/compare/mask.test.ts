import { expect, test } from 'vitest'
import { maskReply, revealReply } from '../../src/compare/mask.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from '../../src/resp/reply.ts'

const secret = Buffer.from('hunter2')

const shapes: [Reply, RegExp][] = [
  [null, /^nil$/],
  [secret, /^string, 7 bytes, #[0-9a-f]{8}$/],
  [Buffer.from('x'), /^string, 1 byte, #/],
  [new SimpleReply('hunter2'), /^status, 7 bytes, #/],
  [new VerbatimReply('txt', secret), /^string, 7 bytes, #/],
  [42, /^integer, #/],
  [true, /^boolean, #/],
  [new DoubleReply('1.5'), /^double, #/],
  [[secret, secret], /^array, 2 elements, #/],
  [new SetReply([secret]), /^set, 1 member, #/],
  [new MapReply([[secret, secret]]), /^map, 1 field, #/],
  [new ErrorReply('WRONGTYPE hunter2'), /^error WRONGTYPE$/],
  [new ErrorReply('hunter2'), /^error ERR$/],
]

test.each(shapes)('%o is masked as %s', (reply, shape) => {
  expect(maskReply(reply)).toMatch(shape)
  expect(maskReply(reply)).not.toContain('hunter2')
})

test('equal values have equal masks, others have not', () => {
  expect(maskReply(Buffer.from('abc'))).toBe(maskReply(Buffer.from('abc')))
  expect(maskReply(Buffer.from('abc'))).not.toBe(maskReply(Buffer.from('abd')))
})

test('a route that reveals values shows them readably, and not without end', () => {
  const reply: Reply = [Buffer.from('a"b'), 1, null, new MapReply([[Buffer.from('f'), new DoubleReply('1.5')]]), true]
  expect(revealReply(reply)).toBe('["a\\"b", 1, nil, {"f": 1.5}, true]')
  expect(revealReply(new ErrorReply('ERR no'))).toBe('(error) ERR no')
  expect(revealReply(Buffer.alloc(5000, 'x')).length).toBeLessThan(1100)
})
