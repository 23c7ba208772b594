import { repliesWithKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import { ASTERISK, MINUS, UNDERSCORE } from '../resp/bytes.ts'
import type { Route } from '../routing/route.ts'
import type { DataPath } from './data-path.ts'
import { mapReplyOf } from './map-reply.ts'

/** A command of a transaction. */
export interface Queued {
  readonly spec: CommandSpec | null
  readonly route: Route
  readonly database: number
  /** The application's frame. */
  readonly bytes: Buffer
  readonly renamed: boolean
}

/** EXEC's reply with the application's key names in it, `offsets` being its elements; null: as it came. */
export function mapExecReply(
  path: DataPath,
  queue: readonly Queued[],
  buf: Buffer,
  offsets: Int32Array,
  protocol: 2 | 3,
): Buffer | null {
  let changed = false
  const parts: Buffer[] = [Buffer.from(`*${offsets.length - 1}\r\n`)]
  for (let i = 0; i + 1 < offsets.length; i++) {
    const queued = queue[i]
    const from = offsets[i]!
    const to = offsets[i + 1]!
    const mapped =
      queued?.spec && queued.renamed && repliesWithKeys(queued.spec)
        ? mapReplyOf(path, queued.spec, queued.bytes, buf, from, to, protocol)
        : null
    if (mapped !== null) changed = true
    parts.push(mapped ?? buf.subarray(from, to))
  }
  return changed ? Buffer.concat(parts) : null
}

/**
 * EXEC's nil (a watched key had changed), and the error for a transaction that the server had given up before: nothing was executed. Any other reply that is not the array
 * of the commands' replies leaves the question open.
 */
export function execDidNothing(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] === UNDERSCORE || (buf[start] === ASTERISK && buf[start + 1] === MINUS)) return true
  return buf.toString('latin1', start, Math.min(end, start + ABORTED.length)) === ABORTED
}

const ABORTED = '-EXECABORT'
