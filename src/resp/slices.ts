/** A copy of the bulk string whose frame begins at `start` and is whole. */
export function bulkOf(buf: Buffer, start: number): Buffer {
  let at = start + 1
  let length = 0
  while (buf[at] !== 13) length = length * 10 + (buf[at++]! - 48)
  return Buffer.from(buf.subarray(at + 2, at + 2 + length))
}
