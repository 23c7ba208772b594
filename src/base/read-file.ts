import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

/** Some thousands of routes have room in it, or all authorities of the world. What is larger is not meant, and would keep the process busy for long. */
export const MAX_FILE_BYTES = 4 * 2 ** 20

/** It is there, and nothing that can be read as a file: `reason` says in words why. */
export class UnreadableFile extends Error {
  readonly reason: string

  constructor(path: string, reason: string) {
    super(`${path} cannot be read: ${reason}`)
    this.reason = reason
  }
}

/**
 * What a regular file holds. A pipe or a device is refused: opening or reading it could wait for ever, and read again it gives something else. So is what is larger than `MAX_FILE_BYTES`. Throws UnreadableFile, or what the
 * system says.
 */
export function readRegularFile(path: string): Buffer {
  // Without waiting for somebody who writes to a pipe.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const found = fstatSync(file)
    if (found.isDirectory()) throw new UnreadableFile(path, 'it is a directory')
    if (!found.isFile()) throw new UnreadableFile(path, 'it is no regular file, but a pipe, a socket or a device')
    if (found.size > MAX_FILE_BYTES)
      throw new UnreadableFile(
        path,
        `it has ${Math.round(found.size / 2 ** 20)} MB, and ${MAX_FILE_BYTES / 2 ** 20} are the most`,
      )
    return toEnd(path, file)
  } finally {
    closeSync(file)
  }
}

/** What comes from a pipe to its end, as long as that takes; throws as `readRegularFile`. */
export function readPipe(path: string): Buffer {
  const file = openSync(path, constants.O_RDONLY)
  try {
    return toEnd(path, file)
  } finally {
    closeSync(file)
  }
}

/** Some files tell no size, and devices have no end. */
function toEnd(path: string, file: number): Buffer {
  const pieces: Buffer[] = []
  for (let length = 0; ; ) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    const count = readSync(file, piece)
    if (count === 0) return Buffer.concat(pieces, length)
    pieces.push(piece.subarray(0, count))
    length += count
    if (length > MAX_FILE_BYTES) throw new UnreadableFile(path, `it has more than ${MAX_FILE_BYTES / 2 ** 20} MB`)
  }
}

const PIECE_BYTES = 64 * 1024
