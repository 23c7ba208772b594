import { X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import { readRegularFile } from '../../base/read-file.ts'
import type { CertificateFiles, ListenTlsConfig, TlsConfig } from '../config.ts'
import type { ConfigPath } from './problems.ts'
import type { ResolveContext } from './resolve-context.ts'
import type { ListenTlsFields, TlsFields } from './schema.ts'
import { reasonOf } from './secret.ts'

/** TLS towards a store. Every file is read once, so that a wrong one is found here and not at the first connection. */
export function resolveStoreTls(
  context: ResolveContext,
  wanted: boolean,
  fields: TlsFields | undefined,
  path: ConfigPath,
): TlsConfig | null {
  const { document } = context
  if (!wanted) {
    if (fields !== undefined)
      document.refuse(path, 'only a rediss:// URL has TLS; write rediss:// or remove this', 'key')
    return null
  }
  if ((fields?.cert === undefined) !== (fields?.key === undefined)) {
    document.refuse(path, 'a certificate needs its key: give both "cert" and "key", or neither', 'key')
  }
  if (fields?.verify === false) {
    document.warn(
      [...path, 'verify'],
      'any certificate is accepted, so anyone on the way can read and change the traffic',
    )
  }
  const caFile = fields?.ca === undefined ? null : readableFile(context, fields.ca, [...path, 'ca'])
  let certificate: CertificateFiles | null = null
  if (fields?.cert !== undefined && fields.key !== undefined) {
    certificate = certificateFiles(context, { cert: fields.cert, key: fields.key }, path)
  }
  if (caFile !== null) checkAuthorities(context, caFile, [...path, 'ca'])
  return {
    caFile,
    certFile: certificate?.certFile ?? null,
    keyFile: certificate?.keyFile ?? null,
    serverName: fields?.serverName ?? null,
    verify: fields?.verify ?? true,
  }
}

/** TLS towards clients. */
export function resolveListenTls(context: ResolveContext, fields: ListenTlsFields, path: ConfigPath): ListenTlsConfig {
  const { document } = context
  const certificates = [
    certificateFiles(context, fields, path),
    ...(fields.more ?? []).map((more, i) => certificateFiles(context, more, [...path, 'more', i])),
  ]
  const { ca } = fields
  const clientCertificates = fields.clientCertificates ?? (ca === undefined ? 'none' : 'required')
  if (clientCertificates !== 'none' && ca === undefined) {
    document.refuse(
      [...path, 'clientCertificates'],
      'whose certificates are accepted is missing: name the PEM file of their authority in "ca"',
    )
  }
  if (clientCertificates === 'none' && ca !== undefined) {
    document.refuse(
      [...path, 'ca'],
      'is of no use while clients show no certificate; remove it or "clientCertificates"',
      'key',
    )
  }
  const caFile = ca === undefined ? null : readableFile(context, ca, [...path, 'ca'])
  if (caFile !== null) checkAuthorities(context, caFile, [...path, 'ca'])
  return { certificates, caFile, clientCertificates }
}

function certificateFiles(
  context: ResolveContext,
  fields: { readonly cert: string; readonly key: string },
  path: ConfigPath,
): CertificateFiles {
  const certFile = readableFile(context, fields.cert, [...path, 'cert'])
  const keyFile = readableFile(context, fields.key, [...path, 'key'])
  if (certFile === null || keyFile === null) return { certFile: fields.cert, keyFile: fields.key }
  try {
    const cert = readRegularFile(certFile)
    const { validTo, validToDate } = new X509Certificate(cert)
    if (validToDate.getTime() < Date.now()) {
      context.document.warn([...path, 'cert'], `the certificate expired on ${validTo}; renew it`)
    }
    createSecureContext({ cert, key: readRegularFile(keyFile) })
  } catch (error) {
    context.document.refuse([...path, 'cert'], `the certificate and its key cannot be used: ${opensslReason(error)}`)
  }
  return { certFile, keyFile }
}

function checkAuthorities(context: ResolveContext, file: string, path: ConfigPath): void {
  try {
    new X509Certificate(readRegularFile(file))
  } catch (error) {
    context.document.refuse(path, `is not a PEM file with a certificate: ${opensslReason(error)}`)
  }
}

function readableFile(context: ResolveContext, name: string, path: ConfigPath): string | null {
  const absolute = resolve(context.cwd, name)
  try {
    readRegularFile(absolute)
  } catch (error) {
    context.document.refuse(path, `the file ${name} cannot be read: ${reasonOf(error)}`)
    return null
  }
  return absolute
}

/** What OpenSSL says of a file, in words; it never quotes the file. */
function opensslReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') return 'the key belongs to another certificate'
  if (code === 'ERR_OSSL_PEM_NO_START_LINE') return 'it is not a PEM file (-----BEGIN ...)'
  return message.replace(/^error:[0-9A-F]+:/, '')
}
