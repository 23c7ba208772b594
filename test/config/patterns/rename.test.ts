import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { commonKey, fitsCapture, valueThatDoesNotFit } from '../../../src/config/patterns/key-language.ts'
import { KeyPattern } from '../../../src/config/patterns/pattern.ts'
import { segmentsOf } from '../../../src/config/patterns/pattern-overlap.ts'
import { KeyRename } from '../../../src/config/patterns/rename.ts'
import { allKeysUpTo, arbitraryKey, arbitraryPattern, arbitraryRearrangement } from './arbitrary-pattern.ts'

const between = (from: string, to: string): KeyRename => KeyRename.between(KeyPattern.parse(from), KeyPattern.parse(to))
const apply = (rename: KeyRename, key: string): string | undefined => {
  const buf = Buffer.from(`<${key}>`)
  return rename.apply(buf, 1, buf.length - 1)?.toString()
}
const undo = (rename: KeyRename, key: string): string | undefined => {
  const buf = Buffer.from(`<${key}>`)
  return rename.undo(buf, 1, buf.length - 1)?.toString()
}

const arbitraryPair = arbitraryPattern.chain((from) => fc.tuple(fc.constant(from), arbitraryRearrangement(from)))

function tryBetween(from: KeyPattern, to: KeyPattern): KeyRename | null {
  try {
    return KeyRename.between(from, to)
  } catch {
    return null
  }
}

describe('a rename', () => {
  it.each([
    ['job:{rest}', 'step:{rest}', 'job:1:2', 'step:1:2'],
    ['jobs', 'steps', 'jobs', 'steps'],
    ['worker:{id}:jobs', 'worker:{id}:steps', 'worker:7:jobs', 'worker:7:steps'],
    ['{{{tag}}}:cart:{id}', '{{{tag}}}:cart:v2:{id}', '{u1}:cart:9', '{u1}:cart:v2:9'],
    ['old:*', 'new:*', 'old:', 'new:'],
    ['*', 'app:*', '', 'app:'],
    ['a:{x}:{y}', 'b:{x}:{y}', 'a:1:2:3', 'b:1:2:3'],
    ['a:{x}', '{x}', 'a:q', 'q'],
    ['k:{a}', 'k:{a}:x', 'k:q:x', 'k:q:x:x'],
    ['worker:{app}:{id}:jobs', '{app}:jobs-of:{id}', 'worker:a:1:2:jobs', 'a:jobs-of:1:2'],
  ])('%s -> %s takes %s to %s and back', (from, to, key, renamed) => {
    const rename = between(from, to)
    expect(apply(rename, key)).toBe(renamed)
    expect(undo(rename, renamed)).toBe(key)
  })

  it('leaves bytes that are not text as they are', () => {
    const rename = between('job:{rest}', 'step:{rest}')
    const key = Buffer.concat([Buffer.from('job:'), Buffer.of(0, 0xff, 0xc3)])
    const renamed = rename.apply(key, 0, key.length)!
    expect(renamed.equals(Buffer.concat([Buffer.from('step:'), Buffer.of(0, 0xff, 0xc3)]))).toBe(true)
    expect(rename.undo(renamed, 0, renamed.length)!.equals(key)).toBe(true)
  })

  it('answers null for keys that are not its own', () => {
    const rename = between('worker:{id}:jobs', 'jobs-of:{id}')
    expect(apply(rename, 'worker:1:steps')).toBeUndefined()
    expect(undo(rename, 'jobs-by:1')).toBeUndefined()
  })

  it('does not undo a name that no key of the left side has', () => {
    const rename = between('job:{app}:{id}', 'step:{app}:/{id}')
    expect(undo(rename, 'step:a:b:/1')).toBeUndefined()
    expect(undo(rename, 'step:a:/b:1')).toBe('job:a:b:1')
  })

  it.each([
    ['{a}:{b}', '{b}:{a}', '{b} may be "x:"'],
    ['{a}::{b}', '{a}:{b}', '{a} may be'],
    ['{{{tag}}}:cart:{id}', 'cart:{{{tag}}}:{id}', '{tag} may be'],
    ['a:{x}:{y}', 'b:{x}', 'drops {y}'],
    ['a:{x}', 'b:{x}:{y}', 'uses {y}, which the left side does not capture'],
    ['a:*', 'b:{x}', 'uses {x}'],
    ['a:*', 'b', 'the other must end in "*" too'],
    ['a:{x}:b', 'a:{x}:*', 'the other must end in "*" too'],
  ])('%s -> %s is refused: %s', (from, to, why) => {
    expect(() => between(from, to)).toThrow(why)
  })

  it('accepts another literal behind a capture when no value can hold it', () => {
    expect(apply(between('{a}:{b}', '{a}:x:{b}'), 'k:1')).toBe('k:x:1')
  })

  it('is undone by undo, for any accepted pair of patterns and any key', () => {
    let applied = 0
    fc.assert(
      fc.property(arbitraryPair, fc.array(arbitraryKey, { minLength: 40, maxLength: 40 }), ([from, to], keys) => {
        const rename = tryBetween(from, to)
        fc.pre(rename !== null)
        for (const key of [...keys, commonKey(segmentsOf(from), [{ kind: 'rest' }])!]) {
          const renamed = rename.apply(key, 0, key.length)
          expect(renamed === null).toBe(!from.matches(key, 0, key.length))
          if (renamed === null) continue
          applied++
          expect(to.matches(renamed, 0, renamed.length)).toBe(true)
          expect(rename.undo(renamed, 0, renamed.length)!.equals(key)).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
    expect(applied).toBeGreaterThan(300)
  })

  it('undoes only what it would have written, for any key on the other side', () => {
    fc.assert(
      fc.property(arbitraryPair, fc.array(arbitraryKey, { minLength: 40, maxLength: 40 }), ([from, to], keys) => {
        const rename = tryBetween(from, to)
        fc.pre(rename !== null)
        for (const renamed of keys) {
          const key = rename.undo(renamed, 0, renamed.length)
          const found = commonKey(rename.image(), [{ kind: 'literal', bytes: renamed }]) !== null
          expect(key !== null, `${from.text} -> ${to.text}: ${renamed}`).toBe(found)
          if (key !== null) expect(rename.apply(key, 0, key.length)!.equals(renamed)).toBe(true)
        }
      }),
      { numRuns: 200 },
    )
  })

  it('is refused only when two keys, or a key and its undoing, would be confused', () => {
    let refused = 0
    fc.assert(
      fc.property(arbitraryPair, ([from, to]) => {
        fc.pre(from.captures.length > 0 && tryBetween(from, to) === null)
        const offending = from.wildcards.flatMap(({ name, until }) => {
          if (name === null) return []
          const target = to.wildcards.find((wildcard) => wildcard.name === name)!.until
          const value = valueThatDoesNotFit(until, target)
          return value === null ? [] : [{ value, until, target }]
        })
        expect(offending.length).toBeGreaterThan(0)
        for (const { value, until, target } of offending) {
          refused++
          expect(fitsCapture(value, 0, value.length, until)).toBe(true)
          expect(fitsCapture(value, 0, value.length, target)).toBe(false)
        }
      }),
      { numRuns: 100 },
    )
    expect(refused).toBeGreaterThan(100)
  })

  it('decides whether every value fits as trying all short values does', () => {
    const literal = fc.option(fc.string({ unit: fc.constantFrom('a', 'b', ':'), minLength: 1, maxLength: 3 }), {
      nil: null,
    })
    const values = allKeysUpTo(6).map((value) => Buffer.from(value))
    fc.assert(
      fc.property(literal, literal, (inner, outer) => {
        const until = inner === null ? null : Buffer.from(inner)
        const target = outer === null ? null : Buffer.from(outer)
        const counterexample = values.find(
          (value) => fitsCapture(value, 0, value.length, until) && !fitsCapture(value, 0, value.length, target),
        )
        expect(valueThatDoesNotFit(until, target) !== null, `${inner} in ${outer}`).toBe(counterexample !== undefined)
      }),
      { numRuns: 200 },
    )
  })
})
