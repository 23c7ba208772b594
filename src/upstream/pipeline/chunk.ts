/**
 * A piece of a pipeline's outgoing bytes. Commands lie in it one behind the other and stay until their replies have come, because the
 * mirror and the comparer still need them; then the chunk is used again.
 *
 *   [ settled | waiting for reply | not yet written | free ]
 *                                 ^sent             ^used
 */
export class Chunk {
  readonly buf: Buffer
  used = 0
  sent = 0
  /** Commands in it that have not been settled. */
  live = 0

  constructor(size: number) {
    this.buf = Buffer.allocUnsafeSlow(size)
  }
}

export const CHUNK_BYTES = 64 * 1024

/** Chunks of the usual size that are free, for all pipelines of a thread. */
const free: Chunk[] = []
const MAX_FREE = 64

/** A chunk with room for `bytes`: of the usual size, or as large as needed. */
export function takeChunk(bytes: number): Chunk {
  if (bytes > CHUNK_BYTES) return new Chunk(bytes)
  return free.pop() ?? new Chunk(CHUNK_BYTES)
}

export function giveChunk(chunk: Chunk): void {
  if (chunk.buf.length !== CHUNK_BYTES || free.length >= MAX_FREE) return
  chunk.used = 0
  chunk.sent = 0
  chunk.live = 0
  free.push(chunk)
}
