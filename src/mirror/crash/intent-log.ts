import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { addByte, finishHash, HASH_START, hashBytes } from '../../base/hash.ts'
import type { Flushable } from '../../base/turn.ts'
import type { KeyPositions } from '../../command/keys.ts'
import { otherDatabase } from '../../command/other-database.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Removed } from '../functions/function-changes.ts'
import {
  BLOCK_HEADER_BYTES,
  blockOfKey,
  FUNCTIONS,
  NO_FUNCTIONS,
  NO_LIBRARY,
  putVarint,
  RECORD_OVERHEAD_BYTES,
  sealBlock,
  segmentName,
  UNNAMED_KEYS,
} from './intent-segment.ts'

const BUFFER_BYTES = 64 * 1024
const SEGMENT_BYTES = 4 * 1024 * 1024
/** A segment lives at least so long; then it waits until all in it is done. */
const SEGMENT_MS = 1_000
const RETRY_MS = 1_000

/** A segment that is complete, oldest first. */
export interface ClosedSegment {
  readonly number: number
  readonly bytes: number
}

export interface IntentLogEvents {
  /** Nothing can be written (disk full): what is noted from now on is lost if the process ends. Told once until `recovered`. */
  failed(error: Error): void
  recovered(): void
  /** A new segment begins: what may be written at any time without leaving again (commands that block) is to be noted in it. */
  segmentBegan(): void
}

/**
 * Which keys may be written on the primary before the shadow or the dirty set knows: noted before the commands leave, read after a crash (invariant 5).
 *
 *   send ─▶ note: bytes into one buffer ─▶ flush, before the pipelines write ─▶ one write() ─▶ segment file
 *
 *   segments  [ closed | closed | open ]     a closed one is dropped when all in it is done (`intent-tracker.ts`)
 *
 * Nothing is synced: what a write() has taken survives the end of the process, not that of the machine. Noting costs a copy of the key, and nothing where nothing
 * is mirrored.
 */
export class IntentLog implements Flushable {
  readonly #dir: string
  readonly #events: IntentLogEvents
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #used = BLOCK_HEADER_BYTES
  #fd = -1
  #number: number
  #openedMs = 0
  #bytes = 0
  /** Something stands in the open segment that is not only there because a segment began. */
  #worthClosing = false
  #beginning = false
  #closed: ClosedSegment[] = []
  #closedBytes = 0
  #failing = false
  #retryMs = 0

  /** `dir`: exists. `firstNumber`: beyond those of all segments there. */
  constructor(dir: string, firstNumber: number, events: IntentLogEvents) {
    this.#dir = dir
    this.#number = firstNumber
    this.#events = events
  }

  get failing(): boolean {
    return this.#failing
  }

  /** Of all segments, in bytes. */
  get bytes(): number {
    return this.#closedBytes + this.#bytes
  }

  get closed(): readonly ClosedSegment[] {
    return this.#closed
  }

  get closedBytes(): number {
    return this.#closedBytes
  }

  /** The last segment that something stands in which has been noted so far. */
  get newest(): number {
    this.flush()
    return this.#fd === -1 ? this.#number - 1 : this.#number
  }

  /** Whether a segment up to this one is there. */
  hasUpTo(number: number): boolean {
    const oldest = this.#closed[0]?.number ?? (this.#fd === -1 ? Number.POSITIVE_INFINITY : this.#number)
    return oldest <= number
  }

  /** The keys of a command that is about to be pushed. */
  note(database: number, spec: CommandSpec, view: CommandView, positions: KeyPositions): void {
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      this.noteKey(database, view.buf, view.start[arg]!, view.end[arg]!)
    }
    if (!spec.crossesDatabases || positions.count === 0) return
    const other = otherDatabase(spec, view)
    const last = positions.index[positions.count - 1]!
    if (other !== -1) this.noteKey(other, view.buf, view.start[last]!, view.end[last]!)
  }

  /** One key of a command that is about to be pushed. */
  noteKey(database: number, buf: Buffer, start: number, end: number): void {
    const length = end - start
    if (this.#used + length + RECORD_OVERHEAD_BYTES > BUFFER_BYTES) {
      this.flush()
      if (length + RECORD_OVERHEAD_BYTES + BLOCK_HEADER_BYTES > BUFFER_BYTES)
        return this.#write(blockOfKey(database, buf, start, end))
    }
    const to = this.#buffer
    let at = this.#used
    at = putVarint(to, at, database + 1)
    at = putVarint(to, at, length)
    // Below this a loop beats the call into native code.
    if (length < 48) for (let i = start; i < end; i++) to[at++] = buf[i]!
    else at += buf.copy(to, at, start, end)
    this.#used = at
  }

  /** As `noteKey`; gives the key's hash (`hashBytes`), which costs next to nothing in the same loop. */
  noteHashed(database: number, buf: Buffer, start: number, end: number): number {
    const length = end - start
    // Varints of one byte each; all others are rare.
    if (length > 0x7f || database >= 0x7f || this.#used + length + 2 > BUFFER_BYTES) {
      this.noteKey(database, buf, start, end)
      return hashBytes(buf, start, end)
    }
    const to = this.#buffer
    let at = this.#used
    to[at++] = database + 1
    to[at++] = length
    let hash = HASH_START
    for (let i = start; i < end; i++) {
      const byte = buf[i]!
      to[at++] = byte
      hash = addByte(hash, byte)
    }
    this.#used = at
    return finishHash(hash)
  }

  /** A command that changes every key is about to be pushed. */
  noteEveryKey(): void {
    if (this.#used === BUFFER_BYTES) this.flush()
    this.#buffer[this.#used++] = 0
  }

  /** A command that changes functions, and removes those, is about to be pushed. */
  noteFunctions(removed: Removed): void {
    if (removed === null) return this.#noteKind(FUNCTIONS)
    if (removed === 'all') return this.#noteKind(NO_FUNCTIONS)
    const name = Buffer.from(removed.library, 'latin1')
    // In the place of a database, as `noteKey` writes it.
    this.noteKey(NO_LIBRARY - 1, name, 0, name.length)
  }

  /** A script that may write to keys which it does not declare is about to be pushed. */
  noteUnnamedKeys(): void {
    this.#noteKind(UNNAMED_KEYS)
  }

  /** Before bytes leave for a store: what has been noted is with the kernel when this returns. */
  flush(): void {
    if (this.#used === BLOCK_HEADER_BYTES) return
    const used = this.#used
    this.#used = BLOCK_HEADER_BYTES
    this.#write(this.#buffer, used)
  }

  /** Now and then: closes a segment that has lived long enough; tries again what has failed. */
  tick(nowMs: number): void {
    if (this.#failing && nowMs >= this.#retryMs) this.#retry(nowMs)
    if (this.#worthClosing && nowMs - this.#openedMs >= SEGMENT_MS) this.#close()
  }

  /** The bytes of a closed segment. */
  read(number: number): Buffer {
    return readFileSync(this.#pathOf(number))
  }

  /** All that stands in the closed segments up to this one is done. */
  drop(upTo: number): void {
    while (this.#closed.length > 0 && this.#closed[0]!.number <= upTo) {
      const { number, bytes } = this.#closed.shift()!
      this.#closedBytes -= bytes
      try {
        rmSync(this.#pathOf(number))
      } catch {
        // It stays, and its keys are copied once more after a crash.
      }
    }
  }

  /** Everything that was ever noted is done: nothing is left. */
  end(): void {
    this.#used = BLOCK_HEADER_BYTES
    this.#worthClosing = false
    if (this.#fd !== -1) this.#close()
    this.drop(Number.POSITIVE_INFINITY)
  }

  // --- inside

  #noteKind(kind: number): void {
    if (this.#used + RECORD_OVERHEAD_BYTES > BUFFER_BYTES) this.flush()
    this.#used = putVarint(this.#buffer, this.#used, kind)
  }

  #pathOf(number: number): string {
    return join(this.#dir, segmentName(number))
  }

  #write(block: Buffer, end = block.length): void {
    if (this.#failing) return
    sealBlock(block, end)
    try {
      if (this.#fd === -1) this.#open()
      const written = writeSync(this.#fd, block, 0, end)
      if (written !== end) throw new Error(`only ${written} of ${end} bytes could be written`)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    this.#bytes += end
    if (!this.#beginning) this.#worthClosing = true
    if (this.#bytes >= SEGMENT_BYTES && this.#worthClosing) this.#close()
  }

  #open(): void {
    this.#fd = openSync(this.#pathOf(this.#number), 'ax', 0o600)
    this.#openedMs = performance.now()
    this.#bytes = 0
  }

  /** The open segment is complete; what has to stand in every one begins the next. */
  #close(): void {
    closeSync(this.#fd)
    this.#closed.push({ number: this.#number, bytes: this.#bytes })
    this.#closedBytes += this.#bytes
    this.#fd = -1
    this.#bytes = 0
    this.#number++
    if (!this.#worthClosing) return
    this.#worthClosing = false
    this.#begin()
  }

  #begin(): void {
    this.#beginning = true
    this.#events.segmentBegan()
    this.flush()
    this.#beginning = false
  }

  #fail(error: Error): void {
    this.#retryMs = performance.now() + RETRY_MS
    if (this.#fd !== -1) {
      this.#worthClosing = false
      this.#close()
    }
    this.#failing = true
    this.#events.failed(error)
  }

  /** Tries with as much as a turn may need, so that a disk that is all but full does not fail and recover by turns. */
  #retry(nowMs: number): void {
    this.#retryMs = nowMs + RETRY_MS
    try {
      this.#open()
      if (writeSync(this.#fd, this.#buffer) !== BUFFER_BYTES) throw new Error('no room')
      ftruncateSync(this.#fd, 0)
    } catch {
      if (this.#fd === -1) return
      closeSync(this.#fd)
      this.#fd = -1
      rmSync(this.#pathOf(this.#number), { force: true })
      return
    }
    this.#failing = false
    this.#used = BLOCK_HEADER_BYTES
    this.#begin()
    if (!this.#failing) this.#events.recovered()
  }
}
