import type { EffectRule } from '../effects.ts'
import { copy } from './building.ts'

/** The array type of Redis 8.8: too young for most shadows, and inserts go where a cursor of the key's own stands. */
const COPY_FIRST_KEY: EffectRule = { kind: 'compute', effect: (args) => copy(args[1]!) }

export const ARRAY_EFFECTS: Readonly<Record<string, EffectRule>> = {
  ARSET: COPY_FIRST_KEY,
  ARMSET: COPY_FIRST_KEY,
  ARDEL: COPY_FIRST_KEY,
  ARDELRANGE: COPY_FIRST_KEY,
  ARINSERT: COPY_FIRST_KEY,
  ARRING: COPY_FIRST_KEY,
  ARSEEK: COPY_FIRST_KEY,
}
