import type { Phase } from '../config/config.ts'
import type { Finding } from './finding.ts'

/** Confirmed mismatches of one key, command and class; plain JSON. */
export interface MismatchEntry {
  id: number
  /** ISO 8601, of the last time. */
  at: string
  route: string
  phase: Phase
  command: string
  key: string
  class: Finding['class']
  detail: string
  primary: string
  shadow: string
  count: number
}

const MAX_ENTRIES = 10_000

/** The latest confirmed mismatches, newest first when listed; the same difference seen again is counted, not repeated. Bounded: the oldest go. */
export class MismatchLog {
  readonly #entries = new Map<string, MismatchEntry>()
  /** By route, class and command: what the metric shows. */
  readonly #totals = new Map<string, { route: string; class: string; command: string; count: number }>()
  #nextId = 1

  add(finding: Finding): MismatchEntry {
    const key = printableKey(finding.key)
    const identity = JSON.stringify([finding.route, finding.database, key, finding.command, finding.class])
    const known = this.#entries.get(identity)
    const entry: MismatchEntry = {
      id: known?.id ?? this.#nextId++,
      at: new Date(finding.atMs).toISOString(),
      route: finding.route,
      phase: finding.phase,
      command: finding.command,
      key,
      class: finding.class,
      detail: finding.detail,
      primary: finding.primary,
      shadow: finding.shadow,
      count: (known?.count ?? 0) + 1,
    }
    // Newest last.
    this.#entries.delete(identity)
    this.#entries.set(identity, entry)
    if (this.#entries.size > MAX_ENTRIES) this.#entries.delete(this.#entries.keys().next().value!)
    const totalKey = `${finding.route}\0${finding.class}\0${finding.command}`
    const total = this.#totals.get(totalKey)
    if (total === undefined) {
      this.#totals.set(totalKey, { route: finding.route, class: finding.class, command: finding.command, count: 1 })
    } else total.count++
    return entry
  }

  list(filter: {
    route?: string | undefined
    class?: string | undefined
    limit?: number | undefined
  }): MismatchEntry[] {
    const list: MismatchEntry[] = []
    const entries = [...this.#entries.values()]
    for (let i = entries.length - 1; i >= 0 && list.length < (filter.limit ?? 100); i--) {
      const entry = entries[i]!
      if (filter.route !== undefined && entry.route !== filter.route) continue
      if (filter.class !== undefined && entry.class !== filter.class) continue
      list.push(entry)
    }
    return list
  }

  totals(route: string): { class: string; command: string; count: number }[] {
    return [...this.#totals.values()].filter((total) => total.route === route)
  }
}

/** Keys are bytes: printable ASCII as it is, everything else as \xHH, so that two keys never look the same. */
function printableKey(key: Uint8Array): string {
  let text = ''
  for (const byte of key) {
    text +=
      byte >= 32 && byte < 127 && byte !== 92 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}
