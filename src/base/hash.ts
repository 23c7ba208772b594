/**
 * 32-bit hash of bytes: FNV-1a with a final avalanche (the murmur3 finaliser), so that every bit of the result is as good as any other.
 * Chosen for short keys: no setup cost, no allocation. Not a defence against chosen collisions: nothing but a needless state copy or a
 * lopsided sample follows from one.
 */
export function hashBytes(buf: Uint8Array, start: number, end: number): number {
  let h = 0x811c9dc5
  for (let i = start; i < end; i++) {
    h ^= buf[i]!
    h = Math.imul(h, 0x01000193)
  }
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  h ^= h >>> 16
  return h >>> 0
}
