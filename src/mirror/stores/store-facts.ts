/** What is known of a store, beyond its address. */
export interface StoreFacts {
  /** Its clock minus ours, ms. */
  readonly clockOffsetMs: number
  /** Redis 6.0 or newer: what blocks may wait for a fraction of a second. */
  readonly takesFractions: boolean
  /** Redis 6.2 or newer: PXAT, EXAT are known. */
  readonly hasAbsoluteExpiry: boolean
  /** Redis 7.0 or newer: PEXPIRETIME is known. */
  readonly hasExpireTime: boolean
  /** Redis 7.0 or newer: streams count what was added to them, groups what they have read. */
  readonly countsEntries: boolean
  /** Redis 7.4, Valkey 9.0 or newer: single fields of a hash may have times of expiry. */
  readonly hasFieldTimes: boolean
  /** Redis 8.0, Valkey 9.0 or newer: HSETEX is known. */
  readonly hasHsetex: boolean
  /** The same of two that put down the numbers of a script, and order what is in its tables, alike. Null: not known. */
  readonly make: string | null
}

/** A store that nobody has asked yet is taken for one of this decade: what it then refuses is copied. */
export const UNKNOWN_STORE: StoreFacts = {
  clockOffsetMs: 0,
  takesFractions: true,
  hasAbsoluteExpiry: true,
  hasExpireTime: true,
  countsEntries: true,
  hasFieldTimes: true,
  hasHsetex: false,
  make: null,
}

/** `version`: `redis_version` of INFO; null: not known. Valkey says 7.2.4 there whatever its own version, `valkey`, and knows at least what that did. */
export function storeFacts(clockOffsetMs: number, version: string | null, valkey: string | null = null): StoreFacts {
  const numbers = numbersIn(version)
  if (numbers === null) return { ...UNKNOWN_STORE, clockOffsetMs }
  const [major, minor] = numbers
  const isValkey9 = (numbersIn(valkey)?.[0] ?? 0) >= 9
  return {
    clockOffsetMs,
    takesFractions: major >= 6,
    hasAbsoluteExpiry: major > 6 || (major === 6 && minor >= 2),
    hasExpireTime: major >= 7,
    countsEntries: major >= 7,
    hasFieldTimes: major > 7 || (major === 7 && minor >= 4) || isValkey9,
    hasHsetex: major >= 8 || isValkey9,
    make: makeOf(major, minor, numbersIn(valkey)),
  }
}

/** Redis has written numbers in as few digits as it takes since 7.2. Valkey does so, and changes how tables are kept. */
function makeOf(major: number, minor: number, valkey: readonly number[] | null): string {
  if (valkey !== null) return `valkey ${valkey.join('.')}`
  return major > 7 || (major === 7 && minor >= 2) ? 'redis since 7.2' : 'redis before 7.2'
}

function numbersIn(version: string | null): [major: number, minor: number] | null {
  const match = version === null ? null : /^(\d+)\.(\d+)/.exec(version)
  return match === null ? null : [Number(match[1]), Number(match[2])]
}
