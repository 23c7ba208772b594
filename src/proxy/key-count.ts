import { decodeReply } from '../resp/decode.ts'
import type { Reply } from '../resp/reply.ts'
import { Glob } from '../routing/glob.ts'
import { applicationName, scanFrame } from '../routing/keyspace-command.ts'
import type { RouteTable } from '../routing/route-table.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import { gather, pipelineTo } from './ask-stores.ts'
import { isMalformed } from './malformed.ts'
import type { Session } from './session.ts'

/**
 * DBSIZE where a store holds more than the application's keys: they are counted by SCAN, page by page, so that no other client waits for longer than a page takes.
 *
 *   DBSIZE ─▶ a count begins      SCAN ─▶ SCAN ─▶ ... ─▶ :n
 *   DBSIZE ────── while it runs: waits for the next one, which answers all who wait
 *
 * So one count runs at a time for clients of one shared connection, and each is answered by one that began after its command came: what it wrote before is
 * counted. Keys that are written or deleted meanwhile may be counted or not.
 */
export function countKeys(session: Session): void {
  const { path } = session
  const pipelines = new Map(path.routes.primaryStores.map((store) => [store, pipelineTo(session, store)]))
  const lead = pipelines.values().next().value!
  const asked: Asked = { session, seq: session.order.assign(), table: path.routes, pipelines }
  const waiting = counting.get(lead)
  if (waiting !== undefined) waiting.push(asked)
  else begin(lead, [asked])
}

interface Asked {
  readonly session: Session
  readonly seq: number
  readonly table: RouteTable
  /** By store. */
  readonly pipelines: ReadonlyMap<number, Pipeline>
}

/** Who waits for the next count, by the connection that the one under way goes down. */
const counting = new WeakMap<Pipeline, Asked[]>()

function begin(lead: Pipeline, asked: readonly Asked[]): void {
  counting.set(lead, [])
  new Count(asked, () => {
    const next = counting.get(lead)!
    counting.delete(lead)
    if (next.length > 0) begin(lead, next)
  }).page(0, 0n)
}

class Count {
  readonly #asked: readonly Asked[]
  readonly #over: () => void
  #keys = 0

  constructor(asked: readonly Asked[], over: () => void) {
    this.#asked = asked
    this.#over = over
  }

  /** Asks the `at`-th store; `cursor` is that store's own. */
  page(at: number, cursor: bigint): void {
    // The last to come knows the table in force; all came before this count began.
    const { session, table, pipelines } = this.#asked.at(-1)!
    const store = table.primaryStores[at]
    if (store === undefined) return this.#answer(`:${this.#keys}\r\n`)
    if (this.#asked.every((one) => one.session.closed)) return this.#over()
    const bytes = scanFrame(table, store, REQUEST, cursor)
    gather(
      session,
      [{ pipeline: pipelines.get(store)!, bytes }],
      ([frame]) => {
        const reply = pageOf(frame!)
        if (reply === null)
          return this.#answer('-ERR Understudy: a store answered with something that is no reply to SCAN\r\n')
        const name = applicationName(table, store, null)
        for (const key of reply.keys) if (name(key) !== null) this.#keys++
        if (reply.cursor === 0n) this.page(at + 1, 0n)
        else this.page(at, reply.cursor)
      },
      (text) => this.#answer(`-${text}\r\n`),
    )
  }

  #answer(text: string): void {
    const frame = Buffer.from(text, 'latin1')
    for (const { session, seq } of this.#asked) session.reply(seq, frame, 0, frame.length)
    this.#over()
  }
}

function pageOf(frame: Buffer): { readonly cursor: bigint; readonly keys: readonly Buffer[] } | null {
  let reply: Reply
  try {
    reply = decodeReply(frame, 0, frame.length)
  } catch (error) {
    if (!isMalformed(error)) throw error
    return null
  }
  if (!Array.isArray(reply)) return null
  const [cursor, keys] = reply as readonly Reply[]
  const text = Buffer.isBuffer(cursor) ? cursor.toString('latin1') : ''
  if (!/^\d{1,20}$/.test(text) || !Array.isArray(keys) || !keys.every((key) => Buffer.isBuffer(key))) return null
  return { cursor: BigInt(text), keys: keys as readonly Buffer[] }
}

const REQUEST = {
  cursor: { view: 0, store: 0, cursor: 0n },
  glob: new Glob(Buffer.from('*')),
  options: [Buffer.from('COUNT'), Buffer.from('500')],
}
