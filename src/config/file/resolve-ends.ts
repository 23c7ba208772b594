import type { EndConfig } from '../config.ts'
import { KeyIndex } from '../patterns/key-index.ts'
import { commonKey } from '../patterns/key-language.ts'
import { KeyPattern } from '../patterns/pattern.ts'
import { KeyRename } from '../patterns/rename.ts'
import type { ConfigDocument } from './document.ts'
import { type ConfigPath, messageOf, shown } from './problems.ts'
import { isRecord, kindOf, readFields } from './schema-issues.ts'
import { EndFile } from './schema-routes.ts'
import { name as storeName } from './schema-types.ts'
import { didYouMean, shownIfClose } from './suggest.ts'

/** An end of a route on its way from the file to the configuration; what was wrong is missing (and reported). */
export interface EndDraft {
  readonly path: ConfigPath
  readonly store: string | null
  /** By the text of the application's pattern. Without those that change nothing. */
  readonly renames: ReadonlyMap<string, KeyRename>
  /** Patterns whose new names could not be read: what they will be is not known. */
  readonly unreadable: ReadonlySet<string>
  /** Those too that keep their names: to be named here makes a channel the route's. */
  readonly channels: ReadonlyMap<string, KeyRename>
}

/** The route's patterns that could be read, and whether those are all. */
interface KnownPatterns {
  readonly patterns: readonly KeyPattern[]
  readonly complete: boolean
}

/** What the route is to have at one of its stores: which it is, and the names of keys and channels there. Reports what is wrong with it; null: it is not there, or nothing that could be read. */
export function readEnd(
  document: ConfigDocument,
  raw: unknown,
  path: ConfigPath,
  known: KnownPatterns,
  stores: readonly string[],
): EndDraft | null {
  if (raw === undefined) return null
  if (typeof raw === 'string') {
    return {
      path,
      store: readStore(document, raw, path, stores),
      renames: new Map(),
      unreadable: NONE,
      channels: new Map(),
    }
  }
  if (!isRecord(raw)) {
    document.refuse(path, `must be the name of a store or a map with "store", not ${kindOf(raw)}`)
    return null
  }
  const fields = readFields(document, EndFile, raw, path)
  return {
    path,
    store: fields?.store === undefined ? null : readStore(document, fields.store, [...path, 'store'], stores),
    ...readRenames(document, textsIn(raw['keys']), [...path, 'keys'], known),
    channels: readChannels(document, textsIn(raw['channels']), [...path, 'channels']),
  }
}

const NONE: ReadonlySet<string> = new Set()

/** The entries that are texts; the others are reported by the schema. */
function textsIn(raw: unknown): [string, string][] {
  if (!isRecord(raw)) return []
  return Object.entries(raw).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
}

function readStore(document: ConfigDocument, name: string, path: ConfigPath, stores: readonly string[]): string | null {
  if (stores.includes(name)) return name
  const offered = stores.filter((store) => storeName.safeParse(store).success)
  // What is wrong with the stores is said there.
  if (offered.length === 0) return null
  const shown = shownIfClose(name, offered)
  document.refuse(path, `${shown} is not one of the stores${didYouMean(name, offered) || `: ${offered.join(', ')}`}`)
  return null
}

function readRenames(
  document: ConfigDocument,
  renames: readonly [string, string][],
  path: ConfigPath,
  { patterns, complete }: KnownPatterns,
): Pick<EndDraft, 'renames' | 'unreadable'> {
  const read = new Map<string, KeyRename>()
  const unreadable = new Set<string>()
  for (const [from, to] of renames) {
    const pattern = patterns.find(({ text }) => text === from)
    if (pattern === undefined) {
      if (!complete) continue
      const close = didYouMean(
        from,
        patterns.map(({ text }) => text),
      )
      document.refuse([...path, from], `is not one of the route's "keys", as they are written there${close}`, 'key')
      continue
    }
    if (!readRename(document, pattern, to, [...path, from], read)) unreadable.add(from)
  }
  return { renames: read, unreadable }
}

function readChannels(
  document: ConfigDocument,
  channels: readonly [string, string][],
  path: ConfigPath,
): Map<string, KeyRename> {
  const read = new Map<string, KeyRename>()
  for (const [from, to] of channels) {
    try {
      readRename(document, KeyPattern.parse(from), to, [...path, from], read, true)
    } catch (error) {
      document.refuse([...path, from], messageOf(error), 'key')
    }
  }
  const renames = [...read.values()]
  const index = new KeyIndex(renames, (rename) => rename.image())
  for (const a of renames) {
    for (const b of index.near(a.image())) {
      // The rest come after it, and are compared in their turn.
      if (a === b) break
      const shared = commonKey(a.image(), b.image())
      if (shared === null) continue
      document.refuse(
        [...path, a.from.text],
        `becomes the same as "${b.from.text}", for example ${shown(shared)}; choose another name`,
      )
    }
  }
  return read
}

function readRename(
  document: ConfigDocument,
  from: KeyPattern,
  to: string,
  path: ConfigPath,
  read: Map<string, KeyRename>,
  keepsNames = false,
): boolean {
  try {
    const rename = KeyRename.between(from, KeyPattern.parse(to))
    if (keepsNames || from.text !== to) read.set(from.text, rename)
    return true
  } catch (error) {
    document.refuse(path, messageOf(error))
    return false
  }
}

/** The finished end; only for drafts of a document without problems. */
export function finishEnd({ store, renames, channels }: EndDraft): EndConfig {
  const texts = (map: ReadonlyMap<string, KeyRename>): Record<string, string> =>
    Object.fromEntries([...map].map(([from, rename]) => [from, rename.to.text]))
  return { store: store!, keys: texts(renames), channels: texts(channels) }
}
