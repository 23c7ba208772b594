import type { AddressInfo } from 'node:net'
import { createServer, type Server, type Socket } from 'node:net'
import { COMPLETE, CommandParser } from '../../src/resp/command-parser.ts'
import { ownWord } from '../../src/resp/own-words.ts'

/**
 * What the store does with a command: bytes are sent; `close` ends the connection; null: says nothing. `args` as text, the name in upper case.
 */
export type FakeAnswer = (args: readonly string[], socket: Socket) => Buffer | string | 'close' | null

/** A store that answers as a test wants it, to commands in the order in which they come. The greeting is answered properly unless the test does. */
export class FakeStore {
  readonly port: number
  /** Connections that were ever accepted. */
  accepted = 0
  readonly #server: Server
  readonly #sockets: Set<Socket>

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server
    this.#sockets = sockets
    this.port = (server.address() as AddressInfo).port
  }

  /**
   * `greets` false: also CLIENT SETNAME, CLIENT ID and COMMAND are the test's to answer. `said`: what a test makes of the proper answer to one of these, when it keeps answers back that come before.
   */
  static start(
    answer: FakeAnswer,
    greets = true,
    said: (words: string, socket: Socket) => string | null = asItIs,
  ): Promise<FakeStore> {
    const sockets = new Set<Socket>()
    return new Promise((resolve) => {
      let store: FakeStore
      const server = createServer({ noDelay: true }, (socket) => {
        store.accepted++
        sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => sockets.delete(socket))
        const greet: FakeAnswer = (args, of) => {
          const words = greeting(args)
          return words === null ? answer(args, of) : said(words, of)
        }
        serve(socket, greets ? greet : answer, greets)
      })
      server.listen(0, '127.0.0.1', () => {
        store = new FakeStore(server, sockets)
        resolve(store)
      })
    })
  }

  /** Ends every connection, new ones are taken: with a FIN, or with a reset. */
  disconnect(reset = false): void {
    for (const socket of this.#sockets) {
      if (reset) socket.resetAndDestroy()
      else socket.end()
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function asItIs(words: string): string {
  return words
}

function greeting(args: readonly string[]): string | null {
  if (args[0] === 'CLIENT' && args[1] === 'SETNAME') return '+OK\r\n'
  if (args[0] === 'CLIENT' && args[1] === 'ID') return ':7\r\n'
  if (args[0] === 'CLIENT' && args[1] === 'KILL') return ':0\r\n'
  if (args[0] === 'CLIENT' && args[1] === 'INFO') return '-ERR unknown subcommand\r\n'
  // Who it is, is not told.
  if (args[0] === 'HELLO' && args.length === 1) return '-ERR unknown command\r\n'
  if (args[0] === 'COMMAND') return '-ERR unknown command\r\n'
  return null
}

function serve(socket: Socket, answer: FakeAnswer, greets: boolean): void {
  const parser = new CommandParser()
  let bytes: Buffer = Buffer.alloc(0)
  let asked = !greets
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    for (let at = 0; parser.parse(bytes, at, bytes.length) === COMPLETE; at = 0) {
      const args = Array.from({ length: parser.argc }, (_, i) =>
        bytes.toString('latin1', parser.start[i]!, parser.end[i]!),
      )
      bytes = bytes.subarray(parser.next)
      // What is spelt so is a question of Understudy's own; the first INFO of a connection is a part of its greeting.
      const asksWhoItIs = !asked && args[0] === ownWord('INFO') && args[1] === 'server'
      asked ||= asksWhoItIs
      const said =
        args[0] === ownWord('PING')
          ? '+PONG\r\n'
          : asksWhoItIs
            ? '-ERR unknown section\r\n'
            : answer([args[0]!.toUpperCase(), ...args.slice(1)], socket)
      if (said === 'close') socket.end()
      else if (said !== null) socket.write(typeof said === 'string' ? Buffer.from(said, 'latin1') : said)
    }
    parser.rebase(0)
  })
}
