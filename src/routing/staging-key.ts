import { randomBytes } from 'node:crypto'
import { slotOfKey } from '../command/key-slot.ts'

/** What the names begin with of keys that are being built, see `mirror/copy/rebuild.ts`. Nobody else may use it. */
export const STAGING = Buffer.from('understudy:copy:')

/** Of this process: two that copy the same key must not meet. */
const INSTANCE = randomBytes(4).toString('hex')
let made = 0

/** A new name for the copy of `key` until it is renamed into place. In a cluster it has the key's slot: its hash tag is the key's, or the key, or where that is no tag another text of the same slot. */
export function stagingKeyFor(key: Buffer): Buffer {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open + 1)
  const own = close > open + 1 ? key.subarray(open + 1, close) : key
  const tag = own.length === 0 || own.includes('}') ? textOf(slotOfKey(key)) : own
  return Buffer.concat([STAGING, Buffer.from('{'), tag, Buffer.from(`}:${INSTANCE}:${made++}`)])
}

/** Whether `buf[start .. end)` is such a name: nothing of the application's. */
export function isStagingKey(buf: Buffer, start: number, end: number): boolean {
  return end - start > STAGING.length && STAGING.compare(buf, start, start + STAGING.length) === 0
}

/** A number of that slot: one of some ten thousand tries. */
function textOf(slot: number): Buffer {
  for (let i = 0; ; i++) {
    const text = Buffer.from(String(i))
    if (slotOfKey(text) === slot) return text
  }
}
