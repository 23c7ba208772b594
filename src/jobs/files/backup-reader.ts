import type { FileHandle } from 'node:fs/promises'
import { UnderstudyError } from '../../base/errors.ts'
import { type BackupKey, keyOf, parsed, placeOf } from './backup-file.ts'
import { type FileMark, firstLineOf, linesOf, markOf, mustBeTheSame, mustNotBeCut, openToRead } from './lines.ts'

export interface BackupRecord extends BackupKey {
  /** False: its lines end before it does, or the file ends in the middle of a line (its name is empty then). Its payload is worth nothing. */
  readonly isWhole: boolean
  /** Where the next one begins in the file. */
  readonly end: number
}

/** Reads a backup file. */
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

function isSamePlace(one: BackupKey, other: BackupKey): boolean {
  return placeOf(one) === placeOf(other) && one.again === other.again
}

/** Stands for a line that the file ends in. */
const TORN: BackupKey = { database: 0, name: Buffer.alloc(0), expiresAtMs: null, payload: Buffer.alloc(0), again: 0 }

function damaged(path: string, at: number): UnderstudyError {
  return new UnderstudyError(
    'JOB_REFUSED',
    `the backup file ${path} is damaged: the line that ends at byte ${at} is no key; take the line out, and start again`,
  )
}
