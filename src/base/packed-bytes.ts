/**
 * A list of byte strings as one piece of memory, so that it goes to another thread as one transfer instead of one clone each.
 *
 *   [ u32 length | bytes ] [ u32 length | bytes ] ...       little-endian
 */
export function packBytes(list: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0
  for (let i = 0; i < list.length; i++) size += 4 + list[i]!.length
  const buffer = new ArrayBuffer(size)
  const packed = new Uint8Array(buffer)
  const view = new DataView(buffer)
  let at = 0
  for (let i = 0; i < list.length; i++) {
    const bytes = list[i]!
    view.setUint32(at, bytes.length, true)
    packed.set(bytes, at + 4)
    at += 4 + bytes.length
  }
  return packed
}

/** The list again: views into `packed`. */
export function unpackBytes(packed: Uint8Array): Buffer[] {
  const all = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength)
  const list: Buffer[] = []
  for (let at = 0; at < all.length; ) {
    const length = all.readUInt32LE(at)
    list.push(all.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return list
}
