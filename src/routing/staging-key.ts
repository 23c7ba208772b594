import { randomBytes } from 'node:crypto'

/** What the names begin with of keys that are being built, see `mirror/rebuild.ts`. Nobody else may use it. */
export const STAGING = Buffer.from('understudy:copy:')

/** Of this process: two that copy the same key must not meet. */
const INSTANCE = randomBytes(4).toString('hex')
let made = 0

/** A new name for the copy of `key` until it is renamed into place. In a cluster it has the key's slot: its hash tag is the key's, or the key. */
export function stagingKeyFor(key: Buffer): Buffer {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open + 1)
  const tag = close > open + 1 ? key.subarray(open + 1, close) : key
  return Buffer.concat([STAGING, Buffer.from('{'), tag, Buffer.from(`}:${INSTANCE}:${made++}`)])
}

/** Whether `buf[start .. end)` is such a name: nothing of the application's. */
export function isStagingKey(buf: Buffer, start: number, end: number): boolean {
  return end - start > STAGING.length && STAGING.compare(buf, start, start + STAGING.length) === 0
}
