import { compareClassOf } from '../src/command/compare-class.ts'
import { CommandTable } from '../src/command/table.ts'
import { CAUSE_MEANINGS } from '../src/compare/finding.ts'
import { SKIP_MEANINGS } from '../src/compare/tally.ts'

/** What equal means for each kind of comparison (`command/compare-class.ts`). */
const KINDS: Readonly<Record<string, string>> = {
  ordered: 'the same values in the same order',
  unordered: 'the same members, in any order',
  map: 'the same value for each field, in any order',
  scores: 'the same values in the same order; scores, distances and coordinates as numbers',
  ttl: "the same time, within the route's `compare.ttlTolerance`",
  approximate: 'the same but for numbers that measure time passed (idle times)',
  script: 'the same values in any order; a difference counts only where a declared key differs on the two stores',
}

/** `docs/reference/comparison.md`: every reading command with the way its answers are compared. */
export function comparisonPage(table: (head: string[], rows: string[][]) => string): string[] {
  const reads = [...CommandTable.builtin().all()].filter((spec) => spec.readonly && spec.compare !== null)
  const kinds = new Map<string, string[]>()
  const reasons = new Map<string, string[]>()
  for (const { name } of reads) {
    const compare = compareClassOf(name)
    const [of, label] = compare.kind === 'skipped' ? [reasons, compare.reason] : [kinds, compare.kind]
    of.set(label, [...(of.get(label) ?? []), name])
  }
  const names = (list: readonly string[]): string =>
    [...list]
      .sort()
      .map((name) => `\`${name}\``)
      .join(' ')
  return [
    'How the two answers to a sampled read are compared, by command. [The guide](../guides/comparison.md) says how a difference becomes a mismatch.',
    'RESP2 and RESP3 forms of one value are equal. Errors are equal when their codes are. Keys in answers are compared by the names that the application knows. JSON, gzip and MessagePack inside values are read where `compare.decode` or `compare.ignore.json` say so.',
    '## Compared',
    table(
      ['kind', 'equal means', 'commands'],
      [...kinds].map(([kind, list]) => [`\`${kind}\``, KINDS[kind]!, names(list)]),
    ),
    'Not compared although the command is: `GEOSEARCH ... ANY`, `XPENDING ... IDLE`, `XREAD` with `BLOCK` or `$` (`arbitrary` below), and `SORT_RO` with patterns, which reads keys that it does not name.',
    '## Never compared',
    table(
      ['reason', 'commands'],
      [...reasons].map(([reason, list]) => [reason, names(list)]),
    ),
    'Reads that also write (`GETEX`, `XREADGROUP`, `SORT ... STORE`) are writes: their effect is mirrored. Reads of RedisJSON (`JSON.GET`, `JSON.MGET`, `JSON.TYPE` and their like) are compared in order; other commands of modules are not compared.',
    '## Samples that are dropped',
    'Counted in `compare.skipped`, by reason in `GET /api/v1/compare` and `understudy_compare_skipped_total`.',
    table(
      ['reason', 'meaning'],
      Object.entries(SKIP_MEANINGS).map(([reason, meaning]) => [`\`${reason}\``, meaning]),
    ),
    '## Causes',
    'A mismatch has a `cause` where something other than lost or wrong data is known to lie behind it.',
    table(
      ['cause', 'meaning'],
      Object.entries(CAUSE_MEANINGS).map(([cause, meaning]) => [`\`${cause}\``, meaning]),
    ),
  ]
}
