import { CHUNK_BYTES, type Chunk, giveChunk } from './chunk.ts'
import type { Outlet } from './pipeline-connection.ts'

/**
 * The chunks of one pipeline, in the order of their commands. The last one is the pipeline's `current`, which it holds itself: every command looks at it.
 *
 *   [ settled ] [ waiting for replies ] [ not yet written ] [ current ]
 *        └─ given back, or kept as `current`
 */
export class ChunkList {
  #chunks: Chunk[] = []

  /** Appends a chunk; gives it, for the pipeline's `current`, which was `old`. */
  next(old: Chunk | null, chunk: Chunk): Chunk {
    this.#chunks.push(chunk)
    if (old !== null && old.live === 0) this.dropSettled(chunk)
    return chunk
  }

  /** Lets go what is settled from the beginning on; gives `current`, null when it went, too. One of the usual size stays for the next commands; a large one is not kept beyond its command. */
  dropSettled(current: Chunk | null): Chunk | null {
    const chunks = this.#chunks
    while (chunks.length > 0) {
      const head = chunks[0]!
      if (head.live > 0 || head.sent !== head.used) return current
      if (head === current) {
        // `used` 0: just made, for a command that is about to be copied into it.
        if (head.buf.length === CHUNK_BYTES || head.used === 0) return current
        current = null
      }
      giveChunk(chunks.shift()!)
    }
    return current
  }

  /** Writes what has not been written. */
  writeTo(socket: Outlet): void {
    const chunks = this.#chunks
    if (chunks.length > 1) socket.cork()
    for (let i = 0; i < chunks.length; i++) {
      const chunk = chunks[i]!
      if (chunk.sent === chunk.used) continue
      socket.write(chunk.buf.subarray(chunk.sent, chunk.used))
      chunk.sent = chunk.used
    }
    if (chunks.length > 1) socket.uncork()
  }

  /** Nothing is in flight: all go. */
  clear(): void {
    for (const chunk of this.#chunks) giveChunk(chunk)
    this.#chunks = []
  }
}

/** Bytes of a command that will never be written count as sent up to its `end`, so that its chunk is let go. */
export function unsend(chunk: Chunk, end: number): void {
  if (chunk.sent < end) chunk.sent = end
}
