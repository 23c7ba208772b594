import { append } from '../../base/append.ts'
import { mapReplyKeys } from '../../command/reply-keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeCommand, encodeReply, errorFrame } from '../../resp/encode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Reply } from '../../resp/reply.ts'
import {
  applicationName,
  globOf,
  keysFrames,
  readScan,
  type ScanRequest,
  scanFrame,
  scanTable,
} from '../../routing/keyspace-command.ts'
import { planCommand } from '../../routing/plan.ts'
import { rolesOf } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import { formatCursor, SCAN_STORES } from '../../routing/scan-cursor.ts'
import type { DataPath } from '../data-path.ts'
import { ask, gather, NoAnswer, pipelineTo } from '../forward/ask-stores.ts'
import { forward } from '../forward/forward.ts'
import type { Question } from '../forward/gather.ts'
import { pubsubCommand } from '../pubsub/pubsub-commands.ts'
import type { Session } from '../session/session.ts'
import { countKeys } from './key-count.ts'

/**
 * KEYS, SCAN, RANDOMKEY and DBSIZE where a store holds more than the application's keys, or holds them under other names, or several stores hold them together:
 *
 *   KEYS       every store is asked for what may match; what comes back is named and filtered as the application sees it
 *   SCAN       store after store; the cursor says where it is, and under which routes it began (`scan-cursor.ts`)
 *   RANDOMKEY  asked again until the key is one of the application's
 *   DBSIZE     the sum over the stores; where one holds more than the application's keys, these are counted (`key-count.ts`)
 *
 * False: has to wait.
 */
export function keyspaceCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (spec.name.startsWith('PUBSUB ')) return pubsubCommand(session, view, spec)
  const { path } = session
  const { routes } = path
  const whole = routes.primaryStores.length === 1 && routes.viewOf(routes.fallback.primary.store).whole
  if (routes.scanView === 0 || (whole && spec.name !== 'SCAN')) return forward(session, view, spec)
  // Asked on shared connections: what the client has under way on its own comes first.
  if (session.own !== null) {
    if (session.order.owed > 0) return session.waitFor('replies')
    session.own.carryCaching([])
  }
  planCommand(routes, spec, view, path.plan)
  if (routes.fallback.state.switching) return session.waitFor('hold')
  for (const store of routes.primaryStores) {
    const pipeline = pipelineTo(session, store)
    if (pipeline.full) return session.noRoom(pipeline)
  }
  switch (spec.name) {
    case 'KEYS':
      keys(session, view, spec)
      return true
    case 'SCAN':
      return scan(session, view, spec)
    case 'RANDOMKEY':
      new RandomKey(session).ask()
      return true
    default:
      countKeys(session)
      return true
  }
}

/** A reply to a command of a transaction (`rewriteKeyspaceCommand`), under the application's names; undefined: it goes out as it came. */
export function mapKeyspaceReply(
  path: DataPath,
  spec: CommandSpec,
  view: CommandView,
  reply: Reply,
): Reply | undefined {
  const { routes } = path
  const { store } = routes.fallback.primary
  const request = spec.name === 'SCAN' ? readScan(view) : null
  const isScan = request !== null && request !== 'cursor'
  const table = isScan ? (scanTable(routes, request, path.scans) ?? routes) : routes
  const nameOf = applicationName(table, store, globOf(spec, view))
  if (spec.name === 'DBSIZE' || spec.name === 'RANDOMKEY') {
    if (!Array.isArray(reply)) return undefined
    const names = (reply as Buffer[]).map(nameOf).filter((name) => name !== null)
    if (spec.name === 'DBSIZE') return names.length
    return names[Math.floor(Math.random() * names.length)] ?? null
  }
  const mapped = mapReplyKeys(spec, [], reply, nameOf) ?? undefined
  if (!isScan || !Array.isArray(mapped)) return mapped
  path.scans.remember(table)
  const next = nextCursor(table, request.cursor.store, cursorOf(mapped[0]!))
  return [Buffer.from(next ?? '0'), mapped[1]!]
}

/**
 * Route tables that scans have begun under: a scan goes on under its own, whatever has been switched since. Those of a former process, or of another instance, are found again among the tables that are a switch
 * away from the one in force.
 */
export class ScanTables {
  readonly #tables = new Map<number, RouteTable>()
  #near: { readonly of: RouteTable; readonly tables: readonly RouteTable[] } | null = null

  remember(table: RouteTable): void {
    this.#tables.delete(table.scanView)
    this.#tables.set(table.scanView, table)
    if (this.#tables.size > KEPT_TABLES) this.#tables.delete(this.#tables.keys().next().value!)
  }

  get(view: number, current: RouteTable): RouteTable | undefined {
    if (current.scanView === view) return current
    const known = this.#tables.get(view)
    if (known !== undefined) return known
    if (this.#near?.of !== current) this.#near = { of: current, tables: tablesNear(current) }
    const found = this.#near.tables.filter(({ scanView }) => scanView === view)
    return found.length === 1 ? found[0] : undefined
  }
}

/** One route switched or switched back; or all that are at one end. */
function tablesNear(table: RouteTable): RouteTable[] {
  const movable = table.routes.filter(({ config }) => config.target !== null).slice(0, MAX_TURNED)
  const at = (end: 'source' | 'target'): string[] =>
    movable.filter(({ phase }) => rolesOf(phase).primary === end).map(({ name }) => name)
  const sets = [
    ...movable.map(({ name }) => [name]),
    ...[at('source'), at('target')].filter(({ length }) => length > 1),
  ]
  return sets.map((names) => table.turned(new Set(names)))
}

const MAX_TURNED = 16

const KEPT_TABLES = 32

function keys(session: Session, view: CommandView, spec: CommandSpec): void {
  const { routes } = session.path
  const glob = globOf(spec, view)!
  const questions = routes.primaryStores.flatMap((store) =>
    keysFrames(routes, store, glob).map((bytes) => ({ store, pipeline: pipelineTo(session, store), bytes })),
  )
  const names = questions.map(({ store }) => applicationName(routes, store, glob))
  const several = questions.length > 1
  ask(session, questions, (frames) => {
    const found: Reply[] = []
    for (const [i, frame] of frames.entries()) {
      const mapped = mapReplyKeys(spec, [], decodeReply(frame, 0, frame.length), names[i]!)
      if (Array.isArray(mapped)) append(found, mapped)
    }
    return several ? unique(found) : found
  })
}

/** Several patterns for one store may match the same key. */
function unique(found: readonly Reply[]): Reply[] {
  return [...new Map(found.map((key) => [(key as Buffer).toString('latin1'), key])).values()]
}

// --- SCAN

function scan(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const { path } = session
  const request = readScan(view)
  if (request === 'cursor') {
    session.answerError('ERR invalid cursor')
    return true
  }
  // Its grammar is wrong, and the server says how.
  if (request === null) return forward(session, view, spec)
  const { cursor } = request
  const begins = cursor.view === 0 && cursor.cursor === 0n
  const table = cursor.view === 0 ? path.routes : path.scans.get(cursor.view, path.routes)
  const store = table?.primaryStores[cursor.store]
  if (table === undefined || store === undefined || (!begins && !isThere(path, table, store))) {
    session.answerError(SCAN_OF_OLD)
    return true
  }
  page(session, spec, request, table)
  return true
}

/** The store has not gone out of the configuration since. */
function isThere(path: DataPath, table: RouteTable, store: number): boolean {
  const name = table.stores[store]!
  return (
    path.routes === table ||
    path.routes.routes.some(({ config }) => [config.source, config.target].some((end) => end?.store === name))
  )
}

function page(session: Session, spec: CommandSpec, request: ScanRequest, table: RouteTable): void {
  const { cursor, glob } = request
  const store = table.primaryStores[cursor.store]!
  const bytes = scanFrame(table, store, request, cursor.cursor)
  ask(session, [{ pipeline: pipelineTo(session, store), bytes }], ([frame]) => {
    const reply = mapReplyKeys(spec, [], decodeReply(frame!, 0, frame!.length), applicationName(table, store, glob))
    if (!Array.isArray(reply)) return reply
    session.path.scans.remember(table)
    const next = nextCursor(table, cursor.store, cursorOf(reply[0]!))
    if (next === null) throw new NoAnswer(SCAN_CURSOR)
    return [Buffer.from(next), reply[1]!]
  })
}

function cursorOf(reply: Reply): bigint {
  return Buffer.isBuffer(reply) && /^\d+$/.test(reply.toString('latin1')) ? BigInt(reply.toString('latin1')) : 0n
}

/** Where a scan goes on after a page that ended with `cursor` at the `at`-th store. */
function nextCursor(table: RouteTable, at: number, cursor: bigint): string | null {
  if (cursor !== 0n) return formatCursor({ view: table.scanView, store: at, cursor })
  const next = at + 1
  if (next >= table.primaryStores.length) return '0'
  return next < SCAN_STORES ? formatCursor({ view: table.scanView, store: next, cursor: 0n }) : null
}

// --- RANDOMKEY

/** Asks a store for several at once, and again; when the application's keys are so few among the others that none was met, the keyspace is walked to the first. */
class RandomKey {
  readonly #session: Session
  readonly #table: RouteTable
  readonly #seq: number
  #rounds = 0

  constructor(session: Session) {
    this.#session = session
    this.#table = session.path.routes
    this.#seq = session.order.assign()
    // It may be asked for several times, and what the client writes behind it must not be seen.
    session.waiting = 'pin'
  }

  ask(): void {
    const { primaryStores } = this.#table
    const first = Math.floor(Math.random() * primaryStores.length)
    const stores = [...primaryStores.slice(first), ...primaryStores.slice(0, first)]
    const questions = stores.flatMap((store) =>
      Array.from({ length: RANDOM_KEYS }, () => ({
        store,
        pipeline: pipelineTo(this.#session, store),
        bytes: RANDOMKEY,
      })),
    )
    this.#gather(questions, (frames) => {
      for (const [i, frame] of frames.entries()) {
        const reply = decodeReply(frame, 0, frame.length)
        const key = Buffer.isBuffer(reply) ? this.#nameOf(questions[i]!.store, reply) : null
        if (key !== null) return this.#answer(key)
      }
      if (frames.every((frame) => decodeReply(frame, 0, frame.length) === null)) this.#answer(null)
      else if (++this.#rounds < RANDOM_ROUNDS) this.ask()
      else this.#walk(0, '0')
    })
  }

  #walk(at: number, cursor: string): void {
    const store = this.#table.primaryStores[at]
    if (store === undefined) return this.#answer(null)
    const bytes = encodeOwn(['SCAN', cursor, 'COUNT', WALK_COUNT])
    this.#gather([{ pipeline: pipelineTo(this.#session, store), bytes }], ([frame]) => {
      const [next, keys] = decodeReply(frame!, 0, frame!.length) as [Buffer, Buffer[]]
      const seen = keys.map((key) => this.#nameOf(store, key)).filter((key) => key !== null)
      const text = next.toString('latin1')
      if (seen.length > 0) this.#answer(seen[Math.floor(Math.random() * seen.length)]!)
      else if (text === '0') this.#walk(at + 1, '0')
      else this.#walk(at, text)
    })
  }

  #nameOf(store: number, key: Buffer): Buffer | null {
    return this.#table.viewOf(store).nameOf(key, 0, key.length)
  }

  #gather(questions: readonly Question[], done: (frames: readonly Buffer[]) => void): void {
    gather(this.#session, questions, done, (text) => this.#reply(errorFrame(text)))
  }

  #answer(key: Buffer | null): void {
    this.#reply(encodeReply(key, this.#session.protocol))
  }

  #reply(frame: Buffer): void {
    const session = this.#session
    session.reply(this.#seq, frame, 0, frame.length)
    if (!session.closed) session.proceed()
  }
}

const RANDOMKEY = encodeCommand(['RANDOMKEY'])
const RANDOM_KEYS = 16
const RANDOM_ROUNDS = 4
const WALK_COUNT = 1_000

const SCAN_OF_OLD =
  'ERR Understudy: this SCAN began under a configuration that is not known any more, so it cannot go on where it was. Begin again with cursor 0'
const SCAN_CURSOR =
  'ERR Understudy: the cursor of the store has no room for what Understudy has to remember in it, so SCAN is not possible here'
