import { COLON, DOLLAR, MINUS } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'

/**
 * Writes commands for many keys into memory that is used again and again: `words` with the key behind each, key by key.
 */
export class FrameWriter {
  #buf = Buffer.allocUnsafeSlow(128 * 1024)

  /** Hands each slice of about `sliceBytes` to `use`: a view, valid during the call. The same commands for every key. */
  write(
    commands: readonly (readonly string[])[],
    names: readonly Buffer[],
    sliceBytes: number,
    use: (buf: Buffer, length: number, count: number) => void,
  ): void {
    const heads = commands.map((words) => headOf(words))
    const headBytes = heads.reduce((sum, head) => sum + head.length, 0)
    let at = 0
    let count = 0
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!
      const line = lengthLine(name.length)
      const size = headBytes + heads.length * (line.length + name.length + 2)
      if (count > 0 && at + size > sliceBytes) {
        use(this.#buf, at, count)
        at = 0
        count = 0
      }
      if (this.#buf.length < at + size) this.#buf = Buffer.concat([this.#buf.subarray(0, at)], at + 2 * size)
      const out = this.#buf
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
      count += heads.length
    }
    if (count > 0) use(this.#buf, at, count)
  }
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
  const whole = encodeOwn([...words, ''])
  return Buffer.from(whole.subarray(0, whole.length - '$0\r\n\r\n'.length))
}

const lines: Buffer[] = []

function lengthLine(length: number): Buffer {
  if (length >= 1024) return Buffer.from(`$${length}\r\n`)
  return (lines[length] ??= Buffer.from(`$${length}\r\n`))
}
