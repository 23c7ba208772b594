import { Presets, SingleBar } from 'cli-progress'
import type { Job, JobCount } from '../jobs/runner/job.ts'
import { isDryRun, JOB_COUNTS, WORK_COUNTS } from '../jobs/runner/job.ts'
import { formatSeconds } from './format.ts'
import { printable, type Terminal } from './terminal.ts'

/** Without a terminal, a line is written when so much time has passed since the last. */
const LINE_EVERY_MS = 5_000

/** Columns that a long bar leaves room in. */
const WIDE = 120

/** Shows how far a job has come, on standard error: as a bar on a terminal, else as lines now and then. */
export interface ProgressView {
  show(job: Job): void
  end(): void
}

export function progressView(terminal: Terminal, nowMs: () => number = () => performance.now()): ProgressView {
  return terminal.isInteractive ? new BarView(terminal) : new LineView(terminal, nowMs)
}

/** One line: how far, how fast, what came of it, and what holds it up. */
function progressLine(job: Job): string {
  const { done, total, rate, etaSeconds } = job.progress
  const share = total === null || total === 0 ? '' : `${Math.floor((100 * done) / total)}%  `
  const eta = etaSeconds === null ? '' : `, ${formatSeconds(etaSeconds)} left`
  const of = total === null ? count(done) : `${count(done)} of ${count(total)}`
  return `${job.kind} ${job.route} (job ${job.id}${isDryRun(job) ? ', dry run' : ''}): ${share}${of} keys seen, ${count(rate)}/s${eta}${outcomes(job)}${hindrance(job)}`
}

class BarView implements ProgressView {
  readonly #bar: SingleBar
  #started = false

  constructor(terminal: Terminal) {
    this.#bar = new SingleBar(
      {
        stream: terminal.notes,
        // What matters most comes first: a narrow terminal cuts the line off.
        format: '{name} {bar} {percentage}%  {rate}/s, {left} left{hindrance}; {done} of {all} keys seen{outcomes}',
        hideCursor: true,
        clearOnComplete: true,
        barsize: (terminal.notes.columns ?? WIDE) >= WIDE ? 24 : 8,
        autopadding: true,
      },
      Presets.shades_classic,
    )
  }

  show(job: Job): void {
    const { done, total, rate, etaSeconds } = job.progress
    const payload = {
      name: printable(`${job.kind} ${job.route}${isDryRun(job) ? ' (dry run)' : ''}`),
      done: count(done),
      all: total === null ? '?' : count(total),
      rate: count(rate),
      left: etaSeconds === null ? '?' : formatSeconds(etaSeconds),
      outcomes: outcomes(job),
      hindrance: hindrance(job),
    }
    const all = Math.max(total ?? 0, done, 1)
    if (!this.#started) this.#bar.start(all, done, payload)
    this.#started = true
    this.#bar.setTotal(all)
    this.#bar.update(done, payload)
  }

  end(): void {
    if (this.#started) this.#bar.stop()
  }
}

class LineView implements ProgressView {
  readonly #terminal: Terminal
  readonly #nowMs: () => number
  #shownMs: number
  #last = ''

  constructor(terminal: Terminal, nowMs: () => number) {
    this.#terminal = terminal
    this.#nowMs = nowMs
    this.#shownMs = nowMs()
  }

  show(job: Job): void {
    const line = printable(progressLine(job))
    // A new hindrance is said at once.
    const said = `${job.state} ${job.throttle?.replace(/\d+/g, '')}`
    if (said === this.#last && this.#nowMs() - this.#shownMs < LINE_EVERY_MS) return
    if (this.#last !== '' || job.throttle !== null) this.#terminal.note(line)
    this.#last = said
    this.#shownMs = this.#nowMs()
  }

  end(): void {}
}

function outcomes(job: Job): string {
  const { progress } = job
  const nameOf = (name: JobCount): string => (isDryRun(job) && WORK_COUNTS.includes(name) ? `would be ${name}` : name)
  const parts = JOB_COUNTS.filter((name) => progress[name] > 0).map(
    (name) => `${nameOf(name)} ${count(progress[name])}`,
  )
  return parts.length === 0 ? '' : `; ${parts.join(', ')}`
}

function hindrance({ state, throttle }: Job): string {
  if (state === 'queued') return '; waits for the job before it'
  if (state === 'paused') return '; paused'
  return throttle === null ? '' : `; held back: ${throttle}`
}

function count(n: number): string {
  return n.toLocaleString('en-US')
}
