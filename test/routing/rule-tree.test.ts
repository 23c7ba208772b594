import { expect, test } from 'vitest'
import { comparePatterns, KeyPattern } from '../../src/config/patterns/pattern.ts'
import { findRule, type RuleTree, ruleTree } from '../../src/routing/rule-tree.ts'

type Rule = { readonly pattern: KeyPattern }

/** Numbers from 0 to 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
}

function rulesOf(texts: Iterable<string>): Rule[] {
  const rules = [...new Set(texts)].map((text) => ({ pattern: KeyPattern.parse(text) }))
  return rules.sort((a, b) => comparePatterns(a.pattern, b.pattern))
}

function find(tree: RuleTree<Rule>, key: string): string | undefined {
  const buf = Buffer.from(`<${key}>`)
  return findRule(tree, buf, 1, buf.length - 1)?.pattern.text
}

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]

test.each(SEEDS)('finds for each key the first of all patterns that it matches (seed %i)', (seed) => {
  const random = randomFrom(seed)
  const pick = (items: readonly string[]): string => items[Math.floor(random() * items.length)]!
  const some = (items: readonly string[], most: number): string =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, () => pick(items)).join('')
  const letters = ['a', 'b', ':', 'é']
  const rules = rulesOf(
    Array.from(
      { length: 60 },
      () => some(letters, 4) + pick(['x', '{i}', '{i}', '{i}:{j}', '*', '{i}b', '{i}:a{j}', '{i}:*']),
    ),
  )
  const tree = ruleTree(rules, 0)
  for (let n = 0; n < 3_000; n++) {
    const key = some([...letters, 'x', 'q'], 8)
    const buf = Buffer.from(key)
    const first = rules.find(({ pattern }) => pattern.matches(buf, 0, buf.length))
    expect([key, find(tree, key)]).toEqual([key, first?.pattern.text])
  }
})

test('of a thousand patterns a key is held against a few', () => {
  const rules = rulesOf(Array.from({ length: 1_000 }, (_, i) => `app:t${i}:{id}`).concat('app:{any}', '*'))
  let tried = 0
  for (const { pattern } of rules) {
    const { matches } = pattern
    pattern.matches = (...key) => {
      tried++
      return matches.apply(pattern, key)
    }
  }
  const tree = ruleTree(rules, 0)
  expect(find(tree, 'app:t517:1')).toBe('app:t517:{id}')
  expect(find(tree, 'app:t5170')).toBe('app:{any}')
  expect(find(tree, 'other')).toBe('*')
  expect(tried).toBeLessThanOrEqual(24)
})

test('of thousands of patterns that begin alike the longest wins, however many there are', () => {
  const tree = ruleTree(rulesOf(Array.from({ length: 4_000 }, (_, i) => `${'a'.repeat(i)}{id}`)), 0)
  for (const length of [2, 60, 70, 300]) {
    expect(find(tree, `${'a'.repeat(length)}b`)).toBe(`${'a'.repeat(length)}{id}`)
  }
})
