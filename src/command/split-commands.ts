/** How the replies of a command that was split over several stores become one: `values` in the order of the keys, `sum` of numbers, `ok` if all are. */
export type Merge = 'values' | 'sum' | 'ok'

/** Commands that say of each key what they would say of it alone. */
const MERGES: Readonly<Record<string, Merge>> = {
  MGET: 'values',
  MSET: 'ok',
  DEL: 'sum',
  UNLINK: 'sum',
  EXISTS: 'sum',
  TOUCH: 'sum',
}

/** By upper-case name; null: its keys have to be on one store. */
export function mergeOf(name: string): Merge | null {
  return MERGES[name] ?? null
}
