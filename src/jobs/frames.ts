import { COLON, DOLLAR, MINUS } from '../resp/bytes.ts'
import { encodeCommand } from '../resp/encode.ts'

/** The same commands for many keys, in one piece of memory: `words` with the key behind each, key by key. */
export function framesOf(commands: readonly (readonly string[])[], names: readonly Buffer[]): Buffer {
  const heads = commands.map((words) => headOf(words))
  let size = 0
  for (const name of names) {
    for (const head of heads) size += head.length + lengthLine(name.length).length + name.length + 2
  }
  const out = Buffer.allocUnsafe(size)
  let at = 0
  for (const name of names) {
    const line = lengthLine(name.length)
    for (const head of heads) {
      out.set(head, at)
      at += head.length
      out.set(line, at)
      at += line.length
      out.set(name, at)
      at += name.length
      out[at++] = 13
      out[at++] = 10
    }
  }
  return out
}

/** The integer reply at `start`; null: it is something else. */
export function integerAt(buf: Buffer, start: number): number | null {
  if (buf[start] !== COLON) return null
  let at = start + 1
  const negative = buf[at] === MINUS
  if (negative) at++
  let value = 0
  while (buf[at] !== 13) value = value * 10 + (buf[at++]! - 48)
  return negative ? -value : value
}

/** Where the bytes of the bulk reply at `start` begin; -1: it is nil, or something else. They end two bytes before its frame does. */
export function bulkStart(buf: Buffer, start: number): number {
  if (buf[start] !== DOLLAR || buf[start + 1] === MINUS) return -1
  let at = start + 1
  while (buf[at] !== 13) at++
  return at + 2
}

/** Everything of the command up to the key's length. */
function headOf(words: readonly string[]): Buffer {
  const whole = encodeCommand([...words, ''])
  return Buffer.from(whole.subarray(0, whole.length - '$0\r\n\r\n'.length))
}

const lines: Buffer[] = []

function lengthLine(length: number): Buffer {
  if (length >= 1024) return Buffer.from(`$${length}\r\n`)
  return (lines[length] ??= Buffer.from(`$${length}\r\n`))
}
