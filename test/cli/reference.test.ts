import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import { referenceFiles } from '../../scripts/generate-reference.ts'

describe('docs/reference', () => {
  test.each(Object.entries(referenceFiles()).map(([path, text]) => [basename(path), path, text]))(
    '%s is what `node scripts/generate-reference.ts` writes',
    (_, path, text) => expect(readFileSync(path, 'utf8')).toBe(text),
  )
})
