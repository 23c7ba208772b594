import { type FileHandle, open } from 'node:fs/promises'
import { lineOf, recordOfLine } from './key-json.ts'
import { linesOf, markOf, mustBeTheSame, mustNotBeCut, openToRead } from './lines.ts'
import type { FileRecord, RecordWriter } from './record-format.ts'

/** Reads a JSONL file. Places: the byte and the number of the line that is next, and what the file was when it was begun (those of older versions do not say it). */
export async function* readLines(path: string, after: string | null, signal: AbortSignal): AsyncGenerator<FileRecord> {
  const file = await openToRead(path)
  try {
    let [from, line, size, mtimeMs] = (after ?? '0 0').split(' ').map(Number) as [number, number, number?, number?]
    const mark = await markOf(file)
    mustBeTheSame(path, mark, size === undefined ? undefined : { size, mtimeMs: mtimeMs! })
    for await (const { text, unread, end } of linesOf(file, { from, signal })) {
      line++
      from = end
      if (text?.trim() === '') continue
      const record = text === null ? null : recordOfLine(text)
      yield {
        place: `${from} ${line} ${mark.size} ${mark.mtimeMs}`,
        bytes: text?.length ?? 0,
        record: record ?? `line ${line} ${unread ?? 'is not a key as this format writes it'}`,
      }
    }
    await mustNotBeCut(path, file, mark)
  } finally {
    await file.close().catch(() => {})
  }
}

/** Writes a JSONL file. Places: the length of the file. */
export async function lineWriter(path: string, goOn: string | null): Promise<RecordWriter> {
  const file = goOn === null ? await open(path, 'ax', 0o600) : await reopened(path, Number(goOn))
  let length = Number(goOn ?? 0)
  return {
    get place() {
      return String(length)
    },
    start: '0',
    async clear() {
      await file.truncate(0)
      length = 0
    },
    async append(records) {
      const reasons = new Map<number, string>()
      for (const [i, record] of records.entries()) {
        const line = lineOf(record)
        if (line === null) reasons.set(i, 'it is longer than a line can be')
        else {
          await file.appendFile(line)
          length += line.length
        }
      }
      await file.sync()
      return reasons
    },
    close: () => file.close(),
  }
}

/** Throws where it is gone, or shorter than it was: what has been written to it would be missing. */
async function reopened(path: string, length: number): Promise<FileHandle> {
  const file = await open(path, 'r+')
  try {
    if ((await file.stat()).size < length) throw new Error('it lacks keys that this job has written to it')
    // What was written behind the last checkpoint is written again.
    await file.truncate(length)
  } finally {
    await file.close()
  }
  return open(path, 'a')
}
