import { UnderstudyError } from '../../base/errors.ts'
import { withOlderAlert } from '../../base/tls-alert.ts'
import type { StoreConfig } from '../../config/config.ts'
import { answerWithinMs, COMMAND_TIMED_OUT } from './client-options.ts'

/** Why a connection to a store could not be opened or was lost (`wasUp`), and what to do where that is known. Names no secret. */
export function connectReason(error: Error, store: StoreConfig, wasUp: boolean): string {
  const code = withOlderAlert((error as NodeJS.ErrnoException).code ?? '')
  const at = `stores.${store.name}`
  const foreign = FOREIGN.exec(error.message)
  if (foreign !== null)
    return Number(foreign[1]) === TLS_ALERT
      ? speaksTls(store)
      : `what answers on this port does not speak the Redis protocol (its first byte is ${foreign[1]}, ${foreign[2]})`
  if (UNTRUSTED.has(code)) {
    return `its certificate is of no authority that is trusted here (${code}): name the PEM file of its authority in ${at}.tls.ca`
  }
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `its certificate is for another name: connect by a name that is in it, or write that name to ${at}.tls.serverName (${altNames(error)})`
    case 'CERT_HAS_EXPIRED':
      return 'its certificate has expired: renew it on the store'
    case 'CERT_NOT_YET_VALID':
      return 'its certificate is not valid yet: look at the clocks'
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return `it does not speak TLS on this port: write redis:// in ${at}.url, or its TLS port`
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
    case 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE':
      return `it demands a certificate of its clients, or did not like ours (${code}): write ${at}.tls.cert and ${at}.tls.key`
    case 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED':
      return `our certificate in ${at}.tls.cert has expired: renew it`
    case 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA':
      return `it does not trust the authority of our certificate in ${at}.tls.cert: have one signed by an authority it trusts`
    case 'ECONNRESET':
      return wasUp || store.tls !== null
        ? error.message
        : `${error.message} before it said anything (if it speaks TLS on this port: write rediss:// in ${at}.url)`
    case 'ECONNREFUSED':
      return `${error.message}: nobody listens there`
    case 'ENOTFOUND':
      return `${error.message}: this host name is not known here`
    case 'EAI_AGAIN':
      return `${error.message}: no name server could be asked for this host name`
    case 'ETIMEDOUT':
      // Of the operating system it names the address.
      return error.message === 'connect ETIMEDOUT' ? noConnectionReason(store, null) : error.message
    case 'EACCES':
      return `${error.message}: no permission for the socket file`
    default:
      return error.message === COMMAND_TIMED_OUT
        ? `no answer within ${answerWithinMs(store.timeoutMs)} ms`
        : error.message
  }
}

/** Why there is no connection after `connectTimeout`. `connecting`: not even the socket is open; null: that is not known. */
export function noConnectionReason(store: StoreConfig, connecting: boolean | null): string {
  const text = `no connection within ${store.connectTimeoutMs} ms`
  if (connecting === true || store.tls === null) return text
  const why =
    connecting === null ? 'nobody answers there, or nobody speaks TLS' : 'the port is open, and nobody speaks TLS there'
  return `${text}: ${why} (a plain port: write redis:// in stores.${store.name}.url)`
}

/** `reason` (of a connection that was not to be), with what to do where the login was refused. */
export function withLoginAdvice(reason: string, { name, password }: StoreConfig): string {
  if (password === null || !REFUSED_LOGIN.test(reason)) return reason
  return `${reason.replace(/\.$/, '')}: if the password was changed, change stores.${name}.password or its file, then run 'understudy reload'`
}

/** Why the bytes of a store cannot be read on. `greeted`: these bytes were its answer to the greeting. */
export function unreadableReason(error: unknown, store: StoreConfig, greeted: Buffer | null): string {
  const known = error instanceof UnderstudyError && error.code === 'PROTOCOL'
  if (!known) return `a defect in Understudy: ${defectOf(error)}`
  if (greeted !== null && isTlsAlert(greeted)) return speaksTls(store)
  return error.message
}

/** Why a pipeline was closed: in the store's own words, and not in ours. */
export function isInStoresWords(error: string | null): error is string {
  return error !== null && /^[A-Z]+ /.test(error)
}

/** What a client reads whose command did not leave, for `reason` there is no connection. */
export function downText(store: StoreConfig, reason: string | null): string {
  return `ERR Understudy: store '${store.name}' is down (${reason ?? 'not connected'}); the command was not executed`
}

/** What a client reads whose command was on the connection when it went, for `reason`. */
export function lostText(store: StoreConfig, reason: string | null): string {
  return `ERR Understudy: the connection to store '${store.name}' was lost (${reason ?? 'closed'}); the command may have been executed`
}

function speaksTls({ name }: StoreConfig): string {
  return `it speaks TLS on this port: write rediss:// in stores.${name}.url`
}

/** Of servers since 6, and of older ones; also behind the name of the command that it answers. */
const REFUSED_LOGIN = /^(?:\w+ was refused: )?(?:WRONGPASS|ERR invalid password)/

/** A TLS server answers plain bytes with an alert: record type 21, version 3.x. */
function isTlsAlert(buf: Buffer): boolean {
  return buf[0] === TLS_ALERT && buf[1] === 0x03
}

const TLS_ALERT = 0x15

/** How ioredis says that a reply begins with no type that there is: as a number, and in quotes. */
const FOREIGN = /^Unknown RESP type (\d+) (.+?)\. Please report this/s

/** Where it happened, for a bug report; no message of a foreign error, which may quote data. */
function defectOf(error: unknown): string {
  const at = error instanceof Error ? (error.stack?.split('\n')[1]?.trim() ?? '') : ''
  return `${error instanceof Error ? error.name : typeof error} ${at}`
}

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

function altNames(error: Error): string {
  const { cert } = error as { cert?: { subjectaltname?: string } }
  return cert?.subjectaltname ?? 'it carries no names'
}
