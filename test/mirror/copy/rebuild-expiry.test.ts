import { expect, test } from 'vitest'
import type { RebuildEnds } from '../../../src/mirror/copy/rebuild-ends.ts'
import { RebuildExpiry } from '../../../src/mirror/copy/rebuild-expiry.ts'

test('how long a key has to live is no moment, though the server is to be asked for that again by the time that it answers', () => {
  let refuses = true
  const ends: Partial<RebuildEnds> = {
    onPrimary: Buffer.from('k'),
    primaryRefuses: () => refuses,
    primaryNowMs: () => 1_000_000,
  }
  const expiry = new RebuildExpiry(ends as RebuildEnds)
  expect(expiry.read().map(String)).toEqual(['PTTL', 'k'])
  refuses = false
  expect(expiry.take(60_000)).toBe(true)
  expect(expiry.atMs).toBe(1_060_000)
})
