import type { KeyRead, KeyReads, PairOfReplies } from '../../mirror/copy/aligned-reads.ts'
import { decodeReply } from '../../resp/decode.ts'
import { inResp2 } from '../../resp/in-resp2.ts'
import type { Reply } from '../../resp/reply.ts'
import type { DataPathPort } from '../runner/environment.ts'
import type { EndKeys } from '../stores/end-keys.ts'
import type { StoreConnections } from '../stores/store-connection.ts'

/** The answers of both sides to the same reads, in the shapes of RESP2 whatever each speaks; or why they cannot be had now. */
export type Pair =
  | { readonly ok: true; readonly primary: readonly Reply[]; readonly shadow: readonly Reply[] }
  | { readonly ok: false; readonly reason: string }

/** Asks both sides the same of a key (application name). */
export interface PairReader {
  /** `isMuch`: the answers have several MB. */
  read(database: number, key: Buffer, reads: readonly KeyRead[], isMuch?: boolean): Promise<Pair>
}

/** Keys in one message to the data path. */
const MAX_TOGETHER = 128

/** By the data path, at one place of the one history: exact under live writes. What is asked in one turn of the event loop goes as one message. */
export class AlignedReader implements PairReader {
  readonly #dataPath: DataPathPort
  #waiting: { database: number; asked: KeyReads; resolve: (pair: Pair) => void; reject: (error: unknown) => void }[] =
    []

  constructor(dataPath: DataPathPort) {
    this.#dataPath = dataPath
  }

  read(database: number, key: Buffer, reads: readonly KeyRead[], isMuch = false): Promise<Pair> {
    return new Promise((resolve, reject) => {
      // Of its own memory: a view of a pool would be sent with the whole pool.
      this.#waiting.push({ database, asked: { key: new Uint8Array(key), reads, isMuch }, resolve, reject })
      if (this.#waiting.length === 1) setImmediate(() => this.#send())
    })
  }

  #send(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const database of new Set(waiting.map((one) => one.database))) {
      const all = waiting.filter((one) => one.database === database)
      for (let i = 0; i < all.length; i += MAX_TOGETHER) {
        const together = all.slice(i, i + MAX_TOGETHER)
        this.#dataPath
          .readPairs(
            database,
            together.map((one) => one.asked),
          )
          .then(
            (pairs) => {
              for (const [n, pair] of pairs.entries()) {
                together[n]!.resolve(pair.ok ? decodedPair(pair) : pair)
              }
            },
            (error) => {
              for (const one of together) one.reject(error)
            },
          )
      }
    }
  }
}

/** What is the same on the wire is decoded once. */
function decodedPair({ primary, shadow }: PairOfReplies & { readonly ok: true }): Pair {
  const there = primary.map(decoded)
  const here = shadow.map((bytes, i) => (Buffer.compare(bytes, primary[i]!) === 0 ? there[i]! : decoded(bytes)))
  return { ok: true, primary: there, shadow: here }
}

/** The pipelines of the primary speak what its clients speak, the shadow's RESP2. */
function decoded(bytes: Uint8Array): Reply {
  return inResp2(decodeReply(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength))
}

/** By connections of the job's own: for ends that nobody writes to any more. */
export class DirectReader implements PairReader {
  readonly #connections: StoreConnections
  readonly #primary: EndKeys
  readonly #shadow: EndKeys

  constructor(connections: StoreConnections, primary: EndKeys, shadow: EndKeys) {
    this.#connections = connections
    this.#primary = primary
    this.#shadow = shadow
  }

  async read(database: number, key: Buffer, reads: readonly KeyRead[]): Promise<Pair> {
    const ask = (end: EndKeys): Promise<Reply[]> => {
      const connection = this.#connections.to(end.storeName, database)
      return Promise.all(
        reads.map(({ before, after }) =>
          connection.ask([
            ...before,
            end.nameOf(key),
            ...after.map((arg) => (typeof arg === 'string' ? arg : Buffer.from(arg))),
          ]),
        ),
      )
    }
    const [primary, shadow] = await Promise.all([ask(this.#primary), ask(this.#shadow)])
    return { ok: true, primary, shadow }
  }
}
