import type { Status } from '../src/admin/status.ts'
import type { Workload } from './workload.ts'

/** The story as it is printed: what a phase did, a line for each. */
export const TABLE_HEADER =
  'phase              jobs  commands/s  mirrored  copied  lag ms  dirty  compared  mismatched  held ms'

/** `before`: what had been done when the phase began. `pauseMs` and `copied`: null where there was none. */
export function phaseRow(
  phase: string,
  status: Status,
  workload: Workload,
  before: { readonly jobs: number; readonly commands: number; readonly ms: number },
  pauseMs: number | null,
  copied: number | null,
): string {
  const { mirror, compare } = status.routes['jobs']!
  const seconds = (performance.now() - before.ms) / 1000
  const rate = before.ms === 0 ? '-' : String(Math.round((workload.commands - before.commands) / seconds))
  const column = (value: string | number | null, width: number): string => String(value ?? '-').padStart(width)
  return [
    phase.padEnd(17),
    column(workload.completed - before.jobs, 5),
    column(rate, 11),
    column(mirror.mirrored, 9),
    column(copied, 7),
    column(mirror.lagMs, 7),
    column(mirror.dirtyKeys, 6),
    column(compare.compared, 9),
    column(compare.mismatched, 11),
    column(pauseMs === null ? null : pauseMs.toFixed(1), 8),
  ].join(' ')
}
