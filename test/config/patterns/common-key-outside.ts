import { commonKeyOfSets, type Segment } from '../../../src/config/patterns/key-language.ts'
import { KeySet, Work } from '../../../src/config/patterns/key-set.ts'

/** A key that both languages contain and none of `except` does. */
export function commonKeyOutside(
  a: readonly Segment[],
  b: readonly Segment[],
  except: readonly (readonly Segment[])[],
  work = new Work(),
): Buffer | null {
  return commonKeyOfSets(new KeySet(a, except, work), new KeySet(b, [], work), work)
}
