import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { bytesOfBase64 } from '../base/base64.ts'
import { UnderstudyError } from '../base/errors.ts'
import { isExpiry } from './expiry.ts'
import {
  type FileMark,
  firstLineOf,
  linesOf,
  markOf,
  mustBeTheSame,
  mustNotBeCut,
  openToRead,
  wholeLinesLength,
} from './lines.ts'
import { isCount, isDatabase } from './record-format.ts'

/**
 * A file of keys that can be put back: one JSON object a line.
 *
 *   {"format":"understudy-backup","version":1,"route":"jobs","store":"old","job":"12 2026-11-21T10:00:00.000Z"}
 *   {"database":0,"key":"am9iOjE=","expiresAtMs":null,"payload":"AAVoZWxsbwsA..."}
 *   {"database":0,"key":"am9iOjI=","expiresAtMs":null,"payload":"...","more":true}     a long payload: goes on in the next line
 *   {"database":0,"key":"am9iOjI=","expiresAtMs":null,"payload":"..."}
 *   {"database":0,"key":"am9iOjE=","expiresAtMs":null,"payload":"...","again":1}       a key that has been written before: the last one holds
 *
 * Names are the store's, names and payloads (as DUMP gives them) in base64.
 */
interface Header {
  readonly format: 'understudy-backup'
  readonly version: 1
  readonly route: string
  readonly store: string
  /** Whose file it is. */
  readonly job: string
}

export interface BackupKey {
  readonly database: number
  readonly name: Buffer
  /** ms since the epoch; null: never. */
  readonly expiresAtMs: number | null
  readonly payload: Buffer
  /** How often it has been written before, as far as whoever wrote it knew. */
  readonly again: number
}

export interface BackupRecord extends BackupKey {
  /** False: its lines end before it does, or the file ends in the middle of a line (its name is empty then). Its payload is worth nothing. */
  readonly isWhole: boolean
  /** Where the next one begins in the file. */
  readonly end: number
}

/** Of one line. */
const PAYLOAD_BYTES = 3 * 256 * 1024

/** Writes such a file; what `append` has resolved for is on the disk. */
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
      const header: Header = { format: 'understudy-backup', version: 1, route, store, job }
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

/** Lines of about a megabyte together. */
function* linesFor(keys: readonly BackupKey[]): Generator<string> {
  let text = ''
  for (const { database, name, expiresAtMs, payload, again } of keys) {
    const of = { database, key: name.toString('base64'), expiresAtMs }
    let from = 0
    do {
      const piece = payload.subarray(from, from + PAYLOAD_BYTES).toString('base64')
      from += PAYLOAD_BYTES
      const more = from < payload.length ? { more: true } : {}
      text += `${JSON.stringify({ ...of, payload: piece, ...more, ...(again > 0 ? { again } : {}) })}\n`
      if (text.length < PAYLOAD_BYTES) continue
      yield text
      text = ''
    } while (from < payload.length)
  }
  if (text !== '') yield text
}

const LACKS =
  'it lacks keys that this job has written to it, and perhaps deleted since: put it back as it was, or cancel the job'

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

/** Reads such a file. */
export class BackupReader {
  readonly #file: FileHandle
  readonly #path: string
  readonly #signal: AbortSignal
  /** Where the first key is. */
  readonly start: number
  /** What it was when it was opened. */
  readonly mark: FileMark

  private constructor(file: FileHandle, path: string, signal: AbortSignal, start: number, mark: FileMark) {
    this.#file = file
    this.#path = path
    this.#signal = signal
    this.start = start
    this.mark = mark
  }

  /** `signal`: aborted when reading is to end, by its reason; `begun`: what the file was when the job began. Throws JOB_REFUSED for a file that cannot be read, is none, or not what it was. */
  static async open(path: string, signal: AbortSignal, begun?: FileMark): Promise<BackupReader> {
    const file = await openToRead(path).catch((cause: Error) => {
      throw new UnderstudyError('JOB_REFUSED', `the file ${path} cannot be read: ${cause.message}`, { cause })
    })
    try {
      const mark = await markOf(file)
      mustBeTheSame(path, mark, begun)
      const first = await firstLineOf(file)
      const header = first === null ? null : parsed(first.text)
      if (header?.['format'] !== 'understudy-backup' || header['version'] !== 1) {
        throw new UnderstudyError('JOB_REFUSED', `the file ${path} is not a backup that cleanup has written`)
      }
      return new BackupReader(file, path, signal, first!.end, mark)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Its keys from byte `from` on, to the end of the file. Throws JOB_REFUSED at what is damaged, and where the file was cut meanwhile. */
  async *keys(from: number = this.start): AsyncGenerator<BackupRecord> {
    let pieces: Buffer[] = []
    let begun: BackupKey | null = null
    let last = from
    for await (const { text, end, isTorn } of linesOf(this.#file, { from, signal: this.#signal })) {
      const value = isTorn ? null : parsed(text)
      const line = isTorn ? TORN : keyOf(value)
      if (line === null) throw damaged(this.#path, end)
      // The process that wrote the lines before was killed in the middle of a key; or they have been taken out.
      if (begun !== null && !isSamePlace(begun, line)) {
        yield { ...begun, isWhole: false, end: last }
        pieces = []
      }
      begun = line
      last = end
      pieces.push(line.payload)
      if (value?.['more'] === true) continue
      yield { ...line, payload: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces), isWhole: !isTorn, end }
      pieces = []
      begun = null
    }
    if (begun !== null) yield { ...begun, isWhole: false, end: last }
    await mustNotBeCut(this.#path, this.#file, this.mark)
  }

  /** How many there are, and of those that stand there more than once where the last one ends, by database and name. */
  async survey(): Promise<{ readonly count: number; readonly lastEnds: ReadonlyMap<string, number> }> {
    const lastEnds = new Map<string, number>()
    let count = 0
    for await (const { text, end, isTorn } of linesOf(this.#file, { from: this.start, signal: this.#signal })) {
      if (text?.includes('"more":true}') || text?.includes('"more":true,')) continue
      count++
      if (isTorn || !text?.includes('"again":')) continue
      const key = keyOf(parsed(text))
      if (key !== null) lastEnds.set(placeOf(key), end)
    }
    return { count, lastEnds }
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/** What tells keys apart. */
export function placeOf({ database, name }: Pick<BackupKey, 'database' | 'name'>): string {
  return `${database} ${name.toString('latin1')}`
}

function parsed(text: string | null): Record<string, unknown> | null {
  try {
    return text === null ? null : (JSON.parse(text) as Record<string, unknown> | null)
  } catch {
    return null
  }
}

/** Of one line; null: it is no key. */
function keyOf(value: Record<string, unknown> | null): BackupKey | null {
  if (value === null) return null
  const { database, expiresAtMs, again = 0 } = value
  const [name, payload] = [bytesOfBase64(value['key']), bytesOfBase64(value['payload'])]
  if (name === null || payload === null || !isDatabase(database) || !isCount(again)) return null
  if (expiresAtMs !== null && !isExpiry(expiresAtMs)) return null
  return { database, name, expiresAtMs, payload, again }
}

function isSamePlace(one: BackupKey, other: BackupKey): boolean {
  return placeOf(one) === placeOf(other) && one.again === other.again
}

/** Stands for a line that the file ends in. */
const TORN: BackupKey = { database: 0, name: Buffer.alloc(0), expiresAtMs: null, payload: Buffer.alloc(0), again: 0 }

function refused(path: string, why: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('JOB_REFUSED', `the backup file ${path} cannot be written: ${why}`, { cause })
}

function damaged(path: string, at: number): UnderstudyError {
  return new UnderstudyError(
    'JOB_REFUSED',
    `the backup file ${path} is damaged: the line that ends at byte ${at} is no key; take the line out, and start again`,
  )
}
