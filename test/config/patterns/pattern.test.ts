import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { comparePatterns, KeyPattern } from '../../../src/config/patterns/pattern.ts'
import { overlap } from '../../../src/config/patterns/pattern-overlap.ts'
import { allKeysUpTo, arbitraryPattern, arbitraryPatternText } from './arbitrary-pattern.ts'

function matches(pattern: string, key: string): boolean {
  // The key stands inside a larger buffer, as it does in a client's bytes.
  const buf = Buffer.from(`:${key}:job:`)
  return KeyPattern.parse(pattern).matches(buf, 1, 1 + Buffer.byteLength(key))
}

describe('a key pattern', () => {
  it.each([
    ['jobs', ['jobs'], ['job', 'jobs:', '', 'xjobs']],
    ['job:*', ['job:', 'job:1', 'job:1:2'], ['job', 'jobs:1', '']],
    ['*', ['', 'a', '\n'], []],
    ['job:{rest}', ['job:1', 'job:1:2', 'job::'], ['job:', 'job']],
    [
      'worker:{id}:jobs',
      ['worker:1:jobs', 'worker:a:b:jobs', 'worker:1:jobs:jobs'],
      ['worker::jobs', 'worker:1:jobs:'],
    ],
    ['{a}:{b}', ['a:b', 'a:b:c', '::b'], [':b', 'a:', 'ab']],
    ['{{tag}}:cart', ['{tag}:cart'], ['tag:cart', '{{tag}}:cart']],
    ['{{{tag}}}:cart', ['{tag}:cart', '{x}:cart'], ['{}:cart', 'x:cart']],
    ['{name}-end', ['a-end', '-end-end'], ['-end', 'a-en']],
    ['{a}:{b}:x', ['1:2:x', '1:2:3:x', '::2:x'], ['1::x', '1:x', ':x']],
    ['a{x}a', ['aba', 'aaa'], ['aa', 'a', 'aab']],
    ['ключ:{x}', ['ключ:1'], ['ключ', 'клю']],
  ])('%s matches what its grammar says', (pattern, yes, no) => {
    for (const key of yes) expect(matches(pattern, key), key).toBe(true)
    for (const key of no) expect(matches(pattern, key), key).toBe(false)
  })

  it('ends a capture at the first occurrence of the literal behind it, after at least one byte', () => {
    const offsets = new Int32Array(4)
    const key = Buffer.from('::b:c')
    expect(KeyPattern.parse('{a}:{b}').locate(key, 0, key.length, offsets)).toBe(true)
    expect(key.subarray(offsets[0], offsets[1]).toString()).toBe(':')
    expect(key.subarray(offsets[2], offsets[3]).toString()).toBe('b:c')
  })

  it('takes keys as bytes, not as text', () => {
    const pattern = KeyPattern.parse('k:{x}')
    expect(pattern.matches(Buffer.from([0x6b, 0x3a, 0xff, 0x00]), 0, 4)).toBe(true)
    expect(KeyPattern.parse('é').matches(Buffer.from([0xe9]), 0, 1)).toBe(false)
  })

  it('knows its captures and its literal prefix', () => {
    const pattern = KeyPattern.parse('worker:{id}:{what}:*')
    expect(pattern.captures).toEqual(['id', 'what'])
    expect(pattern.literalPrefix.toString()).toBe('worker:')
  })

  it.each([
    ['', 'must not be empty'],
    ['job:{rest', 'never closes it'],
    ['job:rest}', 'closes a brace that was not opened'],
    ['job:{}', 'that is not a name'],
    ['job:{a b}', 'that is not a name'],
    ['{a}{b}', 'two wildcards side by side'],
    ['{a}*', 'two wildcards side by side'],
    ['{a}:{a}', 'twice'],
    ['job:*:x', '"*" before its end'],
    ['**', '"*" before its end'],
  ])('%j is refused: %s', (text, why) => {
    expect(() => KeyPattern.parse(text)).toThrow(why)
  })

  it('agrees with an independent reading of the grammar on every short key', () => {
    fc.assert(
      fc.property(arbitraryPatternText, (text) => {
        const pattern = KeyPattern.parse(text)
        for (const key of allKeysUpTo(5)) {
          expect(pattern.matches(Buffer.from(key), 0, key.length), `${text} on ${key}`).toBe(oracle(text, key))
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('the order of patterns', () => {
  it.each([
    ['job:1', 'job:{id}'],
    ['job:{id}:meta', 'job:{rest}'],
    ['job:{rest}', 'job:*'],
    ['job:*', 'j*'],
    ['job:*', '*'],
    ['ab{x}', 'a{x}b'],
    ['{x}:jobs', '{x}:*'],
  ])('puts %s before %s', (first, second) => {
    expect(comparePatterns(KeyPattern.parse(first), KeyPattern.parse(second))).toBeLessThan(0)
    expect(comparePatterns(KeyPattern.parse(second), KeyPattern.parse(first))).toBeGreaterThan(0)
  })

  it('gives the win to a pattern whose keys are all keys of the other', () => {
    const keys = allKeysUpTo(6)
    fc.assert(
      fc.property(arbitraryPattern, arbitraryPattern, (a, b) => {
        const ofA = keys.filter((key) => a.matches(Buffer.from(key), 0, key.length))
        const ofB = new Set(keys.filter((key) => b.matches(Buffer.from(key), 0, key.length)))
        fc.pre(ofA.length > 20 && ofA.length < ofB.size && ofA.every((key) => ofB.has(key)))
        expect(comparePatterns(a, b)).toBeLessThan(0)
      }),
      { numRuns: 40, maxSkipsPerRun: 200 },
    )
  })
})

describe('overlap', () => {
  it.each([
    ['job:{id}', 'job:{rest}', true],
    ['job:{id}', 'task:{id}', false],
    ['job:{id}', 'job:', false],
    ['job:*', 'job:', true],
    ['{a}:x', 'y:{b}', true],
    ['{a}:x', '{a}:y', false],
    ['worker:{id}:jobs', 'worker:{id}:done', false],
    ['worker:{id}:jobs', 'worker:{id}:{what}', true],
    ['a{x}a', 'aa', false],
  ])('of %s and %s is %s', (a, b, expected) => {
    expect(overlap(KeyPattern.parse(a), KeyPattern.parse(b))).toBe(expected)
    expect(overlap(KeyPattern.parse(b), KeyPattern.parse(a))).toBe(expected)
  })

  it('is true exactly when there is such a key', () => {
    const keys = allKeysUpTo(6)
    fc.assert(
      fc.property(arbitraryPattern, arbitraryPattern, (a, b) => {
        const shared = keys.some((key) => {
          const buf = Buffer.from(key)
          return a.matches(buf, 0, buf.length) && b.matches(buf, 0, buf.length)
        })
        // Where a shared key needs more than six bytes, only the answer true can be wrong here, and rename tests spell out the key.
        if (shared) expect(overlap(a, b), `${a.text} ${b.text}`).toBe(true)
        else if (a.text.length + b.text.length < 10) expect(overlap(a, b), `${a.text} ${b.text}`).toBe(false)
      }),
      { numRuns: 150 },
    )
  })
})

/** The grammar of a pattern (no braces among the literals), read with string functions. */
function oracle(pattern: string, key: string): boolean {
  const parts = pattern.split(/(\{[a-z0-9]+\}|\*)/)
  let rest = key
  if (!rest.startsWith(parts[0]!)) return false
  rest = rest.slice(parts[0]!.length)
  for (let i = 1; i < parts.length; i += 2) {
    const until = parts[i + 1]!
    if (parts[i] === '*') return true
    if (i + 2 >= parts.length) return rest.length > until.length && rest.endsWith(until)
    const at = rest.indexOf(until, 1)
    if (rest === '' || at < 0) return false
    rest = rest.slice(at + until.length)
  }
  return rest === ''
}
