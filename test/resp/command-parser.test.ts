import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { COMPLETE, CommandParser, INVALID, NEED_MORE } from '../../src/resp/command-parser.ts'
import { encodeCommand } from '../../src/resp/encode.ts'

const argument = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const command = fc.array(argument, { minLength: 1, maxLength: 8 })

/** Feeds `bytes` in the given pieces the way a session does: keeps what is not whole, moves it, goes on. */
function parseInPieces(bytes: Buffer, pieces: readonly number[]): { commands: string[][]; error: string | null } {
  const parser = new CommandParser()
  const commands: string[][] = []
  let kept = Buffer.alloc(0)
  let at = 0
  for (const size of [...pieces, bytes.length]) {
    const piece = bytes.subarray(at, Math.min(bytes.length, at + size))
    at += piece.length
    kept = Buffer.concat([kept, piece])
    let from = 0
    for (;;) {
      const status = parser.parse(kept, from, kept.length)
      if (status === INVALID) return { commands, error: parser.error }
      if (status === NEED_MORE) break
      if (parser.argc > 0) {
        commands.push(
          Array.from({ length: parser.argc }, (_, i) =>
            parser.buf.toString('latin1', parser.start[i]!, parser.end[i]!),
          ),
        )
      }
      from = parser.next
    }
    if (parser.partial) parser.rebase(-from)
    kept = Buffer.from(kept.subarray(from))
  }
  return { commands, error: null }
}

describe('CommandParser', () => {
  test('finds the same commands however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(command, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 }),
        (sent, pieces) => {
          const bytes = Buffer.concat(sent.map((args) => encodeCommand(args)))
          const expected = sent.map((args) => args.map((arg) => arg.toString('latin1')))
          expect(parseInPieces(bytes, pieces).commands).toEqual(expected)
        },
      ),
    )
  })

  test('finds the same commands when cut at every single byte', () => {
    const bytes = Buffer.concat([
      encodeCommand(['SET', 'a', 'x\r\ny']),
      Buffer.from('PING  "a b"\r\n'),
      Buffer.from('*0\r\n'),
      encodeCommand(['GET', '']),
    ])
    const expected = [
      ['SET', 'a', 'x\r\ny'],
      ['PING', 'a b'],
      ['GET', ''],
    ]
    for (let cut = 1; cut < bytes.length; cut++) expect(parseInPieces(bytes, [cut]).commands).toEqual(expected)
    expect(parseInPieces(bytes, Array(bytes.length).fill(1)).commands).toEqual(expected)
  })

  test.each([0, 1, 9, 10, 99, 100, 999, 1000, 10_000])(
    'finds arguments of %i bytes, whole and cut anywhere',
    (length) => {
      const args = ['SET', 'k'.repeat(length), '\r\n$1*'.repeat(length).slice(0, length)]
      const bytes = Buffer.concat([encodeCommand(args), encodeCommand(['GET', 'k'])])
      const expected = [args, ['GET', 'k']]
      expect(parseInPieces(bytes, []).commands).toEqual(expected)
      const around = [1, 2, 3, 4, 5, 6, 14, 15, 16, 17, 18, 19, 20].flatMap((at) => [at, bytes.length - at])
      for (const cut of around) expect(parseInPieces(bytes, [cut]).commands).toEqual(expected)
    },
  )

  test('finds commands of nine, ten and seventeen arguments', () => {
    const sent = [9, 10, 17].map((count) => Array.from({ length: count }, (_, i) => `a${i}`))
    expect(parseInPieces(Buffer.concat(sent.map((args) => encodeCommand(args))), []).commands).toEqual(sent)
  })

  test('looks at nothing beyond the bytes that have come', () => {
    const stale = Buffer.from('*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n')
    for (let to = 1; to < 14; to++) expect(new CommandParser().parse(stale, 0, to)).toBe(NEED_MORE)
    for (let to = 15; to < stale.length; to++) {
      const parser = new CommandParser()
      expect(parser.parse(stale, 14, to)).toBe(NEED_MORE)
    }
  })

  test('gives an inline command the form of a multibulk', () => {
    const parser = new CommandParser()
    const bytes = Buffer.from(`set 'k 1' "v\\x41\\n"\r\nPING\n`)
    expect(parser.parse(bytes, 0, bytes.length)).toBe(COMPLETE)
    expect(parser.buf.toString('latin1', parser.frameStart, parser.frameEnd)).toBe(
      '*3\r\n$3\r\nset\r\n$3\r\nk 1\r\n$3\r\nvA\n\r\n',
    )
    expect(parser.parse(bytes, parser.next, bytes.length)).toBe(COMPLETE)
    expect(parser.buf.toString('latin1', parser.frameStart, parser.frameEnd)).toBe('*1\r\n$4\r\nPING\r\n')
  })

  test.each([
    ['*x\r\n', 'Protocol error: invalid multibulk length'],
    ['*16777217\r\n', 'Protocol error: invalid multibulk length'],
    ['*01\r\n', 'Protocol error: invalid multibulk length'],
    [`*${'1'.repeat(30)}\r\n`, 'Protocol error: invalid multibulk length'],
    [`*${'1'.repeat(70_000)}`, 'Protocol error: too big mbulk count string'],
    ['*1\r\n+PING\r\n', "Protocol error: expected '$', got '+'"],
    ['*2\r\n\r\n\r\n', "Protocol error: expected '$', got ' '"],
    ['*1\r\n$-1\r\n', 'Protocol error: invalid bulk length'],
    ['*1\r\n$01\r\na\r\n', 'Protocol error: invalid bulk length'],
    ['*1\r\n$1x\r\na\r\n', 'Protocol error: invalid bulk length'],
    ['*1\r\n$\r\n\r\n\r\n', 'Protocol error: invalid bulk length'],
    ['*2\r\n$1\r\na\r\n:1\r\n\r\n\r\n', "Protocol error: expected '$', got ':'"],
    ['*1\r\n$536870913\r\n', 'Protocol error: invalid bulk length'],
    ['set "a\r\n', 'Protocol error: unbalanced quotes in request'],
    ['a'.repeat(65_537), 'Protocol error: too big inline request'],
  ])('refuses %j in the words of Redis', (text, error) => {
    const parser = new CommandParser()
    const bytes = Buffer.from(text)
    expect(parser.parse(bytes, 0, bytes.length)).toBe(INVALID)
    expect(parser.error).toBe(error)
  })

  test('a command of a million arguments in small chunks is looked at once', () => {
    const count = 1_000_000
    const bytes = Buffer.concat([Buffer.from(`*${count}\r\n`), Buffer.from('$1\r\nx\r\n'.repeat(count))])
    const parser = new CommandParser()
    let status: number = NEED_MORE
    let steps = 0
    for (let to = 1024; status === NEED_MORE; to += 1024, steps++)
      status = parser.parse(bytes, 0, Math.min(to, bytes.length))
    expect(status).toBe(COMPLETE)
    expect(parser.argc).toBe(count)
    expect(steps).toBeGreaterThan(6000)
  })

  test('never throws on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.integer({ min: 1, max: 7 })), (bytes, pieces) => {
        parseInPieces(Buffer.from(bytes), pieces)
      }),
    )
  })
})
