import { setTimeout as sleep } from 'node:timers/promises'
import { UnderstudyError } from '../base/errors.ts'
import type { Log } from '../observability/log.ts'
import { errorFields } from '../observability/log-error.ts'
import type {
  Job,
  JobAction,
  JobCount,
  JobKey,
  JobKeyQuery,
  JobKind,
  JobOptions,
  JobQuery,
  JobReport,
  JobRequest,
  JobState,
} from './job.ts'
import { isDryRun, isOver, WORK_COUNTS } from './job.ts'
import type { JobStore } from './job-store.ts'
import { Task } from './task.ts'

/** What a job says when it is done; the keys it listed are counted by the runner. */
export type WorkReport = Omit<JobReport, 'classes'>

/** Does a job from its checkpoint on, and says what came out. Throws Interrupted as `task.save` does. */
export type JobWork = (task: Task) => Promise<WorkReport>

export interface JobRunnerOptions {
  readonly store: JobStore
  readonly work: Readonly<Record<JobKind, JobWork>>
  /** Throws UnderstudyError when a job cannot be done as things are. */
  readonly mayStart: (kind: JobKind, route: string, options: JobOptions) => void
  /** The route is configured now. */
  readonly isRoute: (name: string) => boolean
  readonly onChange: (job: Job) => void
  /** Called before a job that is done is shown as done. */
  readonly onDone: (job: Job, report: JobReport) => Promise<void>
  readonly log: Log
}

const MAX_QUEUED = 100
const STOP_MS = 2_000
/** Progress is told at most so often. */
const TELL_EVERY_MS = 500

/**
 * Runs jobs: one per route at a time, in the order in which they were asked for; those of other routes beside it.
 *
 *   queued ──▶ running ──▶ done | failed | cancelled
 *     ▲           │
 *     └── paused ◀┘        a job that was running when the process ended is queued again, and goes on from its checkpoint
 */
export class JobRunner {
  readonly #options: JobRunnerOptions
  readonly #store: JobStore
  /** By route. */
  readonly #running = new Map<string, { readonly task: Task; readonly ended: Promise<void> }>()
  readonly #totals = new Map<string, { route: string; job: string; outcome: string; count: number }>()
  readonly #told = new Map<number, number>()
  #stopping = false
  /** The state database is closed, or about to be. */
  #stopped = false

  constructor(options: JobRunnerOptions) {
    this.#options = options
    this.#store = options.store
  }

  /** What was under way when the process ended goes on. */
  goOn(): void {
    for (const job of this.#store.list({ states: ['running'], limit: MAX_QUEUED }))
      this.#store.enter(job.id, 'queued', Date.now())
    this.#next()
  }

  /** Interrupts what runs; it goes on with the next start. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const { task } of this.#running.values()) task.interrupt('stop')
    const ended = Promise.all([...this.#running.values()].map((one) => one.ended))
    // One that waits for a store that hangs is left: it goes on from its checkpoint, too.
    await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })])
    this.#stopped = true
  }

  /** Throws JOB_REFUSED when it cannot be done as things are. */
  async start({ kind, route, options }: JobRequest): Promise<Job> {
    this.#options.mayStart(kind, route, options)
    if (this.#store.list({ states: ['queued'], limit: MAX_QUEUED }).length >= MAX_QUEUED) {
      throw new UnderstudyError('JOB_REFUSED', `${MAX_QUEUED} jobs wait already: cancel some of them`)
    }
    const job = this.#store.create(kind, route, options, Date.now())
    this.#tell(job)
    this.#next()
    return this.#get(job.id)
  }

  /** Throws NOT_FOUND, and JOB_REFUSED when the job's state does not allow it. */
  async steer(id: number, action: JobAction): Promise<Job> {
    const job = this.#get(id)
    if (action === 'resume') {
      if (job.state !== 'paused' && job.state !== 'failed') throw cannot(action, job)
      this.#options.mayStart(job.kind, job.route, job.options)
      this.#enter(id, 'queued')
      this.#next()
    } else if (job.state === 'running') {
      const running = this.#runningOf(id)
      running?.task.interrupt(action)
      await running?.ended
    } else if (job.state === 'queued' || (job.state === 'paused' && action === 'cancel')) {
      this.#enter(id, action === 'pause' ? 'paused' : 'cancelled')
    } else throw cannot(action, job)
    return this.#get(id)
  }

  /** Throws NOT_FOUND. */
  async get(id: number): Promise<Job> {
    return this.#get(id)
  }

  #get(id: number): Job {
    const job = this.#store.get(id)
    if (job === undefined) throw new UnderstudyError('NOT_FOUND', `there is no job ${id}`)
    return this.#withTask(job)
  }

  /** The newest first. Throws NOT_FOUND: no jobs because of a misspelt name would look like no jobs. A route that was taken out may still have some. */
  async list({ route, state, limit }: JobQuery): Promise<Job[]> {
    if (route !== undefined && !this.#options.isRoute(route) && this.#store.list({ route, limit: 1 }).length === 0)
      throw new UnderstudyError('NOT_FOUND', `no route is called '${route}'`)
    const states = state === undefined ? undefined : [state]
    return this.#store.list({ route, states, limit }).map((job) => this.#withTask(job))
  }

  /** Jobs of a route, the newest first. */
  recent(route: string, limit: number): Job[] {
    return this.#store.list({ route, limit }).map((job) => this.#withTask(job))
  }

  /** Keys that a job lists, after number `after`. Throws NOT_FOUND. */
  async keys(id: number, { after, limit }: JobKeyQuery): Promise<JobKey[]> {
    this.#get(id)
    return this.#store.keys(id, after, limit)
  }

  /** A job of this kind is under way on the route. */
  isRunning(kind: JobKind, route: string): boolean {
    return this.#running.get(route)?.task.job.kind === kind
  }

  /** Keys by job and outcome since the process started: what the metric shows. What a dry run would do is not among them. */
  totals(route: string): { job: string; outcome: string; count: number }[] {
    return [...this.#totals.values()].filter((total) => total.route === route)
  }

  #runningOf(id: number) {
    return [...this.#running.values()].find(({ task }) => task.job.id === id)
  }

  #withTask(job: Job): Job {
    const task = this.#runningOf(job.id)?.task
    return task === undefined ? job : { ...job, progress: task.progress, throttle: task.throttle }
  }

  /** Starts what may be started, the oldest first. */
  #next(): void {
    if (this.#stopping) return
    for (const job of this.#store.list({ states: ['queued'], limit: MAX_QUEUED }).reverse()) {
      if (this.#running.has(job.route)) continue
      const started = this.#enter(job.id, 'running')
      const task = new Task(
        started,
        this.#store,
        (of) => this.#progressed(of),
        (what, by) => this.#count(started, what, by),
      )
      this.#running.set(job.route, { task, ended: this.#run(task) })
    }
  }

  async #run(task: Task): Promise<void> {
    const { id, kind, route } = task.job
    // Whoever started it knows its number before it can be over.
    await new Promise((resolve) => setImmediate(resolve))
    let end: () => void = () => {}
    try {
      const done = await this.#options.work[kind](task)
      const report = { ...done, notes: [...done.notes, ...task.remarks], classes: this.#store.classes(id) }
      await this.#options.onDone(task.job, report)
      end = () => this.#enter(id, 'done', { report })
    } catch (error) {
      // Its connections are closed then, so it can end in other words, too.
      const why = task.interruption
      if (why !== null) {
        if (why !== 'stop') end = () => this.#enter(id, why === 'pause' ? 'paused' : 'cancelled')
      } else {
        const known = error instanceof UnderstudyError
        if (!known) this.#options.log.error('a job failed', { route, job: kind, ...errorFields(error) })
        const text = known ? error.message : 'a defect in Understudy: its log has a line about it; please report it'
        end = () => this.#enter(id, 'failed', { error: text })
      }
    }
    if (this.#stopped) return
    this.#running.delete(route)
    this.#told.delete(id)
    end()
    this.#next()
  }

  #enter(id: number, state: JobState, result: { error?: string; report?: JobReport } = {}): Job {
    const job = this.#store.enter(id, state, Date.now(), result)
    const { kind, route } = job
    const fields = { job: `${kind} ${id}`, route, error: job.error }
    if (state === 'failed') this.#options.log.warn('job failed', fields)
    else this.#options.log.info(`job ${state}`, fields)
    this.#tell(job)
    return job
  }

  #progressed(task: Task): void {
    const { id } = task.job
    const now = performance.now()
    if (now - (this.#told.get(id) ?? 0) < TELL_EVERY_MS) return
    this.#told.set(id, now)
    this.#tell(this.#get(id))
  }

  #tell(job: Job): void {
    this.#options.onChange(job)
  }

  #count(job: Job, outcome: JobCount, by: number): void {
    if (isDryRun(job) && WORK_COUNTS.includes(outcome)) return
    const name = `${job.route}\0${job.kind}\0${outcome}`
    const total = this.#totals.get(name)
    if (total === undefined) this.#totals.set(name, { route: job.route, job: job.kind, outcome, count: by })
    else total.count += by
  }
}

function cannot(action: JobAction, job: Job): UnderstudyError {
  const why = isOver(job.state) ? `it is ${job.state}` : `it is ${job.state} now`
  return new UnderstudyError(
    'JOB_REFUSED',
    `cannot ${action} job ${job.id} (${job.kind} of route '${job.route}'): ${why}`,
  )
}
