import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { progressView } from '../../src/cli/job-progress.ts'
import { Terminal } from '../../src/cli/terminal.ts'
import type { Job } from '../../src/jobs/runner/job.ts'
import { job } from '../admin/fake-control.ts'

/** The second line that is written of a job: the first is left out, for most jobs are over by then. */
function lineOf(of: Job): string {
  const written = new PassThrough().setEncoding('utf8') as unknown as NodeJS.WriteStream
  let nowMs = 0
  const view = progressView(new Terminal(written, written), () => nowMs)
  view.show(of)
  nowMs = 60_000
  view.show(of)
  return String(written.read())
}

const progress = { ...job().progress, copied: 0, skipped: 0, failed: 0, compared: 250, deleted: 250 }

test('a line of progress says what has been done', () => {
  expect(lineOf(job({ kind: 'cleanup', options: { dryRun: false }, progress }))).toBe(
    'cleanup jobs (job 1): 25%  250 of 1,000 keys seen, 50/s, 15s left; compared 250, deleted 250\n',
  )
})

test('of a dry run it says what would be done', () => {
  expect(lineOf(job({ kind: 'cleanup', options: {}, progress }))).toBe(
    'cleanup jobs (job 1, dry run): 25%  250 of 1,000 keys seen, 50/s, 15s left; compared 250, would be deleted 250\n',
  )
  expect(lineOf(job({ options: { dryRun: true } }))).toBe(
    'backfill jobs (job 1, dry run): 25%  250 of 1,000 keys seen, 50/s, 15s left; would be copied 240, skipped 8, failed 2\n',
  )
})
