import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeReply } from '../../src/resp/decode.ts'
import { encodeCommand, encodeReply, errorFrame, headerSize, writeHeader } from '../../src/resp/encode.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  PushReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from '../../src/resp/reply.ts'

test('a command is a multibulk of its arguments, strings as UTF-8 and numbers in decimal', () => {
  expect(encodeCommand(['SET', Buffer.from([0xff]), 'é', -12]).toString('latin1')).toBe(
    '*4\r\n$3\r\nSET\r\n$1\r\n\xff\r\n$2\r\n\xc3\xa9\r\n$3\r\n-12\r\n',
  )
})

test('a command decodes to the arguments it was made of, whatever their bytes and lengths', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 1200 }), { minLength: 1, maxLength: 12 }), (args) => {
      const buffers = args.map((arg) => Buffer.from(arg))
      const frame = encodeCommand(buffers)
      expect(decodeReply(frame, 0, frame.length)).toEqual(buffers)
    }),
    { numRuns: 200 },
  )
})

test('a header takes exactly the bytes announced, around every change of digits', () => {
  for (const n of [0, 1, 9, 10, 99, 100, 12345, 999_999, 1_000_000, 536_870_912]) {
    const out = Buffer.alloc(16)
    expect(writeHeader(out, 0, 0x24, n)).toBe(headerSize(n))
    expect(out.toString('latin1', 0, headerSize(n))).toBe(`$${n}\r\n`)
  }
})

test('an error text cannot end its frame early', () => {
  expect(errorFrame('ERR a\r\n+OK').toString()).toBe('-ERR a  +OK\r\n')
})

const cases: [name: string, reply: Reply, resp2: string, resp3: string][] = [
  ['nil', null, '$-1\r\n', '_\r\n'],
  ['a simple string', new SimpleReply('OK'), '+OK\r\n', '+OK\r\n'],
  ['an error', new ErrorReply('ERR x'), '-ERR x\r\n', '-ERR x\r\n'],
  ['an integer', -7, ':-7\r\n', ':-7\r\n'],
  ['an integer beyond 2^53', 2n ** 62n, ':4611686018427387904\r\n', ':4611686018427387904\r\n'],
  ['a big number', 2n ** 64n, '$20\r\n18446744073709551616\r\n', '(18446744073709551616\r\n'],
  ['a boolean', true, ':1\r\n', '#t\r\n'],
  ['a double', new DoubleReply('1.5'), '$3\r\n1.5\r\n', ',1.5\r\n'],
  ['a verbatim text', new VerbatimReply('txt', Buffer.from('hi')), '$2\r\nhi\r\n', '=6\r\ntxt:hi\r\n'],
  ['a map', new MapReply([[Buffer.from('a'), 1]]), '*2\r\n$1\r\na\r\n:1\r\n', '%1\r\n$1\r\na\r\n:1\r\n'],
  ['a set', new SetReply([1]), '*1\r\n:1\r\n', '~1\r\n:1\r\n'],
  ['a push', new PushReply([1]), '*1\r\n:1\r\n', '>1\r\n:1\r\n'],
  ['an array in an array', [[1], null], '*2\r\n*1\r\n:1\r\n$-1\r\n', '*2\r\n*1\r\n:1\r\n_\r\n'],
]

test.each(cases)('%s is encoded for both protocols as Redis does', (_name, reply, resp2, resp3) => {
  expect(encodeReply(reply, 2).toString()).toBe(resp2)
  expect(encodeReply(reply, 3).toString()).toBe(resp3)
})

const replies = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger().map((n) => (n === 0 ? 0 : n)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 80n }),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.stringMatching(/^[ -~]{0,12}$/).map((text) => new SimpleReply(text)),
    fc.stringMatching(/^[A-Z]{1,8} [ -~]{0,12}$/).map((text) => new ErrorReply(text)),
    fc.constantFrom('1.5', 'inf', '-inf', 'nan', '-0', '1e300').map((text) => new DoubleReply(text)),
    fc.uint8Array({ maxLength: 9 }).map((bytes) => new VerbatimReply('txt', Buffer.from(bytes))),
    fc.array(tie('reply'), { maxLength: 4 }),
    fc.array(tie('reply'), { maxLength: 4 }).map((items) => new SetReply(items)),
    fc.array(tie('reply'), { maxLength: 4 }).map((items) => new PushReply(items)),
    fc.array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 }).map((entries) => new MapReply(entries)),
  ),
})).reply

test('decoding undoes encoding for every RESP3 reply', () => {
  fc.assert(
    fc.property(replies, (reply) => {
      const frame = encodeReply(reply, 3)
      expect(decodeReply(frame, 0, frame.length)).toEqual(reply)
    }),
    { numRuns: 500 },
  )
})
