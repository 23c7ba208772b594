import { withoutCredentials } from '../base/credentials.ts'

/**
 * The only fields a log line can have. Everything else is left out, so no key, value or credential gets into a log by being
 * passed along in some object: there is no field for it. Counts are numbers: `keys` is how many, never which.
 */
const FIELD_TYPES = {
  attempt: 'number',
  bytes: 'number',
  class: 'string',
  clients: 'number',
  code: 'string',
  column: 'number',
  command: 'string',
  configHash: 'string',
  count: 'number',
  durationMs: 'number',
  endpoint: 'string',
  epoch: 'number',
  error: 'string',
  exitCode: 'number',
  file: 'string',
  from: 'string',
  function: 'string',
  job: 'string',
  keys: 'number',
  lagMs: 'number',
  library: 'string',
  limit: 'number',
  line: 'number',
  method: 'string',
  offsetMs: 'number',
  outcome: 'string',
  part: 'string',
  path: 'string',
  pauseMs: 'number',
  phase: 'string',
  pid: 'number',
  port: 'number',
  problem: 'string',
  problems: 'number',
  reason: 'string',
  retryInMs: 'number',
  role: 'string',
  route: 'string',
  sha: 'string',
  signal: 'string',
  status: 'number',
  store: 'string',
  successful: 'boolean',
  thread: 'string',
  to: 'string',
  url: 'string',
  version: 'string',
} as const

type FieldName = keyof typeof FIELD_TYPES
interface FieldTypes {
  string: string
  number: number
  boolean: boolean
}

export type LogFields = {
  readonly [Name in FieldName]?: FieldTypes[(typeof FIELD_TYPES)[Name]] | null | undefined
}

const MAX_TEXT_LENGTH = 500

/** Known fields of the right type, texts made safe; what is left out is named in `omitted`, so that a mistake is noticed. */
export function safeFields(fields: object, safeText: (text: string) => string): Record<string, unknown> {
  const safe: Record<string, unknown> = {}
  let omitted = 0
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === null) continue
    if (!Object.hasOwn(FIELD_TYPES, name) || typeof value !== FIELD_TYPES[name as FieldName]) omitted++
    else safe[name] = typeof value === 'string' ? safeText(value) : value
  }
  if (omitted > 0) safe['omitted'] = omitted
  return safe
}

/** One line, no control characters, no credentials of a URL, no known secret, no endless text. */
export function safeText(text: string, secrets: Iterable<string>): string {
  let safe = text
  for (const secret of secrets) safe = safe.replaceAll(secret, '***')
  safe = withoutCredentials(safe).replace(/\p{Cc}+/gu, ' ')
  return safe.length > MAX_TEXT_LENGTH ? `${safe.slice(0, MAX_TEXT_LENGTH)}...` : safe
}
