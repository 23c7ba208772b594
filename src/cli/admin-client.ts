import { ERROR_CODES, type ErrorCode, UnderstudyError } from '../base/errors.ts'
import { readEvents, type ServerEvent } from './server-events.ts'

const READ_TIMEOUT_MS = 10_000

/**
 * A running sidecar's admin API.
 *
 * Every method throws ADMIN_UNREACHABLE when nothing answers, ADMIN_REFUSED when it is not ours or wants a token, and else the code that
 * the API gave.
 */
export class AdminClient {
  readonly #base: string
  readonly #headers: Record<string, string>

  /** @throws UnderstudyError USAGE when `url` is no http(s) URL, or the token cannot stand in a header */
  constructor(url: string, token: string | null) {
    const parsed = URL.canParse(url) ? new URL(url) : null
    if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== '' || parsed.password !== '') {
      throw new UnderstudyError(
        'USAGE',
        'the admin address must look like http://127.0.0.1:9380 (the token goes into --token or UNDERSTUDY_ADMIN_TOKEN)',
      )
    }
    this.#base = parsed.origin + parsed.pathname.replace(/\/$/, '')
    if (token !== null && /\p{Cc}/u.test(token)) {
      throw new UnderstudyError('USAGE', 'the token has control characters (a line end, perhaps): give it without them')
    }
    // A header's text is sent as Latin-1, one byte a character; the server expects the bytes of UTF-8.
    this.#headers = token === null ? {} : { authorization: `Bearer ${Buffer.from(token).toString('latin1')}` }
  }

  /** `signal`: nobody waits for it any more (ADMIN_UNREACHABLE). */
  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    const timeout = AbortSignal.timeout(READ_TIMEOUT_MS)
    return (await this.#json(path, {
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    })) as T
  }

  /** An answer that is no JSON, as it is. */
  async text(path: string): Promise<string> {
    const response = await this.#fetch(path, { signal: AbortSignal.timeout(READ_TIMEOUT_MS) })
    if (!response.ok) throw await this.#refused(response)
    return response.text()
  }

  async delete<T>(path: string, timeoutMs: number): Promise<T> {
    return (await this.#json(path, { method: 'DELETE', signal: AbortSignal.timeout(timeoutMs) })) as T
  }

  put<T>(path: string, body: unknown, timeoutMs: number): Promise<T> {
    return this.#send('PUT', path, body, timeoutMs)
  }

  post<T>(path: string, body: unknown, timeoutMs: number): Promise<T> {
    return this.#send('POST', path, body, timeoutMs)
  }

  patch<T>(path: string, body: unknown, timeoutMs: number): Promise<T> {
    return this.#send('PATCH', path, body, timeoutMs)
  }

  /**
   * Hands the running sidecar's events to `use`, and closes the connection when that returns or throws. The events end, without an error, when
   * the connection does, or when nothing has come for `silenceMs` (the status comes every second).
   */
  async listen(silenceMs: number, use: (events: AsyncIterable<ServerEvent>) => Promise<void>): Promise<void> {
    const aborter = new AbortController()
    const timer = setTimeout(() => aborter.abort(), silenceMs)
    try {
      const response = await this.#fetch('/api/v1/events', { signal: aborter.signal })
      if (!response.ok || response.body === null) throw await this.#refused(response)
      await use(readEvents(response.body, () => timer.refresh()))
    } finally {
      clearTimeout(timer)
      aborter.abort()
    }
  }

  async #send<T>(method: string, path: string, body: unknown, timeoutMs: number): Promise<T> {
    const init = {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    }
    return (await this.#json(path, init)) as T
  }

  async #json(path: string, init: RequestInit): Promise<unknown> {
    const response = await this.#fetch(path, init)
    if (!response.ok) throw await this.#refused(response)
    try {
      return await response.json()
    } catch (cause) {
      throw isTimeout(cause) ? this.#unreachable(cause) : this.#stranger(response.status)
    }
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(this.#base + path, {
        ...init,
        headers: { ...this.#headers, ...init.headers },
        redirect: 'manual',
      })
    } catch (cause) {
      throw this.#unreachable(cause)
    }
  }

  async #refused(response: Response): Promise<UnderstudyError> {
    if (response.status === 401) {
      return new UnderstudyError(
        'ADMIN_REFUSED',
        `${this.#base} wants another token: give --token or set UNDERSTUDY_ADMIN_TOKEN`,
      )
    }
    const body: unknown = await response.json().catch(() => null)
    const error = (body as { error?: { code?: unknown; message?: unknown } } | null)?.error
    if (typeof error?.code !== 'string' || typeof error.message !== 'string') return this.#stranger(response.status)
    const code = Object.hasOwn(ERROR_CODES, error.code) ? (error.code as ErrorCode) : 'ADMIN_REFUSED'
    return new UnderstudyError(code, error.message)
  }

  #stranger(status: number): UnderstudyError {
    return new UnderstudyError(
      'ADMIN_REFUSED',
      `what answers at ${this.#base} is not Understudy's admin server (status ${status}): check --admin`,
    )
  }

  #unreachable(cause: unknown): UnderstudyError {
    const why = isTimeout(cause) ? 'no answer in time' : reasonOf(cause)
    if (UNTRUSTED.test(why)) {
      const hint = 'NODE_EXTRA_CA_CERTS names a PEM file with its authority'
      return new UnderstudyError(
        'ADMIN_UNREACHABLE',
        `${this.#base} shows a certificate that is not trusted here (${why}): ${hint}`,
        { cause },
      )
    }
    if (NO_HTTP.test(why)) {
      const hint = 'is it a Redis port, or one with TLS? --admin or UNDERSTUDY_ADMIN_URL says where the admin server is'
      return new UnderstudyError('ADMIN_UNREACHABLE', `${this.#base} gives no HTTP answer (${why}): ${hint}`, { cause })
    }
    return new UnderstudyError(
      'ADMIN_UNREACHABLE',
      `cannot reach Understudy at ${this.#base} (${why}): is it running there? --admin or UNDERSTUDY_ADMIN_URL says where`,
      { cause },
    )
  }
}

/** What Node says of a certificate by an authority that it does not know. */
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/

/** What it says of a connection that is ended in place of an answer, and of an answer in another protocol. */
const NO_HTTP = /UND_ERR_SOCKET|HTTP\/1\.1 protocol/

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')
}

/** fetch says only "fetch failed"; its cause knows more. */
function reasonOf(error: unknown): string {
  const cause = (error as { cause?: { code?: unknown; message?: unknown } }).cause
  return String(cause?.code ?? cause?.message ?? (error as Error).message)
}
