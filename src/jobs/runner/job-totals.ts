import { isDryRun, type Job, type JobCount, WORK_COUNTS } from './job.ts'

interface Total {
  readonly route: string
  readonly job: string
  readonly outcome: string
  count: number
}

/** Keys by route, job and outcome since the process started: what the metric shows. What a dry run would do is not among them. */
export class JobTotals {
  readonly #totals = new Map<string, Total>()

  of(route: string): { job: string; outcome: string; count: number }[] {
    return [...this.#totals.values()].filter((total) => total.route === route)
  }

  add(job: Job, outcome: JobCount, by: number): void {
    if (isDryRun(job) && WORK_COUNTS.includes(outcome)) return
    const name = `${job.route}\0${job.kind}\0${outcome}`
    const total = this.#totals.get(name)
    if (total === undefined) this.#totals.set(name, { route: job.route, job: job.kind, outcome, count: by })
    else total.count += by
  }
}
