import fc from 'fast-check'
import { KeyPattern } from '../../../src/config/patterns/pattern.ts'

/** Few letters, so that literals overlap with each other and with the values of captures as often as possible. */
const LETTERS = ['a', 'b', ':']
const literal = fc.string({ unit: fc.constantFrom(...LETTERS), minLength: 1, maxLength: 3 })

/** Texts of valid patterns: `[literal] (wildcard literal)* [wildcard]`, captures named c0, c1, ... */
export const arbitraryPatternText: fc.Arbitrary<string> = fc
  .tuple(fc.option(literal, { nil: '' }), fc.array(literal, { maxLength: 3 }), fc.constantFrom('', '{end}', '*'))
  .map(([prefix, untils, end]) => prefix + untils.map((until, i) => `{c${i}}${until}`).join('') + end)
  .filter((text) => text !== '')

export const arbitraryPattern: fc.Arbitrary<KeyPattern> = arbitraryPatternText.map((text) => KeyPattern.parse(text))

/** Keys that often match: made of the same few letters, and sometimes of any bytes. */
export const arbitraryKey: fc.Arbitrary<Buffer> = fc.oneof(
  fc.string({ unit: fc.constantFrom(...LETTERS), maxLength: 12 }).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
)

/** Another arrangement of a pattern's wildcards with other literals: a candidate for the right side of a rename. */
export function arbitraryRearrangement(from: KeyPattern): fc.Arbitrary<KeyPattern> {
  const star = from.endsInStar
  return fc
    .tuple(
      fc.shuffledSubarray([...from.captures], { minLength: from.captures.length }),
      fc.array(fc.oneof(literal, fc.constantFrom(...literalsIn(from))), { minLength: 5, maxLength: 5 }),
      fc.boolean(),
    )
    .map(([names, literals, openEnd]) => {
      let text = literals[4]!
      names.forEach((name, i) => {
        const last = i === names.length - 1
        text += `{${name}}${last && openEnd && !star ? '' : literals[i % 4]!}`
      })
      return KeyPattern.parse(star ? `${text}*` : text)
    })
}

export function allKeysUpTo(length: number): string[] {
  const keys = ['']
  let longest = ['']
  for (let i = 0; i < length; i++) {
    longest = longest.flatMap((key) => LETTERS.map((letter) => key + letter))
    keys.push(...longest)
  }
  return keys
}

function literalsIn(pattern: KeyPattern): string[] {
  const literals = [pattern.literalPrefix, ...pattern.wildcards.map(({ until }) => until)]
  const texts = literals.flatMap((bytes) => (bytes === null || bytes.length === 0 ? [] : [bytes.toString()]))
  return texts.length === 0 ? [':'] : texts
}
