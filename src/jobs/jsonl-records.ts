import { open } from 'node:fs/promises'
import { lineOf, recordOfLine } from './key-json.ts'
import { linesOf } from './lines.ts'
import { type FileRecord, type RecordWriter, refused } from './record-format.ts'

/** Reads a JSONL file. Places: the byte and the number of the line that is next. */
export async function* readLines(path: string, after: string | null): AsyncGenerator<FileRecord> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw refused(path, cause)
  })
  let [from, line] = (after ?? '0 0').split(' ').map(Number) as [number, number]
  try {
    for await (const { text, end } of linesOf(file, from, true)) {
      line++
      from = end
      if (text?.trim() === '') continue
      const record = text === null ? null : recordOfLine(text)
      yield {
        place: `${from} ${line}`,
        bytes: text?.length ?? 0,
        record: record ?? `line ${line} is not a key as this format writes it`,
      }
    }
  } finally {
    await file.close().catch(() => {})
  }
}

/** Writes a JSONL file. Places: the length of the file. */
export async function lineWriter(path: string, goOn: string | null): Promise<RecordWriter> {
  const file = await open(path, goOn === null ? 'ax' : 'a', 0o600)
  let length = Number(goOn ?? 0)
  // What was written behind the last checkpoint is written again.
  if (goOn !== null) await file.truncate(length)
  return {
    get place() {
      return String(length)
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
