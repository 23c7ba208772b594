/**
 * A SCAN cursor as the application gets it: the store's own, and where it belongs to. A scan may be under way while a switch changes which store and which names stand for the
 * application's keys. It goes on where it began, so that it gives every key once:
 *
 *    bit 63  62 ......... 52  51 ..... 48  47 ................ 0
 *        0   view (1..2047)   store        the store's cursor          0 altogether: begin, or done
 *
 * `view` names the route table that the scan began under, `store` the place of the store in its list of primaries. Below 2^63, because some clients keep cursors
 * in signed integers. A cursor without a view is a store's own, given when there was nothing to translate.
 */
export interface ScanCursor {
  readonly view: number
  readonly store: number
  readonly cursor: bigint
}

export const SCAN_VIEWS = 2_047
export const SCAN_STORES = 16

/** Null: no number that a cursor can be. */
export function parseCursor(text: string): ScanCursor | null {
  if (!/^\d{1,20}$/.test(text)) return null
  const value = BigInt(text)
  if (value >= 2n ** 63n) return null
  return { view: Number(value >> 52n), store: Number((value >> 48n) & 15n), cursor: value & (2n ** 48n - 1n) }
}

/** Null: the store's cursor has no room. */
export function formatCursor({ view, store, cursor }: ScanCursor): string | null {
  if (cursor >= 2n ** 48n) return null
  return ((BigInt(view) << 52n) | (BigInt(store) << 48n) | cursor).toString()
}
