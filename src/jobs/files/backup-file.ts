import { bytesOfBase64 } from '../../base/base64.ts'
import { isExpiry } from '../compare/expiry.ts'
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
export interface BackupHeader {
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

/** Of one line. */
const PAYLOAD_BYTES = 3 * 256 * 1024

/** The lines of keys, about a megabyte together. */
export function* linesFor(keys: readonly BackupKey[]): Generator<string> {
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

/** A line; null: it is not JSON, or there is none. */
export function parsed(text: string | null): Record<string, unknown> | null {
  try {
    return text === null ? null : (JSON.parse(text) as Record<string, unknown> | null)
  } catch {
    return null
  }
}

/** Of one line; null: it is no key. */
export function keyOf(value: Record<string, unknown> | null): BackupKey | null {
  if (value === null) return null
  const { database, expiresAtMs, again = 0 } = value
  const [name, payload] = [bytesOfBase64(value['key']), bytesOfBase64(value['payload'])]
  if (name === null || payload === null || !isDatabase(database) || !isCount(again)) return null
  if (expiresAtMs !== null && !isExpiry(expiresAtMs)) return null
  return { database, name, expiresAtMs, payload, again }
}

/** What tells keys apart. */
export function placeOf({ database, name }: Pick<BackupKey, 'database' | 'name'>): string {
  return `${database} ${name.toString('latin1')}`
}
