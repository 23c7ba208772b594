/**
 * One root for every error that Understudy raises on purpose. `code` is stable (scripts may match on it); the message says
 * what happened, where, and what to do; the original error, if any, is kept as `cause`.
 */
export class UnderstudyError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'UnderstudyError'
    this.code = code
  }
}

/** The catalogue of codes. Each is documented in `docs/reference/errors.md`, generated from this table. */
export const ERROR_CODES = {
  CONFIG_INVALID: 'The configuration file has at least one problem; every one is listed with its line and column.',
  CONFIG_UNREADABLE: 'The configuration file could not be read.',
  STATE_UNUSABLE: 'The state directory or a file in it cannot be used.',
  STATE_CORRUPT: 'A file in the state directory is damaged.',
  LISTEN_FAILED: 'A listener could not be opened (address in use, no permission, certificate missing).',
  STORE_UNREACHABLE: 'A store could not be reached or refused the connection.',
  SERVER_MISSING: 'A `managed:` store needs the redis-server program and it is not installed.',
  PROTOCOL: 'A peer sent bytes that are not RESP.',
  GATE_CLOSED: 'A phase change was refused; the reasons are listed.',
  SWITCH_CALLED_OFF:
    'A phase change was begun and called off before the point of no return; everything goes on as before.',
  JOB_REFUSED: 'A job cannot be started or steered as things are; the message says why.',
  STOPPING: 'Understudy is stopping and takes no more changes; ask again when it has started.',
  ADMIN_UNREACHABLE: 'A running Understudy could not be reached by its admin address.',
  ADMIN_REFUSED: 'The admin API refused a request.',
  NOT_FOUND: 'A route, store or job of that name does not exist.',
  USAGE: 'Wrong command line arguments.',
  INTERNAL: 'A defect in Understudy: please report it.',
} as const

export type ErrorCode = keyof typeof ERROR_CODES
