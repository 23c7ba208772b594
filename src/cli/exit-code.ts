import type { ErrorCode } from '../base/errors.ts'

/** What every subcommand's exit code means; scripts rely on it. */
export const EXIT = {
  done: 0,
  /** The answer is no: a gate is closed, a file is invalid. */
  no: 1,
  usage: 2,
  /** Could not reach a running sidecar, or could not run. */
  failed: 3,
} as const

const NOT_FAILED: Partial<Readonly<Record<ErrorCode, number>>> = {
  CONFIG_INVALID: EXIT.no,
  GATE_CLOSED: EXIT.no,
  SWITCH_CALLED_OFF: EXIT.no,
  JOB_REFUSED: EXIT.no,
  USAGE: EXIT.usage,
  NOT_FOUND: EXIT.usage,
}

export function exitCodeOf(code: ErrorCode): number {
  return NOT_FAILED[code] ?? EXIT.failed
}
