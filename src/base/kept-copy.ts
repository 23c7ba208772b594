/**
 * A copy of `buf[start .. end)` that is kept for long. It has memory of its own: a small one that `Buffer.from` makes lies in a piece of 64 KB beside whatever was copied then, and
 * keeps all of that.
 */
export function keptCopy(buf: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start)
  buf.copy(copy, 0, start, end)
  return copy
}
