import { expect, test } from 'vitest'
import type { Problem } from '../../../src/config/file/problems.ts'
import { commonKeyOfSets } from '../../../src/config/patterns/key-language.ts'
import { KeySet, Work } from '../../../src/config/patterns/key-set.ts'
import { comparePatterns, KeyPattern } from '../../../src/config/patterns/pattern.ts'
import { segmentsOf } from '../../../src/config/patterns/pattern-overlap.ts'
import { commonKeyOutside } from './common-key-outside.ts'
import { configOfRules } from './renaming-rules.ts'

/** Patterns that have keys in common, all of them and any number, and each is more specific than the ones before. */
const words = Array.from({ length: 24 }, (_, i) => `w${String.fromCharCode(0x61 + i)}${'o'.repeat(i)}`)
const patterns = words.map((word) => KeyPattern.parse(`{tenant}:${word}:{id}`))

test('what each of many patterns wins, and may have in common with each, is found out exactly', () => {
  const work = new Work()
  const matches = (pattern: KeyPattern, key: Buffer) => pattern.matches(key, 0, key.length)
  const others = patterns.map((one) => patterns.filter((other) => comparePatterns(other, one) < 0))
  const wins = patterns.map((one, i) => new KeySet(segmentsOf(one), others[i]!.map(segmentsOf), work))
  const inFront = patterns.map(({ text }) => KeyPattern.parse(`v2:${text}`))
  const newNames = inFront.map((one) => new KeySet(segmentsOf(one), [], work))
  for (const [i, set] of wins.entries()) {
    for (const [j, names] of newNames.entries()) {
      const key = commonKeyOfSets(set, names, work)
      // A key with both words has more letters of the longer, which wins it.
      if (i < j) expect(key).toBeNull()
      else expect([patterns[i]!, inFront[j]!].every((pattern) => matches(pattern, key!))).toBe(true)
      if (key !== null) expect(others[i]!.some((other) => matches(other, key))).toBe(false)
    }
  }
  expect(work.isDone).toBe(false)
})

test('a configuration with many such renames in one store is answered, by what is wrong with each', () => {
  const rules = patterns.map(({ text }) => [text, `v2:${text}`] as const)
  const problems = configOfRules(rules, 'old')
  expect(problems).toHaveLength(rules.length)
  for (const { message } of problems as readonly Problem[]) expect(message).toMatch(/fall among the others/)
})

test('routes by the hundred are compared in no time', () => {
  const rules = Array.from({ length: 200 }, (_, i) => [`app${i}:{id}:jobs`, `new:app${i}:{id}:jobs`] as const)
  expect(configOfRules(rules, 'old')).toHaveProperty('routes')
})

test('when too much has been looked at, a key of both languages is the answer, whatever the others have', () => {
  const [one, two] = [KeyPattern.parse('{a}:b:{c}'), KeyPattern.parse('{a}:d:{c}')].map(segmentsOf) as [never, never]
  const all = [segmentsOf(KeyPattern.parse('*'))]
  expect(commonKeyOutside(one, two, all, new Work())).toBeNull()
  const key = commonKeyOutside(one, two, all, new Work(0))!
  for (const text of ['{a}:b:{c}', '{a}:d:{c}']) expect(KeyPattern.parse(text).matches(key, 0, key.length)).toBe(true)
})
