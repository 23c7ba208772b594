import fc from 'fast-check'
import { expect, test } from 'vitest'
import { slotOfKey } from '../../src/command/key-slot.ts'
import { isStagingKey, stagingKeyFor } from '../../src/routing/staging-key.ts'

test('the copy of a key has its slot, whatever braces are in the name', () => {
  const part = fc.constantFrom('{', '}', '{}', 'a', ':', '\0')
  const key = fc.oneof(
    fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')),
    fc.string({ unit: 'binary' }),
  )
  fc.assert(
    fc.property(key, (text) => {
      const staging = stagingKeyFor(Buffer.from(text))
      expect(slotOfKey(staging)).toBe(slotOfKey(Buffer.from(text)))
      expect(isStagingKey(staging, 0, staging.length)).toBe(true)
    }),
  )
})
