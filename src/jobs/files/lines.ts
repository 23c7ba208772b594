import { isUtf8 } from 'node:buffer'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { UnderstudyError } from '../../base/errors.ts'

export interface Line {
  /** Without the line feed; null: `unread`. */
  readonly text: string | null
  /** Why there is no text, in words that follow the line's name: of bytes that are no UTF-8 others would be made than stand there. */
  readonly unread: string | null
  /** Where the next line begins. */
  readonly end: number
  /** The file ends in it: it has no line feed. */
  readonly isTorn: boolean
}

const READ_BYTES = 1024 * 1024
/** More than is ever written: a longer one is passed over without being held. */
export const MAX_LINE_BYTES = 256 * 1024 * 1024
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
  return end === -1 ? null : { text: buf.toString('utf8', 0, end), unread: null, end: end + 1, isTorn: false }
}

export interface LinesWanted {
  /** Byte of the file at which one begins. */
  readonly from: number
  /** Aborted when nobody wants more: a file may be long, and its lines may be. */
  readonly signal: AbortSignal
}

/** Lines of a file, to its end. Throws the signal's reason. */
export async function* linesOf(file: FileHandle, { from, signal }: LinesWanted): AsyncGenerator<Line> {
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
      yield { ...textOf([...pieces, last], length), end: at + end + 1, isTorn: false }
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
  if (length > 0) yield { ...textOf(pieces, length), end: at, isTorn: true }
}

function textOf(pieces: readonly Buffer[], length: number): Pick<Line, 'text' | 'unread'> {
  if (length > MAX_LINE_BYTES) return { text: null, unread: 'is longer than a line can be' }
  const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  return isUtf8(bytes) ? { text: bytes.toString('utf8'), unread: null } : { text: null, unread: 'is no UTF-8 text' }
}

/** What tells whether a file is the one that it was: plain JSON, part of checkpoints. */
export interface FileMark {
  readonly size: number
  readonly mtimeMs: number
}

export async function markOf(file: FileHandle): Promise<FileMark> {
  const { size, mtimeMs } = await file.stat()
  return { size, mtimeMs }
}

/** `begun`: what it was when the job began; undefined: it begins now, or an older version has begun it. Throws JOB_REFUSED where its place in the file says nothing any more. */
export function mustBeTheSame(path: string, now: FileMark, begun: FileMark | undefined): void {
  if (begun === undefined || (begun.size === now.size && begun.mtimeMs === now.mtimeMs)) return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `the file ${path} is not what it was when the job began (${begun.size} bytes then, ${now.size} now, or written since), so it cannot go on behind what it has read: start it again`,
  )
}

/** At the end of a file that was being read. Throws JOB_REFUSED when it was cut meanwhile. */
export async function mustNotBeCut(path: string, file: FileHandle, begun: FileMark): Promise<void> {
  const { size } = await markOf(file)
  if (size >= begun.size) return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `the file ${path} was cut while it was read (${begun.size} bytes before, ${size} now): start it again with the whole file`,
  )
}

/** How many lines of a file hold anything. Throws what `openToRead` does, and the signal's reason. */
export async function countLines(path: string, signal: AbortSignal): Promise<number> {
  const file = await openToRead(path)
  try {
    const buf = Buffer.allocUnsafe(READ_BYTES)
    let [count, isBlank] = [0, true]
    for (let at = 0; ; ) {
      signal.throwIfAborted()
      const { bytesRead } = await file.read(buf, 0, READ_BYTES, at)
      if (bytesRead === 0) return isBlank ? count : count + 1
      for (let start = 0; start < bytesRead; ) {
        const found = buf.indexOf(LINE_FEED, start)
        const end = found === -1 || found > bytesRead ? bytesRead : found
        while (isBlank && start < end) isBlank = isSpace(buf[start++]!)
        start = end + 1
        if (end === bytesRead) break
        if (!isBlank) count++
        isBlank = true
      }
      at += bytesRead
    }
  } finally {
    await file.close()
  }
}

function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13)
}

/** Bytes of the first `length` of a file up to the end of the last whole line: what a process that was killed in the middle of one has left is behind. */
export async function wholeLinesLength(file: FileHandle, length: number): Promise<number> {
  const buf = Buffer.allocUnsafe(READ_BYTES)
  for (let end = length; end > 0; ) {
    const from = Math.max(0, end - READ_BYTES)
    const { bytesRead } = await file.read(buf, 0, end - from, from)
    const last = buf.subarray(0, bytesRead).lastIndexOf(LINE_FEED)
    if (last !== -1) return from + last + 1
    end = from
  }
  return 0
}
