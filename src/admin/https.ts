import type { Server } from 'node:https'
import type tls from 'node:tls'
import { UnderstudyError } from '../base/errors.ts'
import type { ListenTlsConfig } from '../config/config.ts'
import type { Log } from '../observability/log.ts'
import { CertificateWatch, tlsServerOptions } from '../proxy/listen/certificates.ts'

/**
 * The certificates of an `https://` admin address. The files are looked at when somebody connects, at most once a second; renewed ones count from the next
 * handshake on. Files that cannot be used (half written) are logged, and what was there before stays in force.
 */
export class AdminCertificates {
  readonly #config: ListenTlsConfig
  readonly #watch: CertificateWatch
  readonly #log: Log
  #current: tls.TlsOptions

  /** @throws UnderstudyError LISTEN_FAILED when a certificate cannot be used */
  constructor(config: ListenTlsConfig, log: Log) {
    this.#config = config
    this.#log = log
    try {
      this.#watch = new CertificateWatch(config)
      this.#current = tlsServerOptions(config)
    } catch (cause) {
      const message = `cannot serve admin by https: its certificate cannot be used: ${textOf(cause)}`
      throw new UnderstudyError('LISTEN_FAILED', message, { cause })
    }
  }

  /** For the server that is to be created. */
  get options(): tls.TlsOptions {
    return { ...this.#current, SNICallback: (name, done) => this.#current.SNICallback?.(name, done) }
  }

  /** From now on a handshake finds the certificates that are in the files. */
  keepFresh(server: Server): void {
    // Before the server's own listener, which begins the handshake with what is set then.
    server.prependListener('connection', () => this.#refresh(server))
  }

  #refresh(server: Server): void {
    try {
      const renewed = this.#watch.refresh(() => {
        const options = tlsServerOptions(this.#config)
        server.setSecureContext(options)
        this.#current = options
      })
      if (renewed) this.#log.info('renewed certificates of admin are in use')
    } catch (error) {
      const reason = textOf(error)
      this.#log.error('the renewed certificate of admin cannot be used; the one before stays', { reason })
    }
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
