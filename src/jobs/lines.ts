import { constants, type FileHandle, open } from 'node:fs/promises'

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

/** Opens a file that is read more than once, which a pipe cannot be. Throws what `open` does. */
export async function openToRead(path: string): Promise<FileHandle> {
  // Without the flag a pipe that nobody writes to would hold a thread, which nothing could end.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!(await file.stat()).isFile()) throw new Error('it is no regular file')
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The first line, if it has its line feed within a megabyte. */
export async function firstLineOf(file: FileHandle): Promise<Line | null> {
  const buf = Buffer.allocUnsafe(READ_BYTES)
  const { bytesRead } = await file.read(buf, 0, READ_BYTES, 0)
  const end = buf.subarray(0, bytesRead).indexOf(LINE_FEED)
  return end === -1 ? null : { text: buf.toString('utf8', 0, end), end: end + 1 }
}

export interface LinesWanted {
  /** Byte of the file at which one begins. */
  readonly from: number
  /** A last line without its line feed is given too: the file of somebody else may end like that, ours was being written. */
  readonly torn: boolean
  /** Aborted when nobody wants more: a file may be long, and its lines may be. */
  readonly signal: AbortSignal
}

/** Lines of a file. Throws the signal's reason. */
export async function* linesOf(file: FileHandle, { from, torn, signal }: LinesWanted): AsyncGenerator<Line> {
  const buf = Buffer.allocUnsafe(READ_BYTES)
  let pieces: Buffer[] = []
  let length = 0
  let at = from
  for (;;) {
    signal.throwIfAborted()
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

/** How many line feeds a file has. Throws what `openToRead` does, and the signal's reason. */
export async function countLines(path: string, signal: AbortSignal): Promise<number> {
  const file = await openToRead(path)
  try {
    const buf = Buffer.allocUnsafe(READ_BYTES)
    let count = 0
    for (let at = 0; ; ) {
      signal.throwIfAborted()
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
