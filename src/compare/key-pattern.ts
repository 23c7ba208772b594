const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi
/** Hashes, object ids: long, and with both digits and letters, so that no word is taken for one. */
const HEX = /(?<![0-9a-z])(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{16,}(?![0-9a-z])/gi
const DIGITS = /(?<!\\x[0-9a-f]?)[0-9]+/g

/**
 * The pattern of a printable key: what tells one key from its siblings is folded, so that one cause shows as one line.
 * `user:17:cart:9f1c2d3e-0000-4000-8000-123456789abc` -> `user:<n>:cart:<uuid>`
 */
export function foldKey(printable: string): string {
  const folded = printable.replace(UUID, '<uuid>').replace(HEX, '<hex>').replace(DIGITS, '<n>')
  return folded.length <= MAX_PATTERN ? folded : `${folded.slice(0, MAX_PATTERN)}...`
}

const MAX_PATTERN = 200
