import { connect, type Socket } from 'node:net'
import { decodeReply } from '../../src/resp/decode.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import type { Reply } from '../../src/resp/reply.ts'
import { ReplyFramer } from '../../src/resp/reply-framer.ts'

/** A connection that gives replies as they are on the wire, for tests of what is made of them. */
export class WireClient {
  readonly #socket: Socket
  readonly #framer = new ReplyFramer()
  readonly #waiting: ((frame: Buffer) => void)[] = []
  #bytes: Buffer = Buffer.alloc(0)

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
  }

  static async open(port: number): Promise<WireClient> {
    const socket = connect(port, '127.0.0.1')
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new WireClient(socket)
  }

  /** The bytes of the reply. Calls may overlap: they are pipelined. */
  frame(...args: readonly (Buffer | string | number)[]): Promise<Buffer> {
    this.#socket.write(encodeCommand(args))
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async call(...args: readonly (Buffer | string | number)[]): Promise<Reply> {
    const frame = await this.frame(...args)
    return decodeReply(frame, 0, frame.length)
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    for (;;) {
      const end = this.#bytes.length === 0 ? -1 : this.#framer.frame(this.#bytes, 0, this.#bytes.length)
      if (end === -1) return
      const frame = this.#bytes.subarray(0, end)
      this.#bytes = this.#bytes.subarray(end)
      this.#waiting.shift()?.(frame)
    }
  }
}
