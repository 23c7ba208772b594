/**
 * 32-bit hash of bytes: FNV-1a with a final avalanche (the murmur3 finaliser), so that every bit of the result is as good as any other.
 * Chosen for short keys: no setup cost, no allocation. Not a defence against chosen collisions: nothing but a needless state copy or a
 * lopsided sample follows from one.
 */
export function hashBytes(buf: Uint8Array, start: number, end: number): number {
  let h = HASH_START
  for (let i = start; i < end; i++) h = addByte(h, buf[i]!)
  return finishHash(h)
}

/** The same by hand, for who looks at the bytes anyway: begins with this, adds each, and is finished. */
export const HASH_START = 0x811c9dc5

export function addByte(h: number, byte: number): number {
  return Math.imul(h ^ byte, 0x01000193)
}

export function finishHash(hash: number): number {
  let h = hash
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  h ^= h >>> 16
  return h >>> 0
}

/** Joins numbers of 30 bits, in their order, to one: `mix(0, n)` is `n`. */
export function mix(joined: number, next: number): number {
  return (Math.imul(joined, 0x01000193) + next) & 0x3fffffff
}
