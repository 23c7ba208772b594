const SLOTS_MASK = 0x3fff
const OPEN = 0x7b
const CLOSE = 0x7d

/** CRC-16/XMODEM of each byte: polynomial 0x1021, most significant bit first. */
const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  return crc & 0xffff
})

/**
 * The slot, 0..16383, that a Redis Cluster keeps a key in: that of its hash tag, the bytes between its first `{` and the next `}`, where there are any;
 * else that of the whole key. As the Redis Cluster specification has it, so that `{}` makes no tag whatever follows.
 */
export function slotOfKey(key: Uint8Array): number {
  const open = key.indexOf(OPEN)
  const close = open === -1 ? -1 : key.indexOf(CLOSE, open + 1)
  const [from, to] = close > open + 1 ? [open + 1, close] : [0, key.length]
  let crc = 0
  for (let i = from; i < to; i++) crc = ((crc << 8) & 0xffff) ^ CRC16[(crc >> 8) ^ key[i]!]!
  return crc & SLOTS_MASK
}
