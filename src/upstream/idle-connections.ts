import type { StoreUser } from './connection/handshake.ts'
import type { Pipeline } from './pipeline/pipeline.ts'

/** What makes one dedicated connection as good as another: the client's database and what it is by the pipeline's identity. */
export interface ConnectionKind {
  readonly database: number
  readonly protocol: 2 | 3
  readonly user: StoreUser | null
}

/** The idle connections of one kind. */
interface Shelf {
  readonly kind: ConnectionKind
  /** The last one is lent first; those that have been opened ahead come first. */
  readonly pipelines: Pipeline[]
  /** Coarse clock: one was given back. */
  usedMs: number
  /** How many were never needed since the last look. */
  spare: number
  lookedMs: number
  /** One that was opened ahead did not come about: none more until a client's own has worked. */
  failed: boolean
}

/**
 * Dedicated connections that nobody has at the moment, and that are clean.
 *
 *   given back ─▶ idle ─▶ lent again
 *   a kind that was given back in the last minute has at least two, opened ahead, so that no transaction waits for a connection
 *   what nobody needed for 10 s is closed, but for those two; after a minute without use all of them
 *
 * So a load that has a hundred transactions open at once opens a hundred connections once, and none for each of its transactions.
 */
export class IdleConnections {
  readonly #open: (kind: ConnectionKind) => Pipeline
  readonly #shelves = new Map<string, Shelf>()
  #count = 0

  /** `open` gives a new one, not connected yet. */
  constructor(open: (kind: ConnectionKind) => Pipeline) {
    this.#open = open
  }

  /** One to lend; undefined: there is none. */
  take(kind: ConnectionKind): Pipeline | undefined {
    const shelf = this.#shelves.get(keyOf(kind))
    if (shelf === undefined) return undefined
    let taken = this.#pop(shelf)
    while (taken !== undefined && taken.state !== 'up' && taken.state !== 'connecting') taken = this.#pop(shelf)
    shelf.spare = Math.min(shelf.spare, shelf.pipelines.length)
    return taken
  }

  /** Keeps a clean one. False: there are enough, and it is the caller's to close. */
  give(kind: ConnectionKind, pipeline: Pipeline, nowMs: number): boolean {
    const key = keyOf(kind)
    let shelf = this.#shelves.get(key)
    if (shelf === undefined) {
      shelf = { kind, pipelines: [], usedMs: nowMs, spare: 0, lookedMs: nowMs, failed: false }
      this.#shelves.set(key, shelf)
    }
    shelf.usedMs = nowMs
    shelf.failed = false
    if (this.#count >= MAX_IDLE) return false
    shelf.pipelines.push(pipeline)
    this.#count++
    return true
  }

  /** Now and then: opens what is to be ready, and closes what is too much. */
  tick(nowMs: number): void {
    for (const [key, shelf] of this.#shelves) {
      if (nowMs - shelf.usedMs >= UNUSED_MS) {
        this.#shelves.delete(key)
        this.#closeAll(shelf, UNUSED)
        continue
      }
      this.#dropClosed(shelf)
      if (nowMs - shelf.lookedMs >= LOOK_MS) this.#trim(shelf, nowMs)
      while (shelf.pipelines.length < READY && !shelf.failed && this.#count < MAX_IDLE) {
        const pipeline = this.#open(shelf.kind)
        shelf.pipelines.unshift(pipeline)
        this.#count++
        pipeline.connect()
        if (pipeline.state === 'closed') break
      }
    }
  }

  /** Closes those of a client's own user. */
  closeOf(user: StoreUser, reason: string): void {
    for (const [key, shelf] of this.#shelves) {
      if (shelf.kind.user?.key !== user.key) continue
      this.#shelves.delete(key)
      this.#closeAll(shelf, reason)
    }
  }

  closeAll(reason: string): void {
    for (const shelf of this.#shelves.values()) this.#closeAll(shelf, reason)
    this.#shelves.clear()
  }

  #pop(shelf: Shelf): Pipeline | undefined {
    const pipeline = shelf.pipelines.pop()
    if (pipeline !== undefined) this.#count--
    return pipeline
  }

  /** The store has closed it, or did not let it in. */
  #dropClosed(shelf: Shelf): void {
    const { pipelines } = shelf
    for (let i = pipelines.length - 1; i >= 0; i--) {
      if (pipelines[i]!.state !== 'closed') continue
      pipelines.splice(i, 1)
      this.#count--
      shelf.failed = true
    }
    shelf.spare = Math.min(shelf.spare, pipelines.length)
  }

  #trim(shelf: Shelf, nowMs: number): void {
    const { pipelines } = shelf
    const surplus = Math.min(shelf.spare, pipelines.length - READY)
    for (let i = 0; i < surplus; i++) {
      this.#count--
      pipelines.shift()!.close(UNUSED)
    }
    shelf.lookedMs = nowMs
    shelf.spare = pipelines.length
  }

  #closeAll({ pipelines }: Shelf, reason: string): void {
    this.#count -= pipelines.length
    for (const pipeline of pipelines.splice(0)) pipeline.close(reason)
  }
}

/** A client's own user comes last: its name may hold anything. */
function keyOf({ database, protocol, user }: ConnectionKind): string {
  return user === null ? `${database}/${protocol}` : `${database}/${protocol} ${user.key}`
}

const UNUSED = 'connection not needed any more'
/** Of one kind that is in use. */
const READY = 2
/** Of all kinds of one store. */
const MAX_IDLE = 256
const LOOK_MS = 10_000
const UNUSED_MS = 60_000
