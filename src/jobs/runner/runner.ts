import { setTimeout as sleep } from 'node:timers/promises'
import { UnderstudyError } from '../../base/errors.ts'
import type { Log } from '../../observability/log.ts'
import { errorFields } from '../../observability/log-error.ts'
import { diskTrouble } from '../../state/database.ts'
import type {
  Job,
  JobAction,
  JobKey,
  JobKeyQuery,
  JobKind,
  JobOptions,
  JobQuery,
  JobReport,
  JobRequest,
  JobState,
} from './job.ts'
import { isOver } from './job.ts'
import type { JobResult, JobStore } from './job-store.ts'
import { JobTotals } from './job-totals.ts'
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
/** What the state database does not take is tried again. */
const WRITE_AGAIN_MS = 1_000

/**
 * Runs jobs: one per route at a time, in the order in which they were asked for; those of other routes beside it.
 *
 *   queued ──▶ running ──▶ done | failed | cancelled
 *     ▲           │
 *     └── paused ◀┘        a job that was running when the process ended is queued again, and goes on from its checkpoint
 *
 * A state that cannot be written, because the disk of the state directory is full, is entered when it can: until then a job that has ended counts as running, and one that could begin waits.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions
  readonly #store: JobStore
  /** By route. */
  readonly #running = new Map<string, { readonly task: Task; readonly ended: Promise<void> }>()
  readonly totals: JobTotals = new JobTotals()
  readonly #told = new Map<number, number>()
  /** Why the state database took nothing, as the log said it last. */
  #saidUnwritten: string | null = null
  /** Jobs could begin, and wait for it. */
  #nextIsLate = false
  #stopping = false
  /** The state database is closed, or about to be. */
  #stopped = false

  constructor(options: JobRunnerOptions) {
    this.#options = options
    this.#store = options.store
  }

  /** What was under way when the process ended goes on. */
  goOn(): void {
    for (const job of this.#store.list({ states: ['running'] })) this.#store.enter(job.id, 'queued', Date.now())
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
    } else if (job.state === 'queued' || job.state === 'running' || (job.state === 'paused' && action === 'cancel')) {
      const running = this.#runningOf(id)
      // At once: another one may steer it in the next turn.
      if (running === undefined) this.#enter(id, action === 'pause' ? 'paused' : 'cancelled')
      else {
        running.task.interrupt(action)
        await running.ended
        if (this.#runningOf(id) === running) throw unwritten(job, running.task)
      }
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

  /** The newest job of each kind of a route. */
  newest(route: string): Job[] {
    return this.#store.newest(route).map((job) => this.#withTask(job))
  }

  /** Those of a route that are done, the one that ended last first; read from the state database as they are asked for. */
  done(route: string, kinds: readonly JobKind[]): Iterable<Job> {
    return this.#store.done(route, kinds)
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
    this.#nextIsLate = false
    try {
      for (const job of this.#store.list({ states: ['queued'] }).reverse()) {
        if (this.#running.has(job.route)) continue
        const started = this.#enter(job.id, 'running')
        const task = new Task(
          started,
          this.#store,
          (of) => this.#progressed(of),
          (what, by) => this.totals.add(started, what, by),
        )
        this.#running.set(job.route, { task, ended: this.#run(task) })
      }
    } catch (error) {
      this.#nextIsLate = true
      this.#later(error, () => {
        if (this.#nextIsLate) this.#next()
      })
    }
  }

  async #run(task: Task): Promise<void> {
    // Whoever started it knows its number before it can be over.
    await new Promise((resolve) => setImmediate(resolve))
    this.#conclude(task, await this.#work(task))
  }

  /** Does the job, and gives what enters its end. */
  async #work(task: Task): Promise<() => void> {
    const { id, kind, route } = task.job
    try {
      const done = await this.#options.work[kind](task)
      const report = { ...done, notes: [...done.notes, ...task.remarks], classes: this.#store.classes(id) }
      await task.written(() => this.#options.onDone(task.job, report))
      // What was expected of it when it began may have become more or less. A file says how many it has.
      if (task.total === null || !FROM_FILES.has(kind)) task.total = task.done
      return () => this.#enter(id, 'done', { report, progress: task.progress })
    } catch (thrown) {
      // Its connections are closed then, so it can end in other words, too.
      if (task.interruption !== null) return () => this.#enterInterrupted(task)
      const error = diskTrouble(thrown) ?? thrown
      const known = error instanceof UnderstudyError
      if (!known) this.#options.log.error('a job failed', { route, job: kind, ...errorFields(error) })
      const text = known ? error.message : 'a defect in Understudy: its log has a line about it; please report it'
      return () => this.#enter(id, 'failed', { error: text })
    }
  }

  /** One that ends with the process is queued again by the next start. */
  #enterInterrupted({ job, interruption }: Task): void {
    if (interruption !== 'stop') this.#enter(job.id, interruption === 'pause' ? 'paused' : 'cancelled')
  }

  #conclude(task: Task, end: () => void): void {
    if (this.#stopped) return
    try {
      end()
    } catch (error) {
      task.throttle = this.#later(error, () => this.#conclude(task, end))
      return
    }
    this.#running.delete(task.job.route)
    this.#told.delete(task.job.id)
    this.#next()
  }

  /** Something could not be written to the state database: tries it again, and gives why. */
  #later(error: unknown, again: () => void): string {
    const trouble = diskTrouble(error)
    const why = trouble?.message ?? 'state.db cannot be written'
    if (this.#saidUnwritten !== why)
      this.#options.log.warn(
        'the state of a job cannot be written; it is tried again each second',
        errorFields(trouble ?? error),
      )
    this.#saidUnwritten = why
    setTimeout(again, WRITE_AGAIN_MS).unref()
    return why
  }

  #enter(id: number, state: JobState, result: JobResult = {}): Job {
    const job = this.#store.enter(id, state, Date.now(), result)
    this.#saidUnwritten = null
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
}

const FROM_FILES: ReadonlySet<JobKind> = new Set(['import', 'restore'])

function unwritten({ id }: Job, { throttle }: Task): UnderstudyError {
  return new UnderstudyError(
    'STATE_UNUSABLE',
    `job ${id} has stopped, but that could not be written down yet, and it would go on after a restart now: ${throttle}`,
  )
}

function cannot(action: JobAction, job: Job): UnderstudyError {
  const why = isOver(job.state) ? `it is ${job.state}` : `it is ${job.state} now`
  return new UnderstudyError(
    'JOB_REFUSED',
    `cannot ${action} job ${job.id} (${job.kind} of route '${job.route}'): ${why}`,
  )
}
