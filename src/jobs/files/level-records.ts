import { isUtf8 } from 'node:buffer'
import type { ClassicLevel } from 'classic-level'
import { isExpiry } from '../compare/expiry.ts'
import type { FileRecord, RecordWriter } from './record-format.ts'
import type { KeyRecord } from './values.ts'

interface LevelValue {
  readonly value?: unknown
  readonly expires?: unknown
}

/** Reads a directory of LevelDB. Places: names of its own keys, in base64. */
export async function* readLevel(path: string, namespace: string, after: string | null): AsyncGenerator<FileRecord> {
  const level = await openLevel(path, false)
  const prefix = prefixOf(namespace)
  try {
    const from = after === null ? { gte: prefix } : { gt: Buffer.from(after, 'base64') }
    for await (const [name, value] of level.iterator<Buffer, Buffer>({ ...from, valueEncoding: 'buffer' })) {
      if (!name.subarray(0, prefix.length).equals(prefix)) return
      const record = isUtf8(value) ? recordOfLevel(name.subarray(prefix.length), value.toString('utf8')) : NO_TEXT
      yield { place: name.toString('base64'), bytes: value.length, record }
    }
  } finally {
    await level.close()
  }
}

const NO_TEXT = 'its value is no UTF-8 text'

function recordOfLevel(key: Buffer, text: string): KeyRecord | string {
  try {
    const { value, expires } = JSON.parse(text) as LevelValue
    if (value === undefined || value === null) return 'its value is not JSON with a field "value"'
    if (typeof value === 'string' && !value.isWellFormed())
      return 'its value has halves of characters, which are no text'
    let isRounded = false
    const json = JSON.stringify(value, (_, part: unknown) => {
      isRounded ||= Number.isInteger(part) && !Number.isSafeInteger(part)
      return part
    })
    if (isRounded) return 'its value has whole numbers that JSON rounds'
    const bytes = Buffer.from(typeof value === 'string' ? value : json)
    // Some tools leave it away, some write null; and some add up times that are no whole milliseconds.
    const expiresAtMs = typeof expires === 'number' ? Math.ceil(expires) : (expires ?? null)
    if (expiresAtMs !== null && !isExpiry(expiresAtMs))
      return 'its time of expiry, "expires", is no number of milliseconds since 1970'
    return { database: 0, key: Buffer.from(key), of: { type: 'string', value: bytes }, expiresAtMs }
  } catch {
    return 'its value is not JSON with a field "value"'
  }
}

/** Writes a directory of LevelDB. */
export async function levelWriter(path: string, namespace: string, goOn: string | null): Promise<RecordWriter> {
  const level = await openLevel(path, goOn === null)
  const prefix = prefixOf(namespace)
  return {
    // Written again, a key is as it was.
    place: '',
    start: '',
    clear: () => level.clear(),
    async append(records) {
      const reasons = new Map<number, string>()
      const puts = records.flatMap(({ database, key, of, expiresAtMs }, i) => {
        const text = of.type === 'string' && isUtf8(of.value) ? of.value.toString('utf8') : null
        if (text !== null && database === 0) {
          const value: LevelValue = { value: text, ...(expiresAtMs === null ? {} : { expires: expiresAtMs }) }
          return [{ type: 'put' as const, key: Buffer.concat([prefix, key]), value: JSON.stringify(value) }]
        }
        reasons.set(
          i,
          database === 0 ? 'LevelDB holds strings that are UTF-8 text only' : 'LevelDB holds database 0 only',
        )
        return []
      })
      await level.batch(puts, { sync: true })
      return reasons
    },
    close: () => level.close(),
  }
}

async function openLevel(path: string, fresh: boolean): Promise<ClassicLevel<Buffer, string>> {
  // It brings native code, which nobody needs who has no such directory.
  const { ClassicLevel: Level } = await import('classic-level')
  const level: ClassicLevel<Buffer, string> = new Level(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'utf8',
    createIfMissing: fresh,
    errorIfExists: fresh,
  })
  await level.open()
  return level
}

function prefixOf(namespace: string): Buffer {
  return Buffer.from(namespace === '' ? '' : `${namespace}:`)
}
