import type { CommandView } from '../resp/command-view.ts'
import { argumentIs } from './argument.ts'
import type { CommandSpec } from './spec.ts'

/** Where a blocking command says how long it waits. 0 there means for ever. Seconds may have a fraction. */
export interface BlockTimeout {
  /** Index of the argument. */
  readonly index: number
  readonly unit: 'seconds' | 'milliseconds'
}

/** Index of the timeout by name, where it has a fixed place; negative: counted from the end. */
const FIXED: Readonly<Record<string, BlockTimeout>> = {
  BLPOP: { index: -1, unit: 'seconds' },
  BRPOP: { index: -1, unit: 'seconds' },
  BZPOPMIN: { index: -1, unit: 'seconds' },
  BZPOPMAX: { index: -1, unit: 'seconds' },
  BRPOPLPUSH: { index: 3, unit: 'seconds' },
  BLMOVE: { index: 5, unit: 'seconds' },
  BLMOVEM: { index: 5, unit: 'seconds' },
  BLMPOP: { index: 1, unit: 'seconds' },
  BZMPOP: { index: 1, unit: 'seconds' },
  WAIT: { index: 2, unit: 'milliseconds' },
  WAITAOF: { index: 3, unit: 'milliseconds' },
}

/** Whether this very command may block its connection: `handling` is `blocking`, and XREAD or XREADGROUP has a BLOCK. */
export function blocks(spec: CommandSpec, view: CommandView): boolean {
  return spec.handling === 'blocking' && (spec.keyFinder !== 'streams' || blockOption(view) !== -1)
}

/** null when the command does not block, or is too short to have a timeout (the server answers that with an error). */
export function blockTimeout(spec: CommandSpec, view: CommandView): BlockTimeout | null {
  if (spec.handling !== 'blocking') return null
  if (spec.keyFinder === 'streams') {
    const index = blockOption(view)
    return index === -1 ? null : { index, unit: 'milliseconds' }
  }
  const fixed = FIXED[spec.name]
  if (fixed === undefined) return null
  const index = fixed.index < 0 ? view.argc + fixed.index : fixed.index
  return index < 1 || index >= view.argc ? null : { index, unit: fixed.unit }
}

/** Index of the value of BLOCK in XREAD or XREADGROUP, -1 without. A group or consumer may itself be called BLOCK. */
function blockOption(view: CommandView): number {
  for (let i = 1; i + 1 < view.argc; i++) {
    if (argumentIs(view, i, 'STREAMS')) return -1
    if (argumentIs(view, i, 'BLOCK')) return i + 1
    if (argumentIs(view, i, 'GROUP')) i += 2
    else if (argumentIs(view, i, 'COUNT') || argumentIs(view, i, 'CLAIM')) i++
  }
  return -1
}
