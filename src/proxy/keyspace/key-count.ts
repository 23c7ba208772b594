import { applicationName, scanFrame } from '../../routing/keyspace-command.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { gather, pipelineTo } from '../forward/ask-stores.ts'
import type { Session } from '../session/session.ts'
import { EVERY_KEY, LOOK_AGAIN_MS, pageOf } from './scan-page.ts'

/**
 * DBSIZE where a store holds more than the application's keys: they are counted by SCAN, page by page, so that no other client waits for longer than a page takes.
 *
 *   DBSIZE ─▶ a count begins      SCAN ─▶ SCAN ─▶ ... ─▶ :n
 *   DBSIZE ────── while it runs: waits for the next one, which answers all who wait
 *
 * So one count runs at a time for clients of one shared connection, and each is answered by one that began after its command came: what it wrote before is
 * counted, and what it sends behind it waits. Keys that are written or deleted meanwhile may be counted or not; none is counted twice while they are no more than `MAX_REMEMBERED`.
 *
 * A page is in flight for a switch as any command is; a whole count is not, for it may take longer than a switch may: between two pages it steps aside, and begins
 * anew under the routes that are then in force.
 */
export function countKeys(session: Session): void {
  const { path } = session
  const pipelineOf = (store: number): Pipeline => pipelineTo(session, store)
  const lead = pipelineOf(path.routes.primaryStores[0]!)
  const asked: Asked = { session, seq: session.order.assign(), pipelineOf }
  // What it writes behind this is not to be counted.
  session.waiting = 'pin'
  const waiting = counting.get(lead)
  if (waiting !== undefined) waiting.push(asked)
  else begin(lead, [asked])
}

interface Asked {
  readonly session: Session
  readonly seq: number
  /** The session waits: its database and user stay those that it asked with. */
  readonly pipelineOf: (store: number) => Pipeline
}

/** Who waits for the next count, by the connection that the one under way goes down. */
const counting = new WeakMap<Pipeline, Asked[]>()

function begin(lead: Pipeline, asked: readonly Asked[]): void {
  counting.set(lead, [])
  new Count(asked, () => {
    const next = counting.get(lead)!
    counting.delete(lead)
    if (next.length > 0) begin(lead, next)
  }).start()
}

class Count {
  readonly #asked: readonly Asked[]
  readonly #over: () => void
  #table!: RouteTable
  #keys = 0
  /** The names that were counted: a server that makes its hash table smaller meanwhile shows some twice. Null: too many to remember. */
  #counted: Set<string> | null = null

  constructor(asked: readonly Asked[], over: () => void) {
    this.#asked = asked
    this.#over = over
  }

  start(): void {
    const { path } = this.#asked[0]!.session
    if (path.routes.routes.some((route) => route.state.switching)) {
      setTimeout(() => this.start(), LOOK_AGAIN_MS).unref()
      return
    }
    this.#table = path.routes
    this.#keys = 0
    this.#counted = new Set()
    this.#page(0, 0n)
  }

  /** Asks the `at`-th store; `cursor` is that store's own. */
  #page(at: number, cursor: bigint): void {
    const { session, pipelineOf } = this.#asked[0]!
    const table = this.#table
    const store = table.primaryStores[at]
    if (store === undefined) return this.#answer(`:${this.#keys}\r\n`)
    if (this.#asked.every((one) => one.session.closed)) return this.#over()
    if (session.path.routes !== table || table.routes.some((route) => route.state.switching)) return this.start()
    const bytes = scanFrame(table, store, EVERY_KEY, cursor)
    gather(
      session,
      [{ pipeline: pipelineOf(store), bytes }],
      ([frame]) => {
        const reply = pageOf(frame!)
        if (reply === null)
          return this.#answer('-ERR Understudy: a store answered with something that is no reply to SCAN\r\n')
        const name = applicationName(table, store, null)
        for (const key of reply.keys) {
          const seen = name(key)
          if (seen !== null) this.#count(seen)
        }
        if (reply.cursor === 0n) this.#page(at + 1, 0n)
        else this.#page(at, reply.cursor)
      },
      (text) => this.#answer(`-${text}\r\n`),
    )
  }

  #count(key: Buffer): void {
    if (this.#counted !== null) {
      const text = key.toString('latin1')
      if (this.#counted.has(text)) return
      this.#counted.add(text)
      if (this.#counted.size >= MAX_REMEMBERED) this.#counted = null
    }
    this.#keys++
  }

  #answer(text: string): void {
    const frame = Buffer.from(text, 'latin1')
    this.#over()
    for (const { session, seq } of this.#asked) {
      session.reply(seq, frame, 0, frame.length)
      if (!session.closed) session.proceed()
    }
  }
}

/** Keys of a count that are told apart. */
const MAX_REMEMBERED = 100_000
