import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { JobKind, JobOptions } from '../runner/job.ts'
import { refused } from './record-format.ts'

/**
 * What a job reads must be there, and what it writes be possible, before there is a job: a misspelt path is not to be found among the jobs that have failed. What may be seen only when the file is opened, the job says.
 * `isBegun`: an export to this file has begun, and may be about to go on. Throws JOB_REFUSED.
 */
export function mustBeUsable(kind: JobKind, { file, format = 'jsonl' }: JobOptions, isBegun: boolean): void {
  const path = file!
  try {
    if (kind !== 'export') {
      const stat = statSync(path)
      if (format === 'jsonl' && !stat.isFile()) throw new Error('it is no regular file')
      if (format === 'leveldb' && !stat.isDirectory()) throw new Error('it is no directory')
      accessSync(path, constants.R_OK)
    } else if (format === 'jsonl') {
      if (!isBegun && existsSync(path)) throw new Error('it exists already')
      accessSync(dirname(path), constants.W_OK)
    }
  } catch (cause) {
    throw refused(path, cause)
  }
}
