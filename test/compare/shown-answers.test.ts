import { gzipSync } from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import { expect, test } from 'vitest'
import { CommandTable } from '../../src/command/table.ts'
import { type ShownAnswers, shownAnswers } from '../../src/compare/shown-answers.ts'
import type { DecoderName } from '../../src/config/config.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from '../../src/resp/reply.ts'

const table = CommandTable.builtin()
const secret = Buffer.from('hunter2')

/** Both answers to `command`, shown. */
function shown(
  command: string,
  primary: Reply,
  shadow: Reply,
  options: { reveal?: 'masked' | 'values'; decode?: DecoderName[]; ignoreJson?: string[] } = {},
): ShownAnswers {
  const args = command.split(' ').map((word) => Buffer.from(word))
  const { reveal = 'masked', decode = [], ignoreJson = [] } = options
  return shownAnswers(table.lookup(viewOf(args))!, args, primary, shadow, { reveal, decode, ignoreJson })
}
const masked = (command: string, reply: Reply): string => shown(command, reply, null).primary
const revealed = (command: string, reply: Reply): string => shown(command, reply, null, { reveal: 'values' }).primary

const shapes: [string, Reply, RegExp][] = [
  ['GET k', null, /^nil$/],
  ['GET k', secret, /^string, 7 bytes, #[0-9a-f]{8}$/],
  ['GET k', Buffer.from('x'), /^string, 1 byte, #/],
  ['TYPE k', new SimpleReply('hunter2'), /^string, 7 bytes, #/],
  ['GET k', new VerbatimReply('txt', secret), /^string, 7 bytes, #/],
  ['LLEN k', 42, /^integer, #/],
  ['SISMEMBER k m', true, /^integer, #/],
  ['ZSCORE k m', new DoubleReply('1.5'), /^double, #/],
  ['LRANGE k 0 -1', [secret, secret], /^array, 2 elements, #/],
  ['SMEMBERS k', new SetReply([secret]), /^set, 1 member, #/],
  ['HGETALL k', new MapReply([[secret, secret]]), /^map, 1 field, #/],
  ['GET k', new ErrorReply('WRONGTYPE hunter2'), /^error WRONGTYPE$/],
  ['GET k', new ErrorReply('hunter2'), /^error ERR$/],
]

test.each(shapes)('an answer to %s is masked (%#)', (command, reply, shape) => {
  expect(masked(command, reply)).toMatch(shape)
  expect(masked(command, reply)).not.toContain('hunter2')
})

test('equal values have equal masks, others have not', () => {
  expect(masked('GET k', Buffer.from('abc'))).toBe(masked('GET k', Buffer.from('abc')))
  expect(masked('GET k', Buffer.from('abc'))).not.toBe(masked('GET k', Buffer.from('abd')))
})

test('a client of RESP3 is asked by RESP2 on the shadow: the same value looks the same', () => {
  const pairs: [string, Reply, Reply][] = [
    ['HGETALL k', new MapReply([[secret, Buffer.from('v')]]), [secret, Buffer.from('v')]],
    ['SMEMBERS k', new SetReply([secret, Buffer.from('b')]), [Buffer.from('b'), secret]],
    ['ZSCORE k m', new DoubleReply('1.5'), Buffer.from('1.50')],
    ['ZRANGE k 0 -1 WITHSCORES', [[secret, new DoubleReply('2')]], [secret, Buffer.from('2')]],
  ]
  for (const [command, resp3, resp2] of pairs) {
    for (const reveal of ['masked', 'values'] as const) {
      const { primary, shadow } = shown(command, resp3, resp2, { reveal })
      expect(primary, `${command} ${reveal}`).toBe(shadow)
    }
  }
})

test('a route that reveals values shows them readably', () => {
  expect(revealed('LRANGE k 0 -1', [Buffer.from('a"b'), 1, null, [true]])).toBe('["a\\"b", 1, nil, [1]]')
  expect(revealed('HGETALL k', new MapReply([[Buffer.from('f'), new DoubleReply('1.5')]]))).toBe('{"f": 1.5}')
  expect(revealed('GET k', new ErrorReply('ERR no'))).toBe('(error) ERR no')
  expect(revealed('GET k', Buffer.from('schön'))).toBe('"schön"')
})

test('bytes that are no text are told apart', () => {
  const { primary, shadow } = shown('GET k', Buffer.from([0x41, 0xff]), Buffer.from([0x41, 0xfe]), { reveal: 'values' })
  expect(primary).toBe('"A\\xff"')
  expect(shadow).toBe('"A\\xfe"')
})

test('decoded values are shown as what they mean, without what is ignored', () => {
  const document = (n: number) => ({ n, at: Date.now() + n })
  const options = { reveal: 'values', decode: ['gzip', 'msgpack', 'json'], ignoreJson: ['$.at'] } as const
  const forms = [
    (n: number) => gzipSync(JSON.stringify(document(n))),
    (n: number) => Buffer.from(encode(document(n))),
    (n: number) => Buffer.from(JSON.stringify(document(n))),
  ]
  for (const form of forms) {
    const answers = shown('GET k', form(1), form(2), { ...options, decode: [...options.decode], ignoreJson: ['$.at'] })
    expect(answers).toEqual({ primary: '{"n":1}', shadow: '{"n":2}' })
  }
  expect(shown('GET k', forms[0]!(1), null, { decode: ['gzip', 'json'] }).primary).toMatch(
    /^document, \d+ characters, #/,
  )
})

test('of long values the part is shown in which they differ', () => {
  const long = (n: string) => Buffer.from(`${'x'.repeat(4_000)}${n}${'y'.repeat(4_000)}`)
  const { primary, shadow } = shown('GET k', long('A'), long('B'), { reveal: 'values' })
  expect(primary).toMatch(/^\.\.\.x+Ay+\.\.\. \(from character 3802 of 8003 characters\)$/)
  expect(shadow).toMatch(/^\.\.\.x+By+\.\.\./)
  expect(primary.length).toBeLessThan(1_100)
  expect(revealed('GET k', Buffer.alloc(5_000, 'x')).length).toBeLessThan(1_100)
})
