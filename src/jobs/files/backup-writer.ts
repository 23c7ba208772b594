import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UnderstudyError } from '../../base/errors.ts'
import { type BackupHeader, type BackupKey, linesFor, parsed } from './backup-file.ts'
import { firstLineOf, wholeLinesLength } from './lines.ts'

/** Writes a backup file; what `append` has resolved for is on the disk. */
export class BackupWriter {
  readonly #file: FileHandle
  readonly #path: string
  /** A key that this process did not write may have been written by the one before it. */
  readonly isResumed: boolean
  #appended: Promise<void> = Promise.resolve()
  bytes: number
  /** Of `bytes`, what is on the disk. */
  synced: number

  private constructor(file: FileHandle, path: string, bytes: number, isResumed: boolean) {
    this.#file = file
    this.#path = path
    this.bytes = bytes
    this.synced = bytes
    this.isResumed = isResumed
  }

  /**
   * Goes on with the file of the same job. `synced`: what it was when that was written down last; null: it was not. Throws JOB_REFUSED when it cannot be had, is another's, or lacks some of that: then keys that were deleted may be nowhere.
   */
  static async open(
    path: string,
    route: string,
    store: string,
    job: string,
    synced: number | null,
  ): Promise<BackupWriter> {
    try {
      if (synced !== null) return await BackupWriter.#reopen(path, job, synced)
      const made = await open(path, 'ax', 0o600).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return null
        throw error
      })
      if (made === null) return await BackupWriter.#reopen(path, job, 0)
      const writer = new BackupWriter(made, path, 0, false)
      const header: BackupHeader = { format: 'understudy-backup', version: 1, route, store, job }
      await writer.#write(`${JSON.stringify(header)}\n`)
      await syncDirectory(path)
      return writer
    } catch (cause) {
      if (cause instanceof UnderstudyError) throw cause
      throw refused(path, (cause as Error).message, cause)
    }
  }

  static async #reopen(path: string, job: string, synced: number): Promise<BackupWriter> {
    const file = await open(path, 'r+').catch((cause: NodeJS.ErrnoException) => {
      throw cause.code === 'ENOENT' ? refused(path, LACKS, cause) : cause
    })
    const header = await firstLineOf(file)
    const ours = header !== null && parsed(header.text)?.['job'] === job
    if (!ours) {
      await file.close()
      throw refused(path, 'it exists already')
    }
    // What was being written when the process ended is of a key that is still there.
    const bytes = await wholeKeysLength(file)
    if (bytes < synced) {
      await file.close()
      throw refused(path, LACKS)
    }
    await file.truncate(bytes)
    await file.close()
    return new BackupWriter(await open(path, 'a'), path, bytes, true)
  }

  /** Rejects with JOB_REFUSED when the disk does not take them. */
  append(keys: readonly BackupKey[]): Promise<void> {
    if (keys.length === 0) return Promise.resolve()
    // One after the other: lines of two pages must not mix.
    this.#appended = this.#appended.then(async () => {
      try {
        for (const line of linesFor(keys)) await this.#append(line)
        await this.#file.sync()
        this.synced = this.bytes
      } catch (cause) {
        throw refused(this.#path, (cause as Error).message, cause)
      }
    })
    return this.#appended
  }

  async close(): Promise<void> {
    await this.#appended.catch(() => {})
    await this.#file.close()
  }

  async #write(text: string): Promise<void> {
    await this.#append(text)
    await this.#file.sync()
    this.synced = this.bytes
  }

  async #append(text: string): Promise<void> {
    const bytes = Buffer.from(text, 'latin1')
    await this.#file.appendFile(bytes)
    this.bytes += bytes.length
  }
}

const LACKS =
  'it lacks keys that this job has written to it, and perhaps deleted since: put it back as it was and resume the job, or start another'

/** Up to the end of the last line of a whole key. */
async function wholeKeysLength(file: FileHandle): Promise<number> {
  const tail = Buffer.alloc(TAIL_BYTES)
  for (let length = (await file.stat()).size; ; length--) {
    length = await wholeLinesLength(file, length)
    if (length === 0) return 0
    const { bytesRead } = await file.read(tail, 0, TAIL_BYTES, Math.max(0, length - TAIL_BYTES))
    if (!GOES_ON.test(tail.toString('latin1', 0, Math.min(bytesRead, length)))) return length
  }
}

const TAIL_BYTES = 64
const GOES_ON = /"more":true(,"again":\d+)?\}\n$/

/** So that the file is there after the machine has failed, not only its bytes. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r')
  await directory.sync().finally(() => directory.close())
}

function refused(path: string, why: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('JOB_REFUSED', `the backup file ${path} cannot be written: ${why}`, { cause })
}
