import net from 'node:net'
import { TLSSocket } from 'node:tls'
import { finishCopies } from '../../base/copy-run.ts'
import { READ_BUFFER } from '../../base/read-buffer.ts'

type OnBytes = (buf: Buffer, length: number) => void

/** The parts of an accepted socket that are not in its public type. */
interface SocketInternals {
  _handle: unknown
  _server: unknown
  server: unknown
}

/**
 * Makes an accepted socket read into the thread's one buffer. `onread` exists only for sockets that connect, so the socket is rebuilt around its
 * handle with that option: no stream machinery and no fresh buffer per read (`benchmark/README.md` has the difference). Where the internals are not as
 * expected (another Node), the plain stream is used: slower, and the same otherwise.
 */
export function adoptSocket(accepted: net.Socket, onBytes: OnBytes): net.Socket {
  const internals = accepted as unknown as SocketInternals
  const handle = internals._handle
  // A TLS socket decrypts in its stream: its handle is not where the bytes come from.
  const encrypted = accepted instanceof TLSSocket
  if (encrypted || typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) {
    return plain(accepted, onBytes)
  }
  internals._handle = null
  const socket = new net.Socket({
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: READ_BUFFER,
      callback(length: number, buf: Uint8Array): boolean {
        onBytes(buf as Buffer, length)
        finishCopies()
        return true
      },
    },
  } as unknown as net.SocketConstructorOpts)
  // The server counts its connections by this, and waits for them in `close`.
  const rebuilt = socket as unknown as SocketInternals
  rebuilt.server = internals.server
  rebuilt._server = internals._server
  internals._server = null
  return socket
}

function plain(socket: net.Socket, onBytes: OnBytes): net.Socket {
  socket.on('data', (bytes: Buffer) => onBytes(bytes, bytes.length))
  return socket
}
