import { expect, test } from 'vitest'
import { SeenKeys } from '../../../src/jobs/scan/seen-keys.ts'

const keys = (name: string, count: number): Buffer[] =>
  Array.from({ length: count }, (_, i) => Buffer.from(`${name}:${i}`))

test('what was seen is known, and hardly anything else looks as if it had been', () => {
  const seen = new SeenKeys(50_000)
  for (const key of keys('seen', 50_000)) seen.add(0, key)
  expect(keys('seen', 50_000).every((key) => seen.has(0, key))).toBe(true)
  expect(keys('other', 50_000).filter((key) => seen.has(0, key)).length).toBeLessThan(50_000 / 200)
  // Of the same name in another database nothing is known.
  expect(keys('seen', 50_000).filter((key) => seen.has(1, key)).length).toBeLessThan(50_000 / 200)
})
