/** What the admin server refused, with its stable code and its text for people. */
export class ApiError extends Error {
  /**
   * @param {number} status 0: it could not be reached
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message)
    this.status = status
    this.code = code
  }
}

let refused = () => {}

/** Tells when a request was refused for want of a login.  @param {() => void} callback */
export function onRefused(callback) {
  refused = callback
}

/**
 * Asks the admin server; gives the JSON of its answer.
 *
 * @param {string} path
 * @param {{ method?: string, body?: unknown }} [options]
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function ask(path, { method = 'GET', body } = {}) {
  /** @type {Record<string, string>} */
  const headers = { 'x-understudy-page': '1' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  let response
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? null : JSON.stringify(body) })
  } catch {
    throw new ApiError(0, 'ADMIN_UNREACHABLE', 'Understudy does not answer')
  }
  const answer = await response.json().catch(() => null)
  if (response.ok) return answer
  if (response.status === 401) refused()
  const error = answer?.error
  throw new ApiError(response.status, error?.code ?? 'INTERNAL', error?.message ?? `status ${response.status}`)
}
