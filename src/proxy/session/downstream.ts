import type net from 'node:net'
import { TLSSocket } from 'node:tls'
import { copyBytes, finishCopies } from '../../base/copy-run.ts'
import type { Flushable, Turn } from '../../base/turn.ts'

const BUFFER_BYTES = 16 * 1024
const LARGE_BYTES = 64 * 1024
const MAX_FREE = 256
/** What a burst of replies goes into: four times what a store can have said in one read. */
const BURST_BYTES = 256 * 1024
const MAX_FREE_BURST = 32
/** Buffers that no client holds at the moment: an idle client costs none. */
const free: Buffer[] = []
const freeBurst: Buffer[] = []

/**
 * The bytes on their way to one client. Everything that becomes ready in a turn of the event loop is copied once into a pooled buffer and leaves in one
 * `write`; when the kernel took it at once (nearly always) the buffer goes back to the pool.
 */
export class Downstream implements Flushable {
  readonly socket: net.Socket
  readonly #turn: Turn
  readonly #encrypted: boolean
  #out: Buffer | null = null
  #length = 0
  #queued = false
  #closeWhenWritten = false
  /** Bytes of all replies and messages so far. */
  written = 0
  /** Told when everything has been taken by the kernel: who waits for room may go on. */
  onRoom: (() => void) | null = null

  constructor(socket: net.Socket, turn: Turn) {
    this.socket = socket
    this.#encrypted = socket instanceof TLSSocket
    this.#turn = turn
  }

  /** Bytes that the client has not taken yet. */
  get pendingBytes(): number {
    return this.#length + this.socket.writableLength
  }

  /** Of these, those that have not been handed to the socket. */
  get gatheredBytes(): number {
    return this.#length
  }

  /** The buffer that they are gathered in: 0 for a client that is owed nothing. */
  get bufferBytes(): number {
    return this.#out?.length ?? 0
  }

  write(buf: Buffer, from: number, to: number): void {
    const bytes = to - from
    this.written += bytes
    let out = this.#out
    if (out === null) out = this.#out = free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    if (out.length - this.#length < bytes) {
      if (bytes >= LARGE_BYTES) {
        this.#send()
        if (!this.socket.destroyed) this.socket.write(Buffer.from(buf.subarray(from, to)))
        return
      }
      if (this.#length + bytes > BURST_BYTES && this.socket.writableNeedDrain) this.#send()
      out = this.#room(bytes)
    }
    copyBytes(buf, from, to, out, this.#length)
    this.#length += bytes
    if (!this.#queued) {
      this.#queued = true
      this.#turn.add(this)
    }
  }

  /**
   * While the kernel takes nothing, small pieces are gathered: handed over one by one, each message of a few bytes would hold on to a buffer of its own until the client
   * reads, and its limit in bytes would say nothing about memory.
   */
  flush(): void {
    this.#queued = false
    if (this.socket.writableNeedDrain && !this.#closeWhenWritten && !this.socket.destroyed) return
    this.#send()
    if (this.onRoom !== null && this.socket.writableLength === 0) this.onRoom()
    if (this.#closeWhenWritten && !this.socket.destroyed) endWithin(this.socket, null)
  }

  /** The kernel has taken what there was: what was gathered meanwhile follows. */
  drained(): void {
    this.flush()
    this.onRoom?.()
  }

  #send(): void {
    const out = this.#out
    if (out === null) return
    finishCopies()
    const length = this.#length
    this.#out = null
    this.#length = 0
    if (length === 0 || this.socket.destroyed) {
      giveBack(out)
      return
    }
    if (this.#encrypted) {
      // TLS never takes bytes at once, so it gets a copy of the size that is needed.
      this.socket.write(Buffer.from(out.subarray(0, length)))
      giveBack(out)
      return
    }
    this.socket.write(length === out.length ? out : out.subarray(0, length))
    // Taken by the kernel: nobody looks at the buffer any more.
    if (this.socket.writableLength === 0) giveBack(out)
  }

  /** Ends the connection after what has been written so far; its last bytes and the FIN leave together. */
  endAfterWrite(): void {
    this.#closeWhenWritten = true
    if (!this.#queued) {
      this.#queued = true
      this.#turn.add(this)
    }
  }

  /** The buffer, with room for so many more bytes. */
  #room(bytes: number): Buffer {
    const old = this.#out
    if (old === null) {
      this.#out = freeBurst.pop() ?? Buffer.allocUnsafeSlow(BURST_BYTES)
      return this.#out
    }
    const needed = this.#length + bytes
    const grown =
      needed <= BURST_BYTES
        ? (freeBurst.pop() ?? Buffer.allocUnsafeSlow(BURST_BYTES))
        : Buffer.allocUnsafeSlow(Math.max(old.length * 2, needed))
    finishCopies()
    old.copy(grown, 0, 0, this.#length)
    giveBack(old)
    this.#out = grown
    return grown
  }
}

function giveBack(buffer: Buffer): void {
  if (buffer.length === BUFFER_BYTES && free.length < MAX_FREE) free.push(buffer)
  else if (buffer.length === BURST_BYTES && freeBurst.length < MAX_FREE_BURST) freeBurst.push(buffer)
}

/**
 * Says the last word (if any) and gives the client a moment to read it and to close; then closes, for a client that never does would cost a place for ever. Closing at once
 * would be a reset, and take what the client has not read yet with it, when it has sent more than was read.
 */
export function endWithin(socket: net.Socket, lastWord: Buffer | null): void {
  const close = (): void => {
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }
  if (lastWord === null) socket.end(close)
  else socket.end(lastWord, close)
}

const LINGER_MS = 500
