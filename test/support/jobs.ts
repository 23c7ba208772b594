import { expect } from 'vitest'
import type { Job, JobKey, JobKind, JobOptions } from '../../src/jobs/runner/job.ts'
import { eventually } from './eventually.ts'
import type { UnderstudyProcess } from './understudy.ts'

/** Starts a job; throws with the refusal's text. */
export async function startJob(
  understudy: UnderstudyProcess,
  kind: JobKind,
  route: string,
  options: JobOptions = {},
): Promise<Job> {
  const { status, body } = await understudy.admin<Job & { error?: { message: string } }>('/api/v1/jobs', {
    method: 'POST',
    body: JSON.stringify({ kind, route, options }),
  })
  if (status !== 201) throw new Error(body.error?.message ?? `status ${status}`)
  return body
}

export async function jobOf(understudy: UnderstudyProcess, id: number): Promise<Job> {
  return (await understudy.admin<Job>(`/api/v1/jobs/${id}`)).body
}

export async function steer(understudy: UnderstudyProcess, id: number, action: string): Promise<Job> {
  const init = { method: 'PATCH', body: JSON.stringify({ action }) }
  return (await understudy.admin<Job>(`/api/v1/jobs/${id}`, init)).body
}

/** Resolves when the job is over, one way or the other. */
export async function over(understudy: UnderstudyProcess, id: number, timeoutMs = 80_000): Promise<Job> {
  return eventually(
    async () => {
      const job = await jobOf(understudy, id)
      expect(['done', 'failed', 'cancelled'], JSON.stringify(job)).toContain(job.state)
      return job
    },
    { timeoutMs, intervalMs: 20 },
  )
}

/** Starts a job and waits until it is done. */
export async function doJob(
  understudy: UnderstudyProcess,
  kind: JobKind,
  route: string,
  options: JobOptions = {},
): Promise<Job> {
  const job = await over(understudy, (await startJob(understudy, kind, route, options)).id)
  expect(job).toMatchObject({ state: 'done', error: null })
  return job
}

export async function keysOf(understudy: UnderstudyProcess, id: number): Promise<JobKey[]> {
  return (await understudy.admin<JobKey[]>(`/api/v1/jobs/${id}/keys?limit=10000`)).body
}
