import type { ConfigDocument } from '../file/document.ts'
import type { RouteDraft } from '../file/resolve-routes.ts'
import type { KeyPattern } from '../patterns/pattern.ts'
import type { KeyRename } from '../patterns/rename.ts'

/**
 * On a cluster the slot of a key is that of its hash tag, the text between its first `{` and the next `}`, where it has one. A rename that changes what lies between
 * takes keys apart that commands use together, or puts them all into one slot. It is right elsewhere, so this only warns.
 */
export function warnOfHashTags(document: ConfigDocument, drafts: readonly RouteDraft[]): void {
  for (const { source, target } of drafts) {
    for (const end of [source, target]) {
      for (const rename of end?.renames.values() ?? []) {
        const message = changeOfTag(rename)
        if (message !== null) document.warn([...end!.path, 'keys', rename.from.text], message)
      }
    }
  }
}

function changeOfTag({ from, to }: KeyRename): string | null {
  const [before, after] = [tagOf(from), tagOf(to)]
  if (before === after) return null
  if (after === null) {
    return `breaks the hash tag {${before}}: on a cluster, keys that share a slot under their old names would not under the new ones. Keep the tag, or make sure that no command uses such keys together`
  }
  if (before === null) {
    return `introduces the hash tag {${after}}: on a cluster, all keys with the same tag lie in one slot. Leave the braces away if that is not meant`
  }
  return `changes the hash tag from {${before}} to {${after}}: on a cluster, keys that share a slot under their old names may not under the new ones`
}

/** What stands between the braces, captures as `{name}`; null: the pattern itself makes no tag. */
function tagOf(pattern: KeyPattern): string | null {
  // Literal braces as bytes of their own, so that they are not taken for those of a capture.
  const text = [
    pattern.literalPrefix.toString('latin1'),
    ...pattern.wildcards.flatMap(({ name, until }) => [
      name === null ? '\u0001*\u0002' : `\u0001${name}\u0002`,
      until?.toString('latin1') ?? '',
    ]),
    pattern.literalSuffix.toString('latin1'),
  ].join('')
  const open = text.indexOf('{')
  const close = open === -1 ? -1 : text.indexOf('}', open + 1)
  if (close <= open + 1) return null
  return text
    .slice(open + 1, close)
    .replaceAll('\u0001', '{')
    .replaceAll('\u0002', '}')
}
