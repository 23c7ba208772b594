import { createHmac, timingSafeEqual } from 'node:crypto'

export interface SessionsOptions {
  /** The page is served by https: the cookie is never to be sent without. Default: false. */
  readonly secure?: boolean
  /** ms since the epoch. */
  readonly now?: () => number
}

/** A working day; then the token is asked for again. */
const LIFETIME_S = 12 * 3600

/**
 * Logins of browsers: a cookie that proves that its owner has known the token, until it expires. Nothing is remembered here: the cookie is
 *
 *     understudy-TAG = EXPIRES.PROOF      TAG    names the token, without telling it
 *                                         PROOF  HMAC-SHA256 of EXPIRES under the token
 *
 * so a login outlives a restart, ends when the token is changed, and counts for every sidecar with the same token, while two with different ones on
 * one host name (port forwards to localhost: cookies know no ports) do not overwrite each other's.
 */
export class Sessions {
  readonly #token: string
  readonly #name: string
  readonly #attributes: string
  readonly #now: () => number

  constructor(token: string, { secure = false, now = Date.now }: SessionsOptions = {}) {
    this.#token = token
    this.#name = `understudy-${this.#proof('name').slice(0, 8)}`
    this.#attributes = `HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`
    this.#now = now
  }

  /** The value of `Set-Cookie` for somebody who gave the token. */
  cookie(): string {
    const expires = Math.floor(this.#now() / 1000) + LIFETIME_S
    return this.#cookie(`${expires}.${this.#proof(`until ${expires}`)}`, LIFETIME_S)
  }

  /** The one that removes it. */
  endingCookie(): string {
    return this.#cookie('', 0)
  }

  /** @param header the `Cookie` header */
  isLoggedIn(header: string | undefined): boolean {
    for (const pair of header?.split(';') ?? []) {
      const [name = '', value = ''] = pair.trim().split('=', 2)
      if (name === this.#name && this.#isValid(value)) return true
    }
    return false
  }

  #isValid(value: string): boolean {
    const [, expires = '', proof = ''] = /^(\d{1,12})\.([0-9a-f]{64})$/.exec(value) ?? []
    if (proof === '' || Number(expires) <= this.#now() / 1000) return false
    return timingSafeEqual(Buffer.from(proof), Buffer.from(this.#proof(`until ${expires}`)))
  }

  #proof(of: string): string {
    return createHmac('sha256', this.#token).update(`understudy session ${of}`).digest('hex')
  }

  #cookie(value: string, maxAgeS: number): string {
    return `${this.#name}=${value}; Path=/; Max-Age=${maxAgeS}; ${this.#attributes}`
  }
}
