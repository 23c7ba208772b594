import fc from 'fast-check'
import Parser from 'redis-parser'
import { expect, test } from 'vitest'
import { UnderstudyError } from '../../src/base/errors.ts'
import { decodeReply, MAX_DEPTH } from '../../src/resp/decode.ts'
import { encodeReply } from '../../src/resp/encode.ts'
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
import { resp2 } from './arbitrary-reply.ts'

function decode(text: string): Reply {
  const buf = Buffer.from(text, 'latin1')
  return decodeReply(buf, 0, buf.length)
}

const wellFormed: [string, Reply][] = [
  ['+OK\r\n', new SimpleReply('OK')],
  ['+\r\n', new SimpleReply('')],
  ['-WRONGTYPE no\r\n', new ErrorReply('WRONGTYPE no')],
  [':-5\r\n', -5],
  [':+5\r\n', 5],
  [':9007199254740991\r\n', 9007199254740991],
  [':9007199254740993\r\n', 9007199254740993n],
  [':-9223372036854775808\r\n', -9223372036854775808n],
  ['$0\r\n\r\n', Buffer.alloc(0)],
  ['$4\r\na\r\nb\r\n', Buffer.from('a\r\nb')],
  ['$-1\r\n', null],
  ['*-1\r\n', null],
  ['_\r\n', null],
  ['*0\r\n', []],
  ['*2\r\n*1\r\n:1\r\n*0\r\n', [[1], []]],
  ['%1\r\n+a\r\n%0\r\n', new MapReply([[new SimpleReply('a'), new MapReply([])]])],
  ['~1\r\n:1\r\n', new SetReply([1])],
  ['>2\r\n+message\r\n:1\r\n', new PushReply([new SimpleReply('message'), 1])],
  [',-inf\r\n', new DoubleReply('-inf')],
  [',1e3\r\n', new DoubleReply('1e3')],
  ['#f\r\n', false],
  ['(-18446744073709551616\r\n', -(2n ** 64n)],
  ['=7\r\ntxt:foo\r\n', new VerbatimReply('txt', Buffer.from('foo'))],
  ['!8\r\nERR a\r\nb\r\n', new ErrorReply('ERR a\r\nb')],
  ['|1\r\n+ttl\r\n:1\r\n:7\r\n', 7],
  ['|0\r\n:7\r\n', 7],
  ['*2\r\n|1\r\n+a\r\n*1\r\n:9\r\n:1\r\n:2\r\n', [1, 2]],
]

test.each(wellFormed)('%j is read', (text, reply) => {
  expect(decode(text)).toEqual(reply)
})

test('a frame is read where it lies in a larger buffer', () => {
  const buf = Buffer.from('+before\r\n$3\r\nabc\r\n+after\r\n')
  expect(decodeReply(buf, 9, 18)).toEqual(Buffer.from('abc'))
})

test('a decoded bulk does not change when its buffer is used again', () => {
  const buf = Buffer.from('$3\r\nabc\r\n')
  const reply = decodeReply(buf, 0, buf.length)
  buf.fill(0)
  expect(reply).toEqual(Buffer.from('abc'))
})

const malformed = [
  '',
  'x\r\n',
  '+OK',
  '+OK\r',
  '+OK\rx\n',
  ':\r\n',
  ':1a\r\n',
  ':-\r\n',
  ':99999999999999999999999\r\n',
  '$3\r\nab\r\n',
  '$3\r\nabcd\r\n',
  '$-2\r\n',
  '$a\r\n',
  '$\r\n',
  '$99999999999\r\n',
  '*1\r\n',
  '*4294967295\r\n',
  '*2\r\n:1\r\n',
  '%-1\r\n',
  '~-1\r\n',
  '#x\r\n',
  '_x\r\n',
  ',1.5.1\r\n',
  ',\r\n',
  '(1.5\r\n',
  '=2\r\nab\r\n',
  '=-1\r\n',
  '!-1\r\n',
  '|1\r\n+a\r\n:1\r\n',
  '+OK\r\n+OK\r\n',
]

test.each(malformed)('%j is refused with the code PROTOCOL', (text) => {
  expect(() => decode(text)).toThrow(UnderstudyError)
  expect(() => decode(text)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }))
})

test('nesting is allowed to its limit and refused beyond it, without exhausting the stack', () => {
  expect(() => decode(`${'*1\r\n'.repeat(MAX_DEPTH)}:1\r\n`)).not.toThrow()
  expect(() => decode(`${'*1\r\n'.repeat(MAX_DEPTH + 1)}:1\r\n`)).toThrow(/nested deeper/)
  expect(() => decode(`${'*1\r\n'.repeat(1_000_000)}:1\r\n`)).toThrow(/nested deeper/)
})

test('any bytes give a reply or the error PROTOCOL, nothing else', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc
      .array(fc.constantFrom('*1\r\n', '%1\r\n', '|1\r\n', '$1\r\n', 'a', '\r\n', ':1\r\n', '~2\r\n', '-1'))
      .map((parts) => Buffer.from(parts.join(''))),
  )
  fc.assert(
    fc.property(bytes, (raw) => {
      const buf = Buffer.from(raw)
      try {
        decodeReply(buf, 0, buf.length)
      } catch (error) {
        expect(error).toMatchObject({ code: 'PROTOCOL' })
      }
    }),
    { numRuns: 2000 },
  )
})

/** What redis-parser makes of the same value. */
function asOracle(reply: Reply): unknown {
  if (reply instanceof SimpleReply) return Buffer.from(reply.text, 'latin1')
  if (reply instanceof ErrorReply) return new Error(reply.text)
  if (Array.isArray(reply)) return reply.map(asOracle)
  return reply
}

function plainErrors(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainErrors)
  return value instanceof Error ? new Error(value.message) : value
}

test('RESP2 is read as redis-parser reads it', () => {
  fc.assert(
    fc.property(resp2, (reply) => {
      const frame = encodeReply(reply, 2)
      let oracle: unknown
      new Parser({
        returnBuffers: true,
        returnReply: (value: unknown) => {
          oracle = value
        },
        returnError: (error: Error) => {
          oracle = error
        },
      }).execute(frame)
      expect(asOracle(decodeReply(frame, 0, frame.length))).toEqual(plainErrors(oracle))
    }),
    { numRuns: 500 },
  )
})
