import net from 'node:net'
import tls from 'node:tls'
import { finishCopies } from '../../base/copy-run.ts'
import { READ_BUFFER } from '../../base/read-buffer.ts'
import { readRegularFile } from '../../base/read-file.ts'
import type { Endpoint, StoreConfig, TlsConfig } from '../../config/config.ts'

/** Bytes of a socket: a view, valid during the call. */
export type OnBytes = (buf: Buffer, length: number) => void

/** The event after which a socket can be written to: over TLS that is the end of its handshake. */
export function readyEvent(store: StoreConfig): 'connect' | 'secureConnect' {
  return store.tls === null ? 'connect' : 'secureConnect'
}

/**
 * Opens a socket to a store's endpoint. Plain sockets read into the thread's one buffer (`onread`); a TLS socket has no such mode
 * and uses `data` events. Errors come as the socket's `error` event; reading a certificate that is missing throws at once.
 */
export function connectTo(endpoint: Endpoint, store: StoreConfig, onBytes: OnBytes): net.Socket {
  if (store.tls !== null) return connectTls(endpoint, store.tls, onBytes)
  const onread = {
    buffer: READ_BUFFER,
    callback(length: number, buf: Uint8Array): boolean {
      onBytes(buf as Buffer, length)
      finishCopies()
      return true
    },
  }
  return endpoint.kind === 'unix'
    ? net.connect({ path: endpoint.path, onread })
    : net.connect({
        host: endpoint.host,
        port: endpoint.port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEPALIVE_MS,
        onread,
      })
}

/** Options of `tls.connect` for a store, certificates read now: a renewed one is found at the next connection. */
export function tlsOptions(endpoint: Endpoint, config: TlsConfig): tls.ConnectionOptions {
  const host = endpoint.kind === 'tcp' ? endpoint.host : null
  const name = config.serverName ?? (host !== null && net.isIP(host) === 0 ? host : null)
  return {
    rejectUnauthorized: config.verify,
    ...(config.caFile === null ? {} : { ca: readRegularFile(config.caFile) }),
    ...(config.certFile === null ? {} : { cert: readRegularFile(config.certFile) }),
    ...(config.keyFile === null ? {} : { key: readRegularFile(config.keyFile) }),
    ...(name === null ? {} : { servername: name }),
  }
}

function connectTls(endpoint: Endpoint, config: TlsConfig, onBytes: OnBytes): net.Socket {
  const target = endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port }
  const socket = tls.connect({ ...target, ...tlsOptions(endpoint, config) })
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEPALIVE_MS)
  socket.on('data', (bytes: Buffer) => onBytes(bytes, bytes.length))
  return socket
}

const KEEPALIVE_MS = 15_000
