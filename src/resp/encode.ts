import { ASTERISK, CR, DOLLAR, LF, ZERO } from './bytes.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  PushReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from './reply.ts'

/** Protocol version of a connection: what `HELLO` agreed on. */
export type Protocol = 2 | 3

/** Frames that are sent so often that they are built once. Shared: nobody writes into them. */
export const FRAME = {
  OK: Buffer.from('+OK\r\n'),
  QUEUED: Buffer.from('+QUEUED\r\n'),
  PONG: Buffer.from('+PONG\r\n'),
  RESET: Buffer.from('+RESET\r\n'),
  ZERO: Buffer.from(':0\r\n'),
  ONE: Buffer.from(':1\r\n'),
  EMPTY_BULK: Buffer.from('$0\r\n\r\n'),
  EMPTY_ARRAY: Buffer.from('*0\r\n'),
  /** RESP2's nil. A missing array (EXEC given up, BLPOP timed out) has its own form. */
  NIL: Buffer.from('$-1\r\n'),
  NIL_ARRAY: Buffer.from('*-1\r\n'),
  /** RESP3's nil, for both. */
  NULL: Buffer.from('_\r\n'),
} as const

/**
 * A command as RESP multibulk: `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`. Strings go out as UTF-8, numbers in decimal; buffers as they are.
 * One allocation, no parts to join.
 */
export function encodeCommand(args: readonly (Buffer | string | number)[]): Buffer {
  let size = headerSize(args.length)
  for (const arg of args) {
    const length = byteLength(arg)
    size += headerSize(length) + length + 2
  }
  const out = Buffer.allocUnsafe(size)
  let at = writeHeader(out, 0, ASTERISK, args.length)
  for (const arg of args) {
    if (typeof arg === 'object') {
      at = writeHeader(out, at, DOLLAR, arg.length)
      at += arg.copy(out, at)
    } else {
      const text = typeof arg === 'number' ? String(arg) : arg
      at = writeHeader(out, at, DOLLAR, byteLength(text))
      at += out.write(text, at)
    }
    out[at++] = CR
    out[at++] = LF
  }
  return out
}

function byteLength(arg: Buffer | string | number): number {
  if (typeof arg === 'object') return arg.length
  return typeof arg === 'number' ? String(arg).length : Buffer.byteLength(arg)
}

/** Bytes that `writeHeader` needs: type byte, decimal digits, CR LF. */
export function headerSize(n: number): number {
  let digits = 1
  for (let rest = n; rest >= 10; rest = Math.floor(rest / 10)) digits++
  return digits + 3
}

/** Writes `$123\r\n` (or `*`, by `type`) at `at`; returns the offset behind it. `n` is not negative. */
export function writeHeader(out: Buffer, at: number, type: number, n: number): number {
  out[at] = type
  const end = at + headerSize(n)
  let rest = n
  for (let i = end - 3; i > at; i--) {
    const tenth = Math.floor(rest / 10)
    out[i] = ZERO + rest - tenth * 10
    rest = tenth
  }
  out[end - 2] = CR
  out[end - 1] = LF
  return end
}

/** An error frame of Understudy's own. CR and LF would end the frame early, so they become spaces. UTF-8. */
export function errorFrame(text: string): Buffer {
  return Buffer.from(`-${oneLine(text)}\r\n`)
}

/**
 * A decoded reply back on the wire. For `proto` 2 the RESP3 types become what Redis itself sends to RESP2 clients: maps flat
 * arrays, sets and pushes arrays, doubles and verbatim texts bulk strings, booleans 0 and 1. Simple strings and errors keep
 * the bytes that `decodeReply` read (both use one byte per character).
 */
export function encodeReply(reply: Reply, proto: Protocol): Buffer {
  const parts: Buffer[] = []
  appendReply(parts, reply, proto)
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

/** Recursion is bounded: `decodeReply` refuses frames nested deeper than its `MAX_DEPTH`. */
function appendReply(parts: Buffer[], reply: Reply, proto: Protocol): void {
  if (reply === null) parts.push(proto === 3 ? FRAME.NULL : FRAME.NIL)
  else if (Buffer.isBuffer(reply)) appendBulk(parts, reply)
  else if (typeof reply === 'number') parts.push(Buffer.from(`:${reply}\r\n`))
  else if (typeof reply === 'bigint') appendBigInt(parts, reply, proto)
  else if (typeof reply === 'boolean') {
    if (proto === 3) parts.push(Buffer.from(reply ? '#t\r\n' : '#f\r\n'))
    else parts.push(reply ? FRAME.ONE : FRAME.ZERO)
  } else if (reply instanceof SimpleReply) parts.push(Buffer.from(`+${oneLine(reply.text)}\r\n`, 'latin1'))
  else if (reply instanceof ErrorReply) parts.push(Buffer.from(`-${oneLine(reply.text)}\r\n`, 'latin1'))
  else if (reply instanceof DoubleReply) {
    if (proto === 3) parts.push(Buffer.from(`,${reply.text}\r\n`))
    else appendBulk(parts, Buffer.from(reply.text))
  } else if (reply instanceof VerbatimReply) {
    if (proto === 3) {
      const head = Buffer.from(`=${reply.bytes.length + 4}\r\n${reply.format}:`, 'latin1')
      parts.push(head, reply.bytes, END)
    } else appendBulk(parts, reply.bytes)
  } else if (reply instanceof MapReply) {
    parts.push(proto === 3 ? head('%', reply.entries.length) : head('*', reply.entries.length * 2))
    for (const [key, value] of reply.entries) {
      appendReply(parts, key, proto)
      appendReply(parts, value, proto)
    }
  } else if (reply instanceof SetReply) appendItems(parts, proto === 3 ? '~' : '*', reply.members, proto)
  else if (reply instanceof PushReply) appendItems(parts, proto === 3 ? '>' : '*', reply.items, proto)
  else appendItems(parts, '*', reply, proto)
}

const END = Buffer.from('\r\n')
const MAX_INT64 = 2n ** 63n - 1n
const MIN_INT64 = -(2n ** 63n)

function appendBigInt(parts: Buffer[], value: bigint, proto: Protocol): void {
  const text = value.toString()
  if (value >= MIN_INT64 && value <= MAX_INT64) parts.push(Buffer.from(`:${text}\r\n`))
  else if (proto === 3) parts.push(Buffer.from(`(${text}\r\n`))
  else appendBulk(parts, Buffer.from(text))
}

function appendItems(parts: Buffer[], type: string, items: readonly Reply[], proto: Protocol): void {
  parts.push(head(type, items.length))
  for (const item of items) appendReply(parts, item, proto)
}

function appendBulk(parts: Buffer[], bytes: Buffer): void {
  parts.push(head('$', bytes.length), bytes, END)
}

function head(type: string, n: number): Buffer {
  return Buffer.from(`${type}${n}\r\n`)
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, ' ')
}
