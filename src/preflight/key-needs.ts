import type { Config, EndConfig, RouteConfig } from '../config/config.ts'
import { KeyPattern } from '../config/patterns/pattern.ts'
import { escapeGlob } from '../routing/glob.ts'
import { STAGING } from '../routing/staging-key.ts'
import { IN_PIECES } from './needs.ts'

/** Names of keys that Understudy has to touch at a store. */
export interface KeyNeed {
  /** As ACLs name them, behind `~`. */
  readonly pattern: string
  /** Such a name. `word` stands for what is left open; where nothing is, there may be a key of that name. */
  readonly nameWith: (word: string) => string
  /** What follows where a user may not touch them. */
  readonly without: string
  /** Without them the migration cannot be carried out. */
  readonly vital: boolean
}

const REFUSED = 'commands on those are refused there'

/** Of a store: the keys of its routes, under the names that they have there; where it is an end of a migration, those that copies grow under, too. */
export function keyNeedsOf({ routes }: Config, store: string): KeyNeed[] {
  const byPattern = new Map<string, KeyNeed>()
  let isEnd = false
  for (const route of routes) {
    for (const end of [route.source, ...(route.target === null ? [] : [route.target])]) {
      if (end.store !== store) continue
      isEnd ||= route.target !== null
      for (const need of namesAt(route, end)) byPattern.set(need.pattern, need)
    }
  }
  return [...byPattern.values(), ...(isEnd ? [STAGING_KEYS] : [])]
}

const STAGING_KEYS: KeyNeed = {
  pattern: `${STAGING}*`,
  nameWith: (word) => `${STAGING}${word}`,
  without: IN_PIECES,
  vital: true,
}

function namesAt({ keys }: RouteConfig, end: EndConfig): KeyNeed[] {
  return keys.map((text) => {
    const pattern = KeyPattern.parse(end.keys[text] ?? text)
    const { literalPrefix, wildcards, literalSuffix, isCatchAll } = pattern
    const written = (open: (i: number) => string, literal: (bytes: Buffer) => string): string =>
      literal(literalPrefix) +
      wildcards.map(({ until }, i) => open(i) + (until === null ? '' : literal(until))).join('') +
      literal(literalSuffix)
    return {
      pattern: written(
        () => '*',
        (bytes) => escapeGlob(bytes).toString(),
      ),
      nameWith: (word) => written(() => word, String),
      without: REFUSED,
      // Of all keys a user may well be given those that there are: no name that is tried tells.
      vital: !isCatchAll,
    }
  })
}
