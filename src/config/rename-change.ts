import type { KeyRename } from './rename.ts'

/**
 * What a rename does to a key, where that is only to put another text at its beginning and another at its end; two renames with the
 * same answer take the same key to the same name. Other renames are told apart by their patterns. Null: the key keeps its name.
 *
 *     job:{id}:meta -> step:{id}:meta      "job" -> "step" in front
 *     job:{rest}    -> step:{rest}         "job" -> "step" in front: the same
 */
export function changeOf(rename: KeyRename | null): string {
  if (rename === null) return JSON.stringify(['', '', '', ''])
  const { from, to } = rename
  const sameMiddle =
    from.wildcards.length > 0 &&
    from.wildcards.length === to.wildcards.length &&
    from.wildcards.every(({ name, until }, i) => {
      const other = to.wildcards[i]!
      return name === other.name && (until === null ? other.until === null : other.until?.equals(until) === true)
    })
  if (!sameMiddle) return JSON.stringify([from.text, to.text])
  const [front, newFront] = [from.literalPrefix.toString('latin1'), to.literalPrefix.toString('latin1')]
  const [back, newBack] = [from.literalSuffix.toString('latin1'), to.literalSuffix.toString('latin1')]
  const keptInFront = commonLength([...front].reverse(), [...newFront].reverse())
  const keptBehind = commonLength([...back], [...newBack])
  return JSON.stringify([
    front.slice(0, front.length - keptInFront),
    newFront.slice(0, newFront.length - keptInFront),
    back.slice(keptBehind),
    newBack.slice(keptBehind),
  ])
}

function commonLength(a: readonly string[], b: readonly string[]): number {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}
