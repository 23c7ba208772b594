import { X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import tls from 'node:tls'
import { readRegularFile } from '../../base/read-file.ts'
import type { ListenTlsConfig } from '../../config/config.ts'

/** A certificate as it was read, and for which names it is. */
interface NamedContext {
  readonly certificate: X509Certificate
  readonly context: tls.SecureContext
}

/**
 * Changes with every one of the listener's files that is written or replaced, also behind a symlink: a size and a time do not, when a file is written twice in one tick of
 * the file system's clock, so the inode counts as well. Throws when one is missing.
 */
function certificateStamp({ certificates, caFile }: ListenTlsConfig): string {
  const files = certificates.flatMap(({ certFile, keyFile }) => [certFile, keyFile])
  if (caFile !== null) files.push(caFile)
  return files
    .map((file) => {
      const { ino, size, mtimeMs } = statSync(file)
      return `${ino}/${size}/${mtimeMs}`
    })
    .join(' ')
}

/** Notices that a server's certificates were renewed. The files are looked at when somebody connects, at most once a second. */
export class CertificateWatch {
  readonly #config: ListenTlsConfig
  #stamp: string
  #checkedMs = performance.now()

  /** Throws when a file is missing. */
  constructor(config: ListenTlsConfig) {
    this.#config = config
    this.#stamp = certificateStamp(config)
  }

  /** True when the files were changed and `use` took them. Throws what the file system or `use` says; then they are tried again. */
  refresh(use: () => void): boolean {
    const nowMs = performance.now()
    if (nowMs - this.#checkedMs < CHECK_EVERY_MS) return false
    this.#checkedMs = nowMs
    const stamp = certificateStamp(this.#config)
    if (stamp === this.#stamp) return false
    use()
    this.#stamp = stamp
    return true
  }
}

const CHECK_EVERY_MS = 1_000

/**
 * Options of a TLS server with the certificates that are in the listener's files now. A client that names a server (SNI) is shown the first certificate that is for
 * that name, any other client the first of all. Throws what the file system or OpenSSL say of a file.
 */
export function tlsServerOptions(config: ListenTlsConfig): tls.TlsOptions {
  const { caFile, clientCertificates } = config
  const ca = caFile === null ? {} : { ca: readRegularFile(caFile) }
  const contexts = config.certificates.map(({ certFile, keyFile }): NamedContext & { cert: Buffer; key: Buffer } => {
    const cert = readRegularFile(certFile)
    const key = readRegularFile(keyFile)
    return { cert, key, certificate: new X509Certificate(cert), context: tls.createSecureContext({ cert, key, ...ca }) }
  })
  const first = contexts[0]!
  return {
    cert: first.cert,
    key: first.key,
    ...ca,
    requestCert: clientCertificates !== 'none',
    // Someone who shows a certificate of nobody we know is turned away; only showing none is optional.
    rejectUnauthorized: clientCertificates === 'required',
    SNICallback: (name, done) =>
      done(null, (contexts.find(({ certificate }) => certificate.checkHost(name) !== undefined) ?? first).context),
  }
}
