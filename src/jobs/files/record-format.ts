import { UnderstudyError } from '../../base/errors.ts'
import type { KeyRecord } from './values.ts'

/** One record of a file, or why it cannot be understood. `place` is where to go on behind it. */
export interface FileRecord {
  readonly place: string
  /** About what it takes in memory. */
  readonly bytes: number
  readonly record: KeyRecord | string
}

/** Takes records, one format of file each. */
export interface RecordWriter {
  /** Where the next record comes: part of checkpoints. */
  readonly place: string
  /** What it is of a file without records. */
  readonly start: string
  /** Takes out what has been written. */
  clear(): Promise<void>
  /** Resolves when they are in the file, for good. Gives reasons for those that it cannot hold, by index. */
  append(records: readonly KeyRecord[]): Promise<ReadonlyMap<number, string>>
  close(): Promise<void>
}

/** JOB_REFUSED, as whoever began the job is told. */
export function refused(path: string, cause: unknown): UnderstudyError {
  if (cause instanceof UnderstudyError) return cause
  const { code, message, cause: inner } = cause as NodeJS.ErrnoException & { cause?: Error }
  const why = code === 'EEXIST' ? 'it exists already' : (inner?.message ?? message)
  return new UnderstudyError('JOB_REFUSED', `${path} cannot be used: ${why}`, { cause })
}

/** Whether what a file says can be the number of a database. */
export function isDatabase(value: unknown): value is number {
  return isCount(value) && value < 2 ** 31
}

/** A whole number from 0 that JSON has not rounded. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
