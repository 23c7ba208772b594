/**
 * A SCAN cursor as the application gets it: the store's own, and where it belongs to. A scan may be under way while a switch changes which store and which names stand for the
 * application's keys. It goes on where it began, so that it gives every key once:
 *
 *    bit 63  62 ... 53  52  51 ................. 15  14 ......... 4  3 ..... 0
 *        0   0 ...   0   1   the store's cursor      view (1..2047)   store       0 altogether: begin, or done
 *        0   1  61 .......................... 15  14 ......... 4  3 ..... 0      the same, for a cursor of 2^37 or above
 *
 * `view` names the route table that the scan began under, `store` the place of the store in its list of primaries. Below 2^53, because some clients keep cursors as doubles
 * (node-redis before its version 5 does): only that of a store with a hash table of 2^37 places gets beyond. Below 2^63 always: others keep them in signed integers. A cursor
 * without the mark in bit 52 or 62 is a store's own, given when there was nothing to translate.
 */
export interface ScanCursor {
  readonly view: number
  readonly store: number
  readonly cursor: bigint
}

export const SCAN_VIEWS = 2_047
export const SCAN_STORES = 16

const VIEW_SHIFT = 4n
const CURSOR_SHIFT = 15n
const SHORT = 1n << 52n
const LONG = 1n << 62n
const BEYOND = 1n << 64n

/** Null: no number that a cursor can be. Read as servers do (`strtoull`): -1 is the largest there is. */
export function parseCursor(text: string): ScanCursor | null {
  if (!/^[+-]?\d{1,20}$/.test(text)) return null
  const signed = BigInt(text)
  if (signed >= BEYOND || signed <= -BEYOND) return null
  const value = BigInt.asUintN(64, signed)
  if (value >= 2n * LONG) return { view: 0, store: 0, cursor: value }
  const mark = value >= LONG ? LONG : SHORT
  if (value < SHORT || (value >= 2n * SHORT && mark === SHORT)) return { view: 0, store: 0, cursor: value }
  return {
    view: Number((value >> VIEW_SHIFT) & BigInt(SCAN_VIEWS)),
    store: Number(value & BigInt(SCAN_STORES - 1)),
    cursor: (value - mark) >> CURSOR_SHIFT,
  }
}

/** Null: the store's cursor has no room. `view` is 1 or above. */
export function formatCursor({ view, store, cursor }: ScanCursor): string | null {
  const value = (cursor << CURSOR_SHIFT) | (BigInt(view) << VIEW_SHIFT) | BigInt(store)
  if (value >= LONG) return null
  return ((value < SHORT ? SHORT : LONG) | value).toString()
}
