import { setTimeout as sleep } from 'node:timers/promises'
import { diskTrouble } from '../../state/database.ts'
import type { Job, JobCount, JobProgress } from './job.ts'
import { JOB_COUNTS } from './job.ts'
import type { JobStore, ListedKey } from './job-store.ts'

/** Why a job stops in the middle: asked to by somebody, or because the process ends (it goes on with the next start). */
export type Interruption = 'stop' | 'pause' | 'cancel'

/** Which of two holds: what is to be for good. */
const RANK: Readonly<Record<Interruption, number>> = { stop: 0, pause: 1, cancel: 2 }

class Interrupted extends Error {
  readonly why: Interruption

  constructor(why: Interruption) {
    super(why)
    this.why = why
  }
}

const SAMPLE_MS = 500
const WRITE_AGAIN_MS = 1_000
/** Weight of the latest sample in the rate. */
const WEIGHT = 0.3

/**
 * A job under way, as the one who does it sees it: what was asked, where it stands, and what it counts. `save` is the only place where it is stored and where it can be interrupted
 * (a `wait` too), so that what is counted and what is done never differ after a kill -9 by more than one step, which is then done again.
 */
export class Task {
  readonly job: Job
  /** Where the last run stood; null: from the beginning. */
  readonly checkpoint: unknown
  readonly #store: JobStore
  readonly #onProgress: (task: Task) => void
  readonly #aborter = new AbortController()
  readonly #counts: Record<JobCount, number>
  readonly #counted: (count: JobCount, by: number) => void
  #interruption: Interruption | null = null
  #keys: ListedKey[] = []
  #listed: number
  /** Tokens of the rate limit, and when they were counted. */
  #allowance = 0
  #allowedMs = performance.now()
  #sampledMs = performance.now()
  #sampledDone: number
  #rate = 0
  #look = (): void => {}
  /** A store came back as another process, and is listed from its beginning: keys are seen again. */
  hasBegunAnew = false
  readonly #remarks: Set<string>
  done: number
  total: number | null
  throttle: string | null = null

  constructor(
    job: Job,
    store: JobStore,
    onProgress: (task: Task) => void,
    counted: (count: JobCount, by: number) => void,
  ) {
    this.job = job
    this.checkpoint = store.checkpoint(job.id)
    this.#store = store
    this.#onProgress = onProgress
    this.#counted = counted
    this.#counts = Object.fromEntries(JOB_COUNTS.map((count) => [count, job.progress[count]])) as Record<
      JobCount,
      number
    >
    this.done = job.progress.done
    this.total = job.progress.total
    this.#sampledDone = this.done
    this.#listed = store.countKeys(job.id)
    this.#remarks = new Set(store.remarks(job.id))
  }

  get progress(): JobProgress {
    const { done, total } = this
    const left = total === null ? null : Math.max(0, total - done)
    return {
      done,
      total: total === null ? null : Math.max(total, done),
      rate: Math.round(this.#rate),
      etaSeconds: left === null || this.#rate === 0 ? null : Math.ceil(left / this.#rate),
      ...this.#counts,
    }
  }

  /** False: it has begun before, with something else. */
  beganWith(shape: string): boolean {
    return this.#store.beganWith(this.job.id, shape) === shape
  }

  /** What was done before does not count: the work begins anew. Keys that were listed, and remarks, are forgotten. */
  startOver(): void {
    for (const count of JOB_COUNTS) this.#counts[count] = 0
    this.done = 0
    this.#sampledDone = 0
    this.#keys = []
    this.#listed = 0
    this.#remarks.clear()
    this.#store.forgetKeys(this.job.id)
  }

  count(what: JobCount, by = 1): void {
    this.#counts[what] += by
    if (by > 0) this.#counted(what, by)
  }

  counted(what: JobCount): number {
    return this.#counts[what]
  }

  /** `1 key`, `3 keys`. */
  keysCounted(what: JobCount): string {
    const count = this.#counts[what]
    return `${count} ${count === 1 ? 'key' : 'keys'}`
  }

  /** Lists a key; it is stored with the next `save`. */
  list(key: ListedKey): void {
    this.#keys.push(key)
  }

  /** Stores where the job stands, as soon as the state database takes it. Rejects with Interrupted when it is not to go on. */
  async save(checkpoint: unknown): Promise<void> {
    this.#measure()
    const keys = this.#keys
    this.#keys = []
    const { progress, remarks } = this
    const step = { progress, checkpoint, remarks, keys, listed: this.#listed }
    await this.written(() => this.#store.save(this.job.id, step))
    this.#listed += keys.length
    this.#onProgress(this)
    this.#throwIfInterrupted()
  }

  /** Does what writes to the state database, again while its disk takes nothing. Rejects with Interrupted when the job is not to go on. */
  async written(write: () => void | Promise<void>): Promise<void> {
    for (let waited = false; ; waited = true) {
      try {
        await write()
        if (waited) this.throttle = null
        return
      } catch (error) {
        const trouble = diskTrouble(error)
        if (trouble === null) throw error
        this.throttle = trouble.message
        await this.wait(WRITE_AGAIN_MS)
      }
    }
  }

  /** Aborted when it is not to go on. */
  get signal(): AbortSignal {
    return this.#aborter.signal
  }

  /** Null: it is to go on. */
  get interruption(): Interruption | null {
    return this.#interruption
  }

  /** A sentence for the report, about what came in its way. */
  remark(sentence: string): void {
    this.#remarks.add(sentence)
  }

  get remarks(): readonly string[] {
    return [...this.#remarks]
  }

  interrupt(why: Interruption): void {
    if (this.#interruption === null || RANK[why] > RANK[this.#interruption]) this.#interruption = why
    this.#aborter.abort()
  }

  /** `look`: called before every wait; what it throws ends the job. What is waited for may never come any more. */
  lookWhileWaiting(look: () => void): void {
    this.#look = look
  }

  /** Rejects with Interrupted when the job is not to go on. */
  async wait(ms: number): Promise<void> {
    this.#throwIfInterrupted()
    this.#look()
    try {
      await sleep(ms, undefined, { signal: this.#aborter.signal })
    } catch {
      this.#throwIfInterrupted()
    }
  }

  /** Waits until the rate limit allows `keys` more, and says so. */
  async pace(keys: number): Promise<void> {
    const { rate } = this.job.options
    if (rate === undefined) return
    const now = performance.now()
    // A tenth of a second may be made up for.
    this.#allowance = Math.min(rate / 10, this.#allowance + ((now - this.#allowedMs) * rate) / 1000) - keys
    this.#allowedMs = now
    if (this.#allowance >= 0) return
    this.throttle = `--rate: ${rate} keys/s`
    await this.wait((-this.#allowance * 1000) / rate)
  }

  #measure(): void {
    const now = performance.now()
    const elapsedMs = now - this.#sampledMs
    if (elapsedMs < SAMPLE_MS) return
    const sample = ((this.done - this.#sampledDone) * 1000) / elapsedMs
    this.#rate = this.#rate === 0 ? sample : this.#rate * (1 - WEIGHT) + sample * WEIGHT
    this.#sampledMs = now
    this.#sampledDone = this.done
  }

  #throwIfInterrupted(): void {
    if (this.#interruption !== null) throw new Interrupted(this.#interruption)
  }
}
