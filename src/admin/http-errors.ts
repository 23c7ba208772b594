import { type ErrorCode, UnderstudyError } from '../base/errors.ts'
import { diskTrouble } from '../state/database.ts'

/** The HTTP status of each error code: the one table. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  CONFIG_INVALID: 422,
  CONFIG_UNREADABLE: 422,
  STATE_UNUSABLE: 503,
  STATE_CORRUPT: 503,
  LISTEN_FAILED: 503,
  STORE_UNREACHABLE: 503,
  SERVER_MISSING: 503,
  PROTOCOL: 502,
  GATE_CLOSED: 409,
  SWITCH_CALLED_OFF: 409,
  JOB_REFUSED: 409,
  STOPPING: 503,
  ADMIN_UNREACHABLE: 502,
  ADMIN_REFUSED: 403,
  NOT_FOUND: 404,
  USAGE: 400,
  INTERNAL: 500,
}

/** Every answer that is not a success has this body. */
export interface ErrorBody {
  error: {
    code: ErrorCode
    message: string
    /** One entry a problem, where there are several: of a configuration file with its position, or a closed gate. */
    problems?: unknown[]
  }
}

export interface ErrorAnswer {
  readonly status: number
  readonly body: ErrorBody
}

/** What a client is told of an error. An error that is not ours may carry anything in its text: it is told as INTERNAL, without the text. */
export function errorAnswer(thrown: unknown): ErrorAnswer {
  const error = diskTrouble(thrown) ?? thrown
  if (error instanceof UnderstudyError) {
    const problems =
      'problems' in error && Array.isArray(error.problems) ? { problems: error.problems as unknown[] } : {}
    return {
      status: HTTP_STATUS[error.code],
      body: { error: { code: error.code, message: error.message, ...problems } },
    }
  }
  const status = (error as { statusCode?: unknown } | null)?.statusCode
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return refusal(status, `the request could not be read: ${(error as Error).message}`)
  }
  return {
    status: 500,
    body: {
      error: { code: 'INTERNAL', message: 'a defect in Understudy: its log has a line about it; please report it' },
    },
  }
}

/** A refusal by the HTTP side itself. */
export function refusal(status: number, message: string): ErrorAnswer {
  const code = status === 400 ? 'USAGE' : status === 404 ? 'NOT_FOUND' : 'ADMIN_REFUSED'
  return { status, body: { error: { code, message } } }
}
