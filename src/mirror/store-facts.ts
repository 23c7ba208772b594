/** What is known of a store, beyond its address. */
export interface StoreFacts {
  /** Its clock minus ours, ms. */
  readonly clockOffsetMs: number
  /** Redis 6.2 or newer: PXAT, EXAT are known. */
  readonly hasAbsoluteExpiry: boolean
  /** Redis 7.0 or newer: streams count what was added to them, groups what they have read. */
  readonly countsEntries: boolean
  /** Redis 8.0 or newer: HSETEX is known. */
  readonly hasHsetex: boolean
}

/** A store that nobody has asked yet is taken for one of this decade: what it then refuses is copied. */
export const UNKNOWN_STORE: StoreFacts = {
  clockOffsetMs: 0,
  hasAbsoluteExpiry: true,
  countsEntries: true,
  hasHsetex: false,
}

/** `version`: `redis_version` of INFO; null: not known. Valkey says 7.2.4 there whatever its own version, and is taken at its word. */
export function storeFacts(clockOffsetMs: number, version: string | null): StoreFacts {
  const match = version === null ? null : /^(\d+)\.(\d+)/.exec(version)
  if (match === null) return { ...UNKNOWN_STORE, clockOffsetMs }
  const [major, minor] = [Number(match[1]), Number(match[2])]
  return {
    clockOffsetMs,
    hasAbsoluteExpiry: major > 6 || (major === 6 && minor >= 2),
    countsEntries: major >= 7,
    hasHsetex: major >= 8,
  }
}
