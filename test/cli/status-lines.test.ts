import { expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { statusLines } from '../../src/cli/status-lines.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import type { Job } from '../../src/jobs/runner/job.ts'
import { FakeControl, job } from '../admin/fake-control.ts'

const terminal = { style: (_: string, text: string) => text } as unknown as Terminal

async function linesOf(change: (status: Status) => unknown, jobs: readonly Job[] = []): Promise<string[]> {
  const status = structuredClone(await new FakeControl().status())
  change(status)
  return statusLines(status, terminal, jobs)
}

test('keys that cannot be copied are shown with the reason', async () => {
  const lines = await linesOf(({ routes }) => {
    Object.assign(routes['jobs']!.mirror, { repair: 'tripped', refusedCopy: 'OOM' })
  })
  expect(lines).toContainEqual(
    expect.stringMatching(/^jobs: dirty keys: .*; copies keep failing \(the last copy failed: OOM\)$/),
  )
})

test('a store whose clock differs is named', async () => {
  const lines = await linesOf(({ stores }) => {
    Object.assign(stores['old']!, { clockOffsetMs: -2_500 })
    Object.assign(stores['new']!, { clockOffsetMs: 900 })
  })
  expect(lines.filter((line) => line.includes('clock'))).toEqual([
    'The clock of store old is off by 2.5 s: keys expire at another time there',
  ])
})

test('a job that failed is named until it has been done again', async () => {
  const failed = { state: 'failed', error: "store 'new' is away" } as const
  const jobs = [
    job({ id: 4, kind: 'import', ...failed }),
    job({ id: 3, state: 'done' }),
    job({ id: 2, ...failed }),
    job({ id: 1, kind: 'import', state: 'done' }),
  ]
  const lines = await linesOf(() => {}, jobs)
  expect(lines.filter((line) => line.includes(' failed:'))).toEqual([
    "The import of jobs (job 4) failed: store 'new' is away",
  ])
})
