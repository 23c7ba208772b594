import { write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DestinationStream } from 'pino'

/** Lines that wait for a slow reader; beyond this they are dropped, the process is never held up. */
const MAX_WAITING_BYTES = 1024 * 1024
/** Until a reader that has no room is tried again. */
const AGAIN_MS = 100
/** At the end, how long a reader is waited for that takes nothing; and in all, one that is slow. */
const PATIENCE_MS = 500
const FLUSH_MS = 5_000
/** So much is under way at most: a reader that takes so much is not one that takes nothing. */
const AT_ONCE_BYTES = 16 * 1024
const LOOK_MS = 10

/**
 * A file or pipe that lines go to, one behind the other. What cannot be written is given up and the next line tried: a reader that is gone (`EPIPE`), or a disk that is full, is no reason to end, nor to stay.
 *
 *   write ─▶ [ lines ] ─▶ under way (one write, in a thread)      no room (`EAGAIN`): its rest is the first of the lines again
 */
export class LogOutput implements DestinationStream {
  readonly #fd: number
  #lines: Buffer[] = []
  #bytes = 0
  #isUnderWay = false

  constructor(fd: number) {
    this.#fd = fd
  }

  write(line: string): void {
    const bytes = Buffer.from(line)
    if (this.#bytes + bytes.length > MAX_WAITING_BYTES) return
    this.#lines.push(bytes)
    this.#bytes += bytes.length
    if (!this.#isUnderWay) this.#next()
  }

  /** Resolves when everything has been written, or the rest is given up: a reader that takes nothing has half a second, a slow one five. False: it is, and its pipe may keep a thread for ever. */
  async drain(): Promise<boolean> {
    const endMs = performance.now() + FLUSH_MS
    let untilMs = performance.now() + PATIENCE_MS
    let bytes = this.#bytes
    while (this.#isUnderWay) {
      await sleep(LOOK_MS)
      const nowMs = performance.now()
      if (this.#bytes < bytes) untilMs = Math.min(endMs, nowMs + PATIENCE_MS)
      bytes = this.#bytes
      if (nowMs < untilMs) continue
      this.#take()
      return false
    }
    return true
  }

  /**
   * Writes what waits, here and now; for a process that exits without more ado. A reader without room has half a second, a slow one five, unless the pipe itself makes everybody wait who writes to it. What is under way then may be torn; whoever can wait for it
   * calls `drain`.
   */
  flush(): void {
    const endMs = performance.now() + FLUSH_MS
    let untilMs = performance.now() + PATIENCE_MS
    let rest = this.#take()
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest))
        untilMs = Math.min(endMs, performance.now() + PATIENCE_MS)
      } catch (error) {
        if (!hasNoRoom(error) || performance.now() >= untilMs) return
        Atomics.wait(NEVER, 0, 0, LOOK_MS)
      }
    }
  }

  #next(): void {
    const all = this.#take()
    const bytes = all.subarray(0, endOfLines(all))
    this.#putBack(all.subarray(bytes.length))
    this.#isUnderWay = bytes.length > 0
    if (!this.#isUnderWay) return
    write(this.#fd, bytes, (error, written) => {
      const again = hasNoRoom(error)
      if (error === null || again) this.#putBack(bytes.subarray(written ?? 0))
      if (again) setTimeout(() => this.#next(), AGAIN_MS).unref()
      else this.#next()
    })
  }

  #take(): Buffer {
    const all = Buffer.concat(this.#lines)
    this.#lines = []
    this.#bytes = 0
    return all
  }

  #putBack(rest: Buffer): void {
    if (rest.length === 0) return
    this.#lines.unshift(rest)
    this.#bytes += rest.length
  }
}

/** Where to divide, so that what cannot be written is given up in whole lines. */
function endOfLines(bytes: Buffer): number {
  if (bytes.length <= AT_ONCE_BYTES) return bytes.length
  const before = bytes.lastIndexOf(END_OF_LINE, AT_ONCE_BYTES - 1) + 1
  return before > 0 ? before : bytes.indexOf(END_OF_LINE) + 1 || bytes.length
}

const END_OF_LINE = 0x0a

function hasNoRoom(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'EAGAIN'
}

const NEVER = new Int32Array(new SharedArrayBuffer(4))
