import type { Segment } from './key-language.ts'
import type { KeyPattern } from './pattern.ts'
import { segmentsOf } from './pattern-overlap.ts'
import type { KeyRename } from './rename.ts'

/**
 * What a rename does to a key, where that is only to put another text at its beginning and another at its end; two renames with the
 * same answer take the same key to the same name. Other renames are told apart by their patterns. Null: the key keeps its name.
 *
 *     job:{id}:meta -> step:{id}:meta      "job" -> "step" in front
 *     job:{rest}    -> step:{rest}         "job" -> "step" in front: the same
 */
export function changeOf(rename: KeyRename | null): string {
  return rename === null ? NO_CHANGE : knownOf(rename).text
}

/**
 * The names that the rename would give to the keys of another pattern, as far as its own pattern matches them; null: it changes more than the beginning and the end, or the other pattern does not tell how its
 * keys begin and end.
 */
export function changedSegments(rename: KeyRename, other: KeyPattern): readonly Segment[] | null {
  if (other.wildcards.length === 0) {
    const key = other.literalPrefix
    const name = rename.apply(key, 0, key.length)
    return name === null ? null : [{ kind: 'literal', bytes: name }]
  }
  const { ends } = knownOf(rename)
  if (ends === null) return null
  const [front, newFront, back, newBack] = ends
  const { literalPrefix: prefix, literalSuffix: suffix } = other
  if (!prefix.subarray(0, front.length).equals(front)) return null
  if (suffix.length < back.length || !suffix.subarray(suffix.length - back.length).equals(back)) return null
  return [
    { kind: 'literal', bytes: Buffer.concat([newFront, prefix.subarray(front.length)]) },
    ...segmentsOf(other).slice(1, -1),
    { kind: 'literal', bytes: Buffer.concat([suffix.subarray(0, suffix.length - back.length), newBack]) },
  ]
}

const NO_CHANGE = JSON.stringify(['', '', '', ''])

/** Found out once for each rename: a large configuration asks for it with every other pattern. */
function knownOf(rename: KeyRename): Change {
  let change = known.get(rename)
  if (change === undefined) {
    const texts = endsChanged(rename)
    const ends = texts === null ? null : (texts.map((text) => Buffer.from(text, 'latin1')) as Ends)
    change = { text: JSON.stringify(texts ?? [rename.from.text, rename.to.text]), ends }
    known.set(rename, change)
  }
  return change
}

const known = new WeakMap<KeyRename, Change>()

interface Change {
  readonly text: string
  readonly ends: Ends | null
}

type Ends = [front: Buffer, newFront: Buffer, back: Buffer, newBack: Buffer]

/** What it takes off in front and puts there, and the same behind; null: it changes more. */
function endsChanged({ from, to }: KeyRename): [string, string, string, string] | null {
  const sameMiddle =
    from.wildcards.length > 0 &&
    from.wildcards.length === to.wildcards.length &&
    from.wildcards.every(({ name, until }, i) => {
      const other = to.wildcards[i]!
      return name === other.name && (until === null ? other.until === null : other.until?.equals(until) === true)
    })
  if (!sameMiddle) return null
  const [front, newFront] = [from.literalPrefix.toString('latin1'), to.literalPrefix.toString('latin1')]
  const [back, newBack] = [from.literalSuffix.toString('latin1'), to.literalSuffix.toString('latin1')]
  const keptInFront = commonLength([...front].reverse(), [...newFront].reverse())
  const keptBehind = commonLength([...back], [...newBack])
  return [
    front.slice(0, front.length - keptInFront),
    newFront.slice(0, newFront.length - keptInFront),
    back.slice(keptBehind),
    newBack.slice(keptBehind),
  ]
}

function commonLength(a: readonly string[], b: readonly string[]): number {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}
