import { Worker } from 'node:worker_threads'
import { ERROR_CODES, type ErrorCode, UnderstudyError } from '../base/errors.ts'
import type { Config, Endpoint } from '../config/config.ts'
import type { KeyReads, PairOfReplies } from '../mirror/copy/aligned-reads.ts'
import type { BatchResult, CopyOrigin } from '../mirror/copy/copy-batch.ts'
import type { ApplyResult, Change, DirtyKeys, Notice, Request, Stats } from '../proxy/messages.ts'

const YOUNG_MB = 24

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly message: string; readonly code: string | null }
}

/** The main thread's end of the data path's thread: requests with answers, and notices. */
export class DataPathThread {
  readonly #worker: Worker
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #nextId = 1
  #isStarted = false
  #ended = false

  /** `onDeath`: the thread ended without being asked to: a defect, the process cannot go on. */
  constructor(onNotice: (notice: Notice) => void, onDeath: (error: Error) => void) {
    const own = import.meta.url
    this.#worker = new Worker(new URL(own.endsWith('.ts') ? '../worker.ts' : '../worker.js', own), {
      name: 'data-path',
      // Commands allocate next to nothing; copies do, and would grow this to three times as much before they are collected (decision 0047).
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    this.#worker.on('message', (message: Answer | { notice: Notice }) => {
      if ('notice' in message) onNotice(message.notice)
      else this.#answered(message)
    })
    this.#worker.on('error', (error: Error) => {
      this.#ended = true
      this.#giveUp()
      onDeath(error)
    })
  }

  start(config: Config, endpoints: Readonly<Record<string, Endpoint>>): Promise<number[]> {
    this.#isStarted = true
    return this.#ask({ kind: 'start', config, endpoints }) as Promise<number[]>
  }

  apply(change: Change): Promise<ApplyResult> {
    return this.#ask({ kind: 'apply', ...change }) as Promise<ApplyResult>
  }

  stats(): Promise<Stats> {
    return this.#ask({ kind: 'stats' }) as Promise<Stats>
  }

  /** Resolves when nothing of the data path is connected any more to a store that had this name and was dropped or changed. */
  async left(store: string): Promise<void> {
    await this.#ask({ kind: 'left', store })
  }

  /** `keys`: packed application names; the memory is handed over. */
  copy(origin: CopyOrigin, database: number, keys: Uint8Array<ArrayBuffer>, window: number): Promise<BatchResult> {
    return this.#ask({ kind: 'copy', origin, database, keys, window }, [keys.buffer]) as Promise<BatchResult>
  }

  /** As `DataPathPort` says; the memory is handed over. */
  writing(store: string, database: number, keys: Uint8Array<ArrayBuffer>): Promise<number | null> {
    return this.#ask({ kind: 'writing', store, database, keys }, [keys.buffer]) as Promise<number | null>
  }

  wrote(number: number, doubtful: Uint8Array<ArrayBuffer>): Promise<boolean> {
    return this.#ask({ kind: 'wrote', number, doubtful }, [doubtful.buffer]) as Promise<boolean>
  }

  /** Resolves when the data path knows of all routes whose source a job has changed, or is about to, past the mirror. */
  async setAlteredSources(routes: readonly string[]): Promise<void> {
    await this.#ask({ kind: 'altered-sources', routes })
  }

  /** Resolves when the data path knows of all routes whose shadow is complete, by the configuration of that generation. */
  async setCompleteShadows(routes: readonly string[], generation: number): Promise<void> {
    await this.#ask({ kind: 'complete-shadows', routes, generation })
  }

  /** The same of those whose primary is. */
  async setCompletePrimaries(routes: readonly string[], generation: number): Promise<void> {
    await this.#ask({ kind: 'complete-primaries', routes, generation })
  }

  readPairs(database: number, list: readonly KeyReads[]): Promise<PairOfReplies[]> {
    return this.#ask({ kind: 'read-pairs', database, list }) as Promise<PairOfReplies[]>
  }

  verifyTicket(route: string): Promise<string> {
    return this.#ask({ kind: 'verify-ticket', route }) as Promise<string>
  }

  async verified(route: string, ticket: string): Promise<void> {
    await this.#ask({ kind: 'verified', route, ticket })
  }

  dirtyKeys(route: string, limit: number): Promise<DirtyKeys[]> {
    return this.#ask({ kind: 'dirty-keys', route, limit }) as Promise<DirtyKeys[]>
  }

  /** For what has no answer worth waiting for. */
  tell(request: Request): void {
    this.#ask(request).catch(() => {})
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#ended) return
    try {
      // Where the process could not start there is nothing to stop, and the thread may still be loading.
      if (this.#isStarted) await this.#ask({ kind: 'stop', graceMs })
    } finally {
      await this.#worker.terminate()
      this.#ended = true
      this.#giveUp()
    }
  }

  /** Nobody answers them any more: whoever waits must not wait for ever, and keep the process with what it holds open. */
  #giveUp(): void {
    for (const { reject } of this.#pending.values())
      reject(new UnderstudyError('INTERNAL', 'the data path has stopped'))
    this.#pending.clear()
  }

  #ask(request: Request, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (this.#ended) return Promise.reject(new UnderstudyError('INTERNAL', 'the data path has stopped'))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#worker.postMessage({ id, request }, transfer)
    })
  }

  #answered({ id, result, error }: Answer): void {
    const waiting = this.#pending.get(id)
    this.#pending.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new UnderstudyError(isCode(error.code) ? error.code : 'INTERNAL', error.message))
  }
}

function isCode(code: string | null): code is ErrorCode {
  return code !== null && code in ERROR_CODES
}
