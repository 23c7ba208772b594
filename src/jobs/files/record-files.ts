import { lineWriter, readLines } from './jsonl-records.ts'
import { levelWriter, readLevel } from './level-records.ts'
import { type FileRecord, type RecordWriter, refused } from './record-format.ts'

/**
 * Files that keys come from and go to.
 *
 *   jsonl     one object a line:
 *             {"key":"job:1","type":"string","value":"queued","expiresAtMs":null,"database":0}
 *             lists and sets as arrays, hashes as objects, sorted sets as arrays of [member, score], where infinity is "inf" or "-inf"
 *             a stream as {entries: [[id, [field, value, ...]]], lastId, maxDeletedId, entriesAdded, groups: [{name, lastId, entriesRead, consumers, pending: [[id, consumer, deliveredAtMs, deliveries]]}]}
 *             a type of a module with its payload (as DUMP gives it) in place of a value: {"key":"b","type":"MBbloom--","payload":{"base64":"..."}}
 *             what is no UTF-8 text is {"base64":"..."} in its place
 *   leveldb   a directory of LevelDB, as small tools keep their locks: key `namespace:key`,
 *             value JSON {"value":"queued","expires":1767225600000}; strings only, a value that is no text is kept as JSON
 */
export type FileFormat = 'jsonl' | 'leveldb'

export interface RecordFile {
  readonly format: FileFormat
  readonly path: string
  readonly namespace: string
}

/** Reads from behind `after` on (null: from the beginning). `signal`: aborted when nobody wants more. Throws JOB_REFUSED when it cannot be opened, or read. */
export async function* readRecords(
  { format, path, namespace }: RecordFile,
  after: string | null,
  signal: AbortSignal,
): AsyncGenerator<FileRecord> {
  try {
    yield* format === 'jsonl' ? readLines(path, after, signal) : readLevel(path, namespace, after)
  } catch (cause) {
    throw refused(path, cause)
  }
}

/** `goOn`: where an earlier run of the same job stood; null: there was none. Throws JOB_REFUSED when it cannot be had, is there and should not be, or lacks what that run has written. So does its `append`, when the disk is full, say. */
export async function openWriter({ format, path, namespace }: RecordFile, goOn: string | null): Promise<RecordWriter> {
  const told = (cause: unknown): never => {
    throw refused(path, cause)
  }
  const opened = format === 'jsonl' ? lineWriter(path, goOn) : levelWriter(path, namespace, goOn)
  const writer = await opened.catch(told)
  return {
    get place() {
      return writer.place
    },
    start: writer.start,
    clear: () => writer.clear().catch(told),
    append: (records) => writer.append(records).catch(told),
    close: () => writer.close(),
  }
}
