import { type FileHandle, open } from 'node:fs/promises'
import { UnderstudyError } from '../base/errors.ts'

/**
 * A file of keys that can be put back: one JSON object a line.
 *
 *   {"format":"understudy-backup","version":1,"route":"jobs","store":"old"}
 *   {"database":0,"key":"am9iOjE=","expiresAtMs":null,"payload":"AAVoZWxsbwsA..."}
 *
 * Names are the store's, names and payloads (as DUMP gives them) in base64. A key can stand in it twice: whoever was interrupted wrote it again.
 */
interface Header {
  readonly format: 'understudy-backup'
  readonly version: 1
  readonly route: string
  readonly store: string
}

export interface BackupKey {
  readonly database: number
  readonly name: Buffer
  /** ms since the epoch; null: never. */
  readonly expiresAtMs: number | null
  readonly payload: Buffer
}

/** Writes such a file; what `append` has resolved for is on the disk. */
export class BackupWriter {
  readonly #file: FileHandle

  private constructor(file: FileHandle) {
    this.#file = file
  }

  /** `goOn`: the file is there from an earlier run. Throws JOB_REFUSED when the file cannot be had, or is there and should not be. */
  static async open(path: string, route: string, store: string, goOn: boolean): Promise<BackupWriter> {
    try {
      const file = await open(path, goOn ? 'a' : 'ax', 0o600)
      const writer = new BackupWriter(file)
      const header: Header = { format: 'understudy-backup', version: 1, route, store }
      if (!goOn) await writer.#write(`${JSON.stringify(header)}\n`)
      return writer
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      const why = code === 'EEXIST' ? 'it exists already' : (cause as Error).message
      throw new UnderstudyError('JOB_REFUSED', `the backup file ${path} cannot be written: ${why}`, { cause })
    }
  }

  async append(keys: readonly BackupKey[]): Promise<void> {
    if (keys.length === 0) return
    const lines = keys.map(({ database, name, expiresAtMs, payload }) =>
      JSON.stringify({ database, key: name.toString('base64'), expiresAtMs, payload: payload.toString('base64') }),
    )
    await this.#write(`${lines.join('\n')}\n`)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async #write(text: string): Promise<void> {
    await this.#file.appendFile(text)
    await this.#file.sync()
  }
}

/** The header of a backup file and then its keys, in pages. Throws JOB_REFUSED for what is not one; a line that is cut off at the end is passed over. */
export async function* readBackup(path: string, pageKeys: number): AsyncGenerator<readonly BackupKey[]> {
  const file = await open(path, 'r').catch((cause: Error) => {
    throw new UnderstudyError('JOB_REFUSED', `the file ${path} cannot be read: ${cause.message}`, { cause })
  })
  let page: BackupKey[] = []
  let line = 0
  try {
    for await (const text of file.readLines()) {
      line++
      const value = parsed(text)
      if (line === 1) {
        if (value?.['format'] !== 'understudy-backup' || value['version'] !== 1) {
          throw new UnderstudyError('JOB_REFUSED', `the file ${path} is not a backup that cleanup has written`)
        }
        continue
      }
      if (value === null) continue
      page.push(keyOf(value))
      if (page.length < pageKeys) continue
      yield page
      page = []
    }
    if (page.length > 0) yield page
  } finally {
    await file.close().catch(() => {})
  }
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return null
  }
}

function keyOf(value: Record<string, unknown>): BackupKey {
  const { database, key, expiresAtMs, payload } = value
  return {
    database: Number(database),
    name: Buffer.from(String(key), 'base64'),
    expiresAtMs: expiresAtMs === null ? null : Number(expiresAtMs),
    payload: Buffer.from(String(payload), 'base64'),
  }
}
