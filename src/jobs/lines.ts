import { type FileHandle, open } from 'node:fs/promises'

export interface Line {
  /** Without the line feed; null: longer than a line can be. */
  readonly text: string | null
  /** Where the next line begins. */
  readonly end: number
}

const READ_BYTES = 1024 * 1024
/** More than is ever written: a longer one is passed over without being held. */
const MAX_LINE_BYTES = 256 * 1024 * 1024
const LINE_FEED = 10

/** The lines of a file from byte `from` on, which is where one begins. A last line without its line feed is given too, when `torn` says so: the file of somebody else may end like that, ours was being written. */
export async function* linesOf(file: FileHandle, from: number, torn: boolean): AsyncGenerator<Line> {
  const buf = Buffer.allocUnsafe(READ_BYTES)
  let pieces: Buffer[] = []
  let length = 0
  let at = from
  for (;;) {
    const { bytesRead } = await file.read(buf, 0, READ_BYTES, at)
    if (bytesRead === 0) break
    let start = 0
    for (let end = buf.indexOf(LINE_FEED); end !== -1 && end < bytesRead; end = buf.indexOf(LINE_FEED, start)) {
      const last = buf.subarray(start, end)
      length += last.length
      yield { text: textOf([...pieces, last], length), end: at + end + 1 }
      pieces = []
      length = 0
      start = end + 1
    }
    const rest = bytesRead - start
    length += rest
    if (length > MAX_LINE_BYTES) pieces = []
    else if (rest > 0) pieces.push(Buffer.from(buf.subarray(start, bytesRead)))
    at += bytesRead
  }
  if (torn && length > 0) yield { text: textOf(pieces, length), end: at }
}

function textOf(pieces: readonly Buffer[], length: number): string | null {
  if (length > MAX_LINE_BYTES) return null
  return (pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)).toString('utf8')
}

/** How many line feeds a file has. Throws what `open` does. */
export async function countLines(path: string): Promise<number> {
  const file = await open(path, 'r')
  try {
    const buf = Buffer.allocUnsafe(READ_BYTES)
    let count = 0
    for (let at = 0; ; ) {
      const { bytesRead } = await file.read(buf, 0, READ_BYTES, at)
      if (bytesRead === 0) return count
      for (let i = buf.indexOf(LINE_FEED); i !== -1 && i < bytesRead; i = buf.indexOf(LINE_FEED, i + 1)) count++
      at += bytesRead
    }
  } finally {
    await file.close()
  }
}

/** Bytes of a file up to the end of its last whole line: what a process that was killed in the middle of one has left is behind. */
export async function wholeLinesLength(file: FileHandle): Promise<number> {
  const buf = Buffer.allocUnsafe(READ_BYTES)
  for (let end = (await file.stat()).size; end > 0; ) {
    const from = Math.max(0, end - READ_BYTES)
    const { bytesRead } = await file.read(buf, 0, end - from, from)
    const last = buf.subarray(0, bytesRead).lastIndexOf(LINE_FEED)
    if (last !== -1) return from + last + 1
    end = from
  }
  return 0
}
