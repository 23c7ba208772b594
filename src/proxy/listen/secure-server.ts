import type net from 'node:net'
import tls from 'node:tls'
import { UnderstudyError } from '../../base/errors.ts'
import { withOlderAlert } from '../../base/tls-alert.ts'
import type { ListenTlsConfig } from '../../config/config.ts'
import type { LogLine } from '../../observability/log.ts'
import { CertificateWatch, tlsServerOptions } from './certificates.ts'

/**
 * The TLS side of a listener: takes accepted sockets, gives them back when their handshake is done.
 *
 *   socket ─▶ admit ─▶ tls.Server (never listens itself) ─▶ onSecure
 *                         ▲ built anew when the files have changed; handshakes under way end on the old one
 *
 * The files are looked at when a client comes, at most once a second. A renewal that is half written (the key of another certificate, an empty file) is logged, leaves what was
 * there in force, and is tried again.
 */
export class SecureServer {
  readonly #url: string
  readonly #config: ListenTlsConfig
  readonly #log: (line: LogLine) => void
  readonly #onSecure: (socket: tls.TLSSocket) => void
  #server: tls.Server
  readonly #watch: CertificateWatch
  #warnedMs = Number.NEGATIVE_INFINITY
  /** Handshakes that are not done: they count as clients, so that they cannot be without number. */
  readonly #greeting = new Set<net.Socket>()

  /** Throws LISTEN_FAILED when a certificate cannot be used. */
  constructor(
    url: string,
    config: ListenTlsConfig,
    log: (line: LogLine) => void,
    onSecure: (socket: tls.TLSSocket) => void,
  ) {
    this.#url = url
    this.#config = config
    this.#log = log
    this.#onSecure = onSecure
    try {
      this.#watch = new CertificateWatch(config)
      this.#server = this.#build()
    } catch (error) {
      throw new UnderstudyError(
        'LISTEN_FAILED',
        `cannot listen on ${url}: its certificate cannot be used: ${textOf(error)}`,
        {
          cause: error,
        },
      )
    }
  }

  get handshakes(): number {
    return this.#greeting.size
  }

  admit(socket: net.Socket): void {
    this.#refresh()
    this.#greeting.add(socket)
    // Who ends a handshake half-way is gone; a client with a session may end its side and still read.
    socket.allowHalfOpen = false
    socket.once('close', () => this.#greeting.delete(socket))
    this.#server.emit('connection', socket)
  }

  /** Ends the handshakes under way; those who are in stay. */
  close(): void {
    for (const socket of this.#greeting) socket.destroy()
  }

  #build(): tls.Server {
    const server = tls.createServer({ ...tlsServerOptions(this.#config), handshakeTimeout: HANDSHAKE_TIMEOUT_MS })
    server.on('secureConnection', (socket) => {
      this.#greeting.delete((socket as unknown as SocketInternals)._parent)
      socket.allowHalfOpen = true
      // Optional means that none may be shown, not that any will do.
      if (this.#config.clientCertificates === 'optional' && shows(socket) && !socket.authorized) {
        this.#turnedAway(socket.authorizationError ?? 'its certificate was not accepted')
        socket.destroy()
      } else this.#onSecure(socket)
    })
    server.on('tlsClientError', (error, socket) => {
      this.#turnedAway(socket.authorizationError ?? error)
      socket.destroy()
    })
    return server
  }

  #refresh(): void {
    try {
      const renewed = this.#watch.refresh(() => {
        this.#server = this.#build()
      })
      if (!renewed) return
      this.#log({ level: 'info', msg: 'renewed certificates are in use', fields: { url: this.#url } })
    } catch (error) {
      this.#log({
        level: 'error',
        msg: 'the renewed certificate cannot be used; the one before stays',
        fields: { url: this.#url, reason: textOf(error) },
      })
    }
  }

  /** Logged now and then only: whoever scans the port must not fill the log. */
  #turnedAway(reason: unknown): void {
    const nowMs = performance.now()
    if (nowMs - this.#warnedMs < WARN_EVERY_MS) return
    this.#warnedMs = nowMs
    this.#log({
      level: 'warn',
      msg: 'a client was turned away during its TLS handshake',
      fields: { url: this.#url, reason: handshakeReason(reason) },
    })
  }
}

/** The part of a TLS socket that is not in its public type: the socket that it was made of. */
interface SocketInternals {
  readonly _parent: net.Socket
}

function shows(socket: tls.TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What went wrong in words, by the code of Node or OpenSSL. */
function handshakeReason(reason: unknown): string {
  const code = withOlderAlert(
    typeof reason === 'string' ? reason : ((reason as NodeJS.ErrnoException).code ?? textOf(reason)),
  )
  return REASONS[code] ?? code
}

const REASONS: Readonly<Record<string, string>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS: its URL must begin with rediss://',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS: its URL must begin with rediss://',
  ERR_SSL_HTTP_REQUEST: 'it speaks HTTP',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'it showed no certificate, and this listener requires one',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not trust the authority of the certificate of this listener',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it does not accept the certificate of this listener',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'the certificate of this listener has expired',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'its handshake took too long',
  ECONNRESET: 'it closed the connection during the handshake',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is of an authority that is not in `tls.ca`',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is of no authority that is in `tls.ca`',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is of an authority that is not in `tls.ca`',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is of an authority that is not in `tls.ca`',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is of an authority that is not in `tls.ca`',
  CERT_HAS_EXPIRED: 'its certificate has expired',
}

const WARN_EVERY_MS = 10_000
const HANDSHAKE_TIMEOUT_MS = 10_000
