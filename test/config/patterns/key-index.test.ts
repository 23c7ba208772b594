import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeyIndex } from '../../../src/config/patterns/key-index.ts'
import { commonKey, differAtEnds, type Segment } from '../../../src/config/patterns/key-language.ts'
import { comparePatterns, KeyPattern } from '../../../src/config/patterns/pattern.ts'
import { overlap, segmentsOf } from '../../../src/config/patterns/pattern-overlap.ts'
import { KeyRename } from '../../../src/config/patterns/rename.ts'
import { changedSegments, changeOf } from '../../../src/config/patterns/rename-change.ts'
import { arbitraryPattern, arbitraryRearrangement } from './arbitrary-pattern.ts'
import { commonKeyOutside } from './common-key-outside.ts'
import { configOfRules, type Rules } from './renaming-rules.ts'

test('an index finds, in their order, the patterns that trying each of them finds', () => {
  fc.assert(
    fc.property(fc.array(arbitraryPattern, { maxLength: 12 }), arbitraryPattern, (patterns, other) => {
      const near = new KeyIndex(patterns, segmentsOf).near(segmentsOf(other))
      expect(near.filter((pattern) => overlap(pattern, other))).toEqual(
        patterns.filter((pattern) => overlap(pattern, other)),
      )
      expect(near).toEqual(patterns.filter((pattern) => !differAtEnds(segmentsOf(pattern), segmentsOf(other))))
    }),
    { numRuns: 300 },
  )
})

test('patterns that begin and end as another may are near it, each once, also where several begin alike', () => {
  const patterns = ['job:{id}', 'job:1:{x}', 'user:{id}', '{a}:x', 'job:{id}:x', 'job:1', '*'].map((text) =>
    KeyPattern.parse(text),
  )
  const near = (text: string) =>
    new KeyIndex([...patterns, ...patterns], segmentsOf)
      .near(segmentsOf(KeyPattern.parse(text)))
      .map((pattern) => pattern.text)
  const twice = (...texts: string[]) => [...texts, ...texts]
  expect(near('job:1:x')).toEqual(twice('job:{id}', 'job:1:{x}', '{a}:x', 'job:{id}:x', '*'))
  expect(near('job:1:{x}:y')).toEqual(twice('job:{id}', 'job:1:{x}', '*'))
  expect(near('jobs')).toEqual(twice('*'))
  expect(near('j{x}')).toEqual(twice('job:{id}', 'job:1:{x}', '{a}:x', 'job:{id}:x', 'job:1', '*'))
})

const letters = fc.string({ unit: fc.constantFrom('a', 'b', ':'), minLength: 1, maxLength: 2 })

/** Renames that other patterns tell something about: another beginning. And any others. */
const arbitraryRule = arbitraryPattern
  .filter((pattern) => !pattern.isCatchAll)
  .chain((from) => {
    const inFront = letters.map((text) => `${text}${from.text.replace(/^[ab:]+/, '')}`)
    const to = fc.oneof(
      inFront,
      arbitraryRearrangement(from).map(({ text }) => text),
    )
    return fc.tuple(fc.constant(from.text), fc.option(to, { nil: null }))
  })

test('collisions are those, with the same examples, that comparing every pair with every pattern in mind finds', () => {
  let refused = 0
  fc.assert(
    fc.property(fc.array(arbitraryRule, { minLength: 2, maxLength: 6 }), fc.boolean(), (rules, sameStore) => {
      const target = sameStore ? 'old' : 'new'
      fc.pre(rules.every(([from, to]) => to === null || canBeUndone(from, to)))
      const expected = plainCollisions(rules, sameStore)
      expect(foundCollisions(rules, target)).toEqual(expected)
      if (expected.length > 0) refused++
    }),
    { numRuns: 150, maxSkipsPerRun: 1000 },
  )
  expect(refused).toBeGreaterThan(50)
})

function canBeUndone(from: string, to: string): boolean {
  try {
    KeyRename.between(KeyPattern.parse(from), KeyPattern.parse(to))
    return true
  } catch {
    return false
  }
}

/** `route example`, of the problems with names. */
function foundCollisions(rules: Rules, target: string): string[] {
  const problems = configOfRules(rules, target)
  if ('routes' in problems) return []
  const found = problems.flatMap(({ path, message }) => {
    const route = /^routes\[(\d+)\]\.(?:source|target)/.exec(path)?.[1]
    if (route === undefined) return []
    const example = /("[^"]*"), for example, would be/.exec(message)?.[1]
    return [`r${Number(route) - 1} ${example ?? 'itself'}`]
  })
  return [...new Set(found)].toSorted()
}

interface Plain {
  readonly route: string
  readonly side: 'source' | 'target'
  readonly pattern: KeyPattern
  readonly rename: KeyRename | null
  readonly names: readonly Segment[]
}

function plainCollisions(rules: Rules, sameStore: boolean): string[] {
  const patterns = ['*', ...rules.map(([from]) => from)].map((text) => KeyPattern.parse(text))
  const ends = patterns.slice(1).map((pattern, i): [Plain, Plain] => {
    const to = rules[i]![1]
    const rename = to === null || to === pattern.text ? null : KeyRename.between(pattern, KeyPattern.parse(to))
    const names = rename?.image() ?? segmentsOf(pattern)
    return [
      { route: `r${i}`, side: 'source', pattern, rename: null, names: segmentsOf(pattern) },
      { route: `r${i}`, side: 'target', pattern, rename, names },
    ]
  })
  const stores = sameStore ? [ends.flat()] : [ends.map(([source]) => source), ends.map(([, target]) => target)]
  const found = new Map<string, string>()
  // Names that have to change anyway are compared when they have.
  const withItself = new Set<KeyPattern>()
  for (const occupants of stores) {
    for (const one of occupants) {
      const isSelf = (other: Plain) => other !== one && other.pattern === one.pattern
      if (occupants.some((other) => isSelf(other) && commonKey(one.names, other.names))) withItself.add(one.pattern)
    }
  }
  for (const occupants of stores) {
    occupants.forEach((later, i) => {
      for (const earlier of occupants.slice(0, i)) {
        const isOwn = earlier.pattern === later.pattern
        if (!isOwn && (withItself.has(earlier.pattern) || withItself.has(later.pattern))) continue
        const example = plainExample(earlier, later, patterns)
        if (example === null) continue
        const culprit = later.rename === null && earlier.rename !== null ? earlier : later
        const pair = `${culprit.route} ${culprit.side} ${earlier.route} ${later.route}`
        if (!found.has(pair)) found.set(pair, `${culprit.route} ${example}`)
      }
    })
  }
  return [...new Set(found.values())].toSorted()
}

function plainExample(a: Plain, b: Plain, patterns: readonly KeyPattern[]): string | null {
  const shown = (key: Buffer | null) => (key === null ? null : JSON.stringify(key.toString('latin1')))
  if (a.pattern === b.pattern) {
    const key = commonKey(a.names, b.names)
    return key !== null && b.rename === null ? 'itself' : shown(key)
  }
  if (changeOf(a.rename) === changeOf(b.rename)) return null
  const never = [a, b].flatMap(({ pattern, rename }) =>
    patterns.flatMap((other) => {
      if (comparePatterns(other, pattern) >= 0) return []
      const changed = rename === null ? segmentsOf(other) : changedSegments(rename, other)
      return changed === null ? [] : [changed]
    }),
  )
  const key = commonKeyOutside(a.names, b.names, never)
  return key === null || hasOneOrigin(a, b, key) || hasOneOrigin(b, a, key) ? null : shown(key)
}

function hasOneOrigin(exact: Plain, other: Plain, name: Buffer): boolean {
  if (exact.pattern.wildcards.length > 0) return false
  const origin = other.rename === null ? name : other.rename.undo(name, 0, name.length)
  return origin?.equals(exact.pattern.literalPrefix) === true
}
